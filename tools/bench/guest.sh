#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A guest's token rate on the card beside the same guest's CPU backend, one after the other several
# times over in one boot; each median is a row. The model is the demonstration model.
#
#	tools/bench/guest.sh [FILE]	prints the table; the rows as JSON into FILE as well
#
# What `make guest` builds must be there. $Q35_TOKENS changes how long each text is.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${Q35_BUILD:-$PWD/build}
model=tools/model/kjv.gguf
output=${1:-}
rounds=5
work=$(mktemp -d "${TMPDIR:-/tmp}/q35-guest-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
	echo "guest.sh: $*" >&2
	exit 1
}

under=TCG
[ ! -w /dev/kvm ] || under=KVM

"$build/q35" quantize --format t8 "$model" -o "$work/model.gguf" >"$work/log" 2>&1 ||
	fail "$model could not be quantized: $(cat "$work/log")"
tools/vm/run.sh -t 900 -o "$work/out" -f "$work/model.gguf:model.gguf" -- "
	for round in \$(seq $rounds); do
		for device in /dev/accel/accel0 cpu; do
			q35 generate /model.gguf -d \$device -p 'In the beginning' -n ${Q35_TOKENS:-60} \
				--json >/result || exit 1
			echo \"rate \$device \$(sed -n 's/.*\"generated_tokens_per_second\": //p' /result)\"
		done
	done" >"$work/log" || fail "the guest failed: $(tail -n 5 "$work/log")"

median() { # DEVICE
	sed -n "s|^rate $1 \([0-9.e+-]*\),*\r*$|\1|p" "$work/log" | sort -g | sed -n "$(((rounds + 1) / 2))p"
}
card=$(median /dev/accel/accel0)
cpu=$(median cpu)
if [ -z "$card" ] || [ -z "$cpu" ]; then
	fail "the guest has not told its rates: $(cat "$work/log")"
fi

# As q35-bench has them.
awk -v name="demonstration model, guest under $under: text on the card" -v card="$card" -v cpu="$cpu" \
	-v json="$work/json" 'BEGIN {
	peer = "CPU backend in the same guest"
	printf "## A guest with the card\n\n"
	printf "| | value | unit | peer | peer'\''s value | ratio | limit | of the limit |\n"
	printf "|---|---|---|---|---|---|---|---|\n"
	printf "| %s | %.4g | tokens/s | %s | %.4g | %.4g | | |\n\n", name, card, peer, cpu, card / cpu
	printf "[\n  {\n    \"name\": \"%s\",\n    \"value\": %.9g,\n    \"unit\": \"tokens/s\",\n", name, card >json
	printf "    \"peer\": \"%s\",\n    \"peer_value\": %.9g,\n    \"ratio\": %.9g,\n", peer, cpu, card / cpu >json
	printf "    \"limit\": null,\n    \"limit_share\": null\n  }\n]\n" >json
}'
if [ "$output" ]; then
	cp "$work/json" "$output.new"
	mv "$output.new" "$output"
	echo "JSON: $output"
fi
