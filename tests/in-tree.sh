#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Tests of the card as a part of QEMU's source tree, under address and undefined-behaviour sanitizers:
# those of tests/device that want a machine, the trace points, and the fuzz target for a few seconds.
# `make check-in-tree` has built them; output is in build/check-in-tree/. The last line is the result.
#
#	tests/in-tree.sh DIRECTORY	QEMU's build directory
#
# $Q35_FUZZ_SECONDS says how long to fuzz [20].
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

directory=$1
build=${Q35_BUILD:-$PWD/build}
logs=$build/check-in-tree
export Q35_CARD=builtin Q35_QEMU=$logs/qemu
# QEMU leaves memory behind when it ends.
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
failed=0

run() { # NAME SECONDS COMMAND…
	local log=$logs/$1.log status=0
	timeout -k 5 "$2" "${@:3}" >"$log" 2>&1 </dev/null || status=$?
	if [ $status = 0 ]; then
		printf '  %-20s ok: %s\n' "$1" "$(grep -aE '^# PASSED|^Done [0-9]' "$log")"
	else
		printf '  %-20s FAILED, exit status %s; %s:\n' "$1" "$status" "$log"
		grep -av '^# *\(RUN\|OK\) ' "$log" | tail -n 40 | sed 's/^/    | /'
		failed=1
	fi
}

# Of the trace points, which QEMU writes to its standard error, each must have been passed.
traced() {
	local event missing=()
	for event in $(sed -n 's/^\(q35_accel_[a-z]*\)(.*/\1/p' qemu-device/in-tree/trace-events); do
		grep -q "^$event " "$logs/machine_faults.log" || missing+=("$event")
	done
	[ ${#missing[@]} = 0 ] && echo "  traces               ok" ||
		{ echo "  traces               FAILED: no ${missing[*]}"; failed=1; }
}

rm -rf "$logs"
mkdir -p "$logs/findings"
printf '#!/bin/sh\nexec %s "$@" -trace "q35_accel_*"\n' "$directory/qemu-system-x86_64" >"$logs/qemu"
chmod +x "$logs/qemu"
echo "In QEMU's tree, with sanitizers"
for program in $(grep -l '"machine.h"' tests/device/*.c); do
	name=$(basename "$program" .c)
	run "$name" 600 "$build/tests/device/$name"
done
traced
seconds=${Q35_FUZZ_SECONDS:-20}
run fuzz $((10 * seconds + 300)) "$directory/qemu-fuzz-x86_64" --fuzz-target=q35-accel \
	-max_total_time="$seconds" -max_len=512 -len_control=0 -timeout=100 \
	-artifact_prefix="$logs/findings/"
[ $failed = 0 ] && echo "check-in-tree: ok" || { echo "check-in-tree: FAILED"; exit 1; }
