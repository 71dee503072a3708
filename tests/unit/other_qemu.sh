#!/bin/sh
# SPDX-License-Identifier: MIT
# A card that was built for another QEMU than the one that loads it is refused, in one line that says
# why: for another release, and for one whose structures are laid out otherwise. KTAP.
cd "$(dirname "$0")/../.." || exit 1
build=${Q35_BUILD:-build}
tree=$(sed -n 's/^QEMU_TREE := //p' "$build/setup.mk")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# The part that looks, compiled as the card is but for a change to QEMU's configuration.
built_for() { # CHANGE
	sed "$1" "$tree/config-host.h" >"$work/config-host.h"
	# shellcheck disable=SC2046 # words
	gcc -shared -fPIC -O1 -w -I"$work" -isystem "$tree" -isystem "$tree/include" \
		$(pkg-config --cflags glib-2.0) qemu-device/preload.c -o "$work/q35-accel.so"
}

load() {
	echo '{"execute": "qmp_capabilities"} {"execute": "quit"}' |
		Q35_BUILD=$work timeout 60 tools/q35-qemu -machine none -nodefaults -display none \
			-accel tcg -qmp stdio >"$work/output" 2>&1
}

check() { # NUMBER NAME CHANGE STATUS WORDS
	built_for "$3"
	load
	status=$?
	if [ $status = "$4" ] && [ "$(grep -c '^q35-accel: ' "$work/output")" = "$4" ] &&
		grep -q "$5" "$work/output"; then
		echo "ok $1 $2"
	else
		sed "s/^/# status $status: /" "$work/output"
		echo "not ok $1 $2"
		failed=1
	fi
}

echo "TAP version 13"
echo 1..3
check 1 "the QEMU that it was built for loads it" '' 0 '"QMP"'
check 2 "another release is refused" 's/\(QEMU_VERSION_MINOR\) .*/\1 99/' 1 \
	'built for QEMU [0-9]*\.99, this is [0-9.]* (the version differs): rebuild it'
check 3 "another layout is refused" '/CONFIG_INT128/d' 1 '(the layout of PCIDevice differs): rebuild it'
exit $failed
