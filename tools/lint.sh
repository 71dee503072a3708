#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Static checks, by `make lint`, of all files that git knows of: one line a check, and of a check that
# fails what it said. Exit status 1 if any fails.
#
#	tools/lint.sh [CHECK…]		format checkpatch sparse clang coccinelle cppcheck abi shell
#					licence
#	tools/lint.sh reformat		make it as format wants it
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

build=${Q35_BUILD:-$PWD/build}
work=$build/lint
eval "$(sed -n 's/^\([A-Z_]*\) := \([^$]*\)$/\1=\2/p' "$build/setup.mk")"
mapfile -t sources < <(git ls-files '*.c' '*.h')
failed=0

# Those of the sources that match $1, or with -v don't.
pick() {
	printf '%s\n' "${sources[@]}" | grep "$@" || true
}

# Register and ABI tables are aligned by hand; QEMU has no clang-format style.
formatted() { pick -v -e '^driver/q35_hw\.h' -e '^driver/uapi/' -e '^qemu-device/'; }
check_format() { formatted | xargs clang-format --dry-run -Werror; }
check_reformat() { formatted | xargs clang-format -i; }

# checkpatch judges user space by rules that are the kernel's own; without those rules there:
#	PREFER_KERNEL_TYPES, BIT_MACRO, ARRAY_SIZE, PREFER_DEFINED_ATTRIBUTE_MACRO, STRCPY, NAKED_SSCANF
#			name what only the kernel's headers define
#	CAMELCASE	C11's _Static_assert, libdrm's drmIoctl
#	ENOSYS		is a plain errno here
#	VOLATILE	keeps a load that a test makes for its fault
#	COMPLEX_MACRO, MACRO_ARG_REUSE, MULTIPLE_ASSIGNMENTS	initializers and tests written once
# and in the card's and the ABI's headers, which user space includes:
#	BIT_MACRO	is not for user space
# LONG_LINE_STRING: messages are not split, so that they can be searched for. SPACING reads the
# exponent of a hexadecimal float as an operator. LONG_LINE_COMMENT: counts a character of UTF-8 as
# several. ALLOC_WITH_SIZEOF: kzalloc_obj() is younger than 6.12. PARENTHESIS_ALIGNMENT and the like are clang-format's business.
check_checkpatch() {
	local common=LONG_LINE_STRING,LONG_LINE_COMMENT,PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE
	common+=,ALLOC_WITH_SIZEOF
	local user=PREFER_KERNEL_TYPES,BIT_MACRO,ARRAY_SIZE,PREFER_DEFINED_ATTRIBUTE_MACRO
	user+=,STRCPY,NAKED_SSCANF,CAMELCASE,ENOSYS,SPACING
	user+=,VOLATILE,COMPLEX_MACRO,MACRO_ARG_REUSE,MULTIPLE_ASSIGNMENTS
	local found
	patch() { # IGNORED FILE…
		perl "$CHECKPATCH" --no-tree --strict --terse --show-types --max-line-length=100 \
			--ignore "$1" -f "${@:2}"
	}
	# shellcheck disable=SC2046 # no blanks in names
	found=$(
		patch "$common" $(pick '^driver/.*\.[ch]$' | grep -v -e q35_hw.h -e /uapi/)
		patch "$common,BIT_MACRO" driver/q35_hw.h driver/uapi/drm/*.h
		patch "$common,$user" $(pick -v -e '^driver/' -e '^qemu-device/')
	)
	rm -f .checkpatch-camelcase.*
	! grep -v -e '^total: ' -e '^$' <<<"$found"
}

# Builds the module; what is said meanwhile, but by make.
build_module() { # DIRECTORY ARGUMENT…
	rm -rf "$1"
	mkdir -p "$1"
	cp -rs "$PWD/Kbuild" "$PWD/driver" "$1/"
	make -s -C "$KERNEL_ROOT/lib/modules/$KERNEL_RELEASE/build" M="$1" -j"$(nproc)" W=1 "${@:2}" \
		modules 2>&1 | grep -v '^make'
}

check_sparse() {
	build_module "$work/kmod" C=1 CHECK=sparse >"$work/sparse.txt"
	cat "$work/sparse.txt"
	! grep -qE '(warning|error):' "$work/sparse.txt" && [ -e "$work/kmod/q35.ko" ]
}

# The module as clang compiles it; it runs, too: make check-clang. Warnings count in the driver, not in
# headers, nor what objtool says: it misses returns as only newer clangs make them.
check_clang() {
	build_module "$work/clang" CC="$PWD/tools/clang" >"$work/clang.txt"
	grep -E "($work/clang/driver/[^ ]*: warning|error):" "$work/clang.txt" && return 1
	[ -e "$work/clang/q35.ko" ]
}

# The kernel's own semantic patches, one by one. Some cannot report or ask for an OCaml compiler. orplus
# takes sums of addresses for those of bits.
check_coccinelle() {
	local found
	patches() { find "$(dirname "$CHECKPATCH")/coccinelle" -name '*.cocci' ! -name orplus.cocci; }
	found=$(patches | sort | xargs -P "$(nproc)" -I PATCH sh -c 'if spatch -D report --very-quiet --no-show-diff \
		--include-headers -I driver -I driver/uapi --cocci-file PATCH --dir driver 2>/dev/null </dev/null
		then echo "PATCH has been tried"; fi')
	grep -v ' has been tried$' <<<"$found" && return 1
	[ "$(grep -c ' has been tried$' <<<"$found")" -gt 50 ]
}

# invalidPointerCast: buffers hold floats and integers by turns; readdir: each stream has one reader.
check_cppcheck() {
	pick '^\(libq35\|tools\|qemu-device/asic\)/.*\.c' | xargs cppcheck --quiet --std=c11 -j"$(nproc)" \
		--enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingInclude --suppress=invalidPointerCast --suppress=readdirCalled \
		-Ilibq35/include -Ilibq35/kernels -Idriver
}

# No hole, no tail padding in what crosses the ABI or lies in the card's memory.
check_abi() {
	local cflags
	read -ra cflags < <(pkg-config --cflags libdrm)
	printf '#include "drm/q35_accel.h"\n#include "q35_hw.h"\n' |
		gcc -g -fno-eliminate-unused-debug-types -Idriver -Idriver/uapi \
			"${cflags[@]}" -x c -c - -o "$work/abi.o"
	pahole -F dwarf "$work/abi.o" >"$work/abi.txt"
	awk '/^struct (drm_q35_|q35_hw_)/ { n++; inside = 1; name = $2 }
		inside && /hole|padding/ { print name ": " $0; bad = 1 }
		/^};/ { inside = 0 }
		END { print n " structures"; exit bad || n < 20 }' "$work/abi.txt"
}

check_shell() {
	git ls-files '*.sh' .ci/run tools/vm/init tools/q35-qemu tools/clang | xargs shellcheck -S warning -x -P SCRIPTDIR
}

check_licence() {
	local file bad=0
	while read -r file; do
		case $file in
		LICENSES/* | README.md | *.md | *.gguf | *.txt | *.log | *.json | .gitignore | *.bin) continue ;;
		esac
		head -n 2 "$file" | grep -q SPDX-License-Identifier: || { echo "$file: no SPDX line"; bad=1; }
	done < <(git ls-files)
	return $bad
}

mkdir -p "$work"
[ $# != 0 ] || set -- format checkpatch sparse clang coccinelle cppcheck abi shell licence
for check; do
	if "check_$check" >"$work/$check.log" 2>&1 </dev/null; then
		printf '  %-12s ok\n' "$check"
	else
		printf '  %-12s FAILED\n' "$check"
		head -n "${Q35_LINT_LINES:-40}" "$work/$check.log" | sed 's/^/    | /'
		failed=1
	fi
done
exit $failed
