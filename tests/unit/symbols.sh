#!/bin/sh
# SPDX-License-Identifier: MIT
# libq35.so.0 exports what libq35.map lists, and the headers declare just that. KTAP.
cd "$(dirname "$0")/../.." || exit 1
library=${Q35_BUILD:-build}/libq35.so.0

listed() {
	sed -n 's/^\t\(q35_[a-z0-9_]*\);$/\1/p' libq35/libq35.map | sort
}
exported() {
	nm -D --defined-only "$library" | sed -n 's/^[0-9a-f]* T \(.*\)@@LIBQ35_0\.1$/\1/p' | sort
}
others() {
	nm -D --defined-only "$library" | grep -v -e ' T q35_.*@@LIBQ35_0\.1$' -e ' A LIBQ35_0\.1'
}
declared() {
	cat libq35/include/*.h | sed 's|/\*.*\*/||' |
		sed -n 's/^[a-z].*[ *]\(q35_[a-z0-9_]*\)(.*/\1/p' | sort
}

failed=0
number=0
check() { # NAME EXPECTED ACTUAL
	number=$((number + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $number $1"
	else
		printf '%s\n' "$2" "$3" | sort | uniq -u | sed 's/^/# on one side only: /'
		echo "not ok $number $1"
		failed=1
	fi
}

echo "TAP version 13"
echo "1..3"
check exports_are_those_listed "$(listed)" "$(exported)"
check nothing_else_is_exported "" "$(others)"
check headers_declare_those_listed "$(listed)" "$(declared)"
exit $failed
