#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What `make run` shows, once everything is built: a model is quantized on the host and writes text
# in a guest, every matrix product on the card; the same on the CPU must give the same bits.
#
#	tools/run.sh [PID]	of make, to tell how long all of it took
#
# $Q35_PROMPT and $Q35_TOKENS change what is written.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${Q35_BUILD:-$PWD/build}
model=tools/model/kjv.gguf
quantized=$build/kjv.q35.gguf
prompt=${Q35_PROMPT:-In the beginning}
started=${1:-$$}

fail() {
	echo "run: $*"
	exit 1
}

quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

[ -e "$model" ] || fail "$model is missing"
echo "== Quantizing $model to 3.5 bits a weight"
"$build/q35" quantize --format t8 "$model" -o "$quantized" || fail "the model could not be quantized"

echo "== Booting Debian's kernel with the card"
log=$build/run.log
tools/vm/run.sh -t 300 -o "$build/vm/run" -f "$quantized:model.gguf" -- \
	"dmesg | grep -o 'q35 0000.*'
	echo '== Generating on the card, then on the CPU'
	q35 generate /model.gguf --device /dev/accel/accel0 --prompt $(quoted "$prompt") \
		--tokens ${Q35_TOKENS:-200} --compare cpu" | tee "$log" || {
	status=$?
	[ $status != 125 ] || fail "the guest did not finish; its console is in $build/vm/run/console.txt"
	fail "q35 generate ended with status $status"
}
grep -q '^compared .* the same bits' "$log" || fail "the comparison with the CPU is missing"

# The process of make began so many clock ticks after boot; it stays the same when make starts anew
# after set-up.
began=$(sed 's/.*) //' "/proc/$started/stat" | cut -d' ' -f20)
took=$(awk -v b="$began" -v hz="$(getconf CLK_TCK)" '{ printf "%.1f", $1 - b / hz }' /proc/uptime)
echo "run: ok, text from the card and the CPU's bits are the same; $took s from the start of make"
