#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What a submission costs a guest beside a round trip of its threads (guest/latency.c), and its token
# rate on the card beside the same guest's CPU backend, one after the other several times over in one
# boot: the medians. The model is the demonstration model; `make bench` has built what it takes.
#
#	tools/bench/guest.sh [-o FILE]	table and JSON as of q35-bench
#
# $Q35_TOKENS changes how long each text is.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${Q35_BUILD:-$PWD/build}
model=tools/model/kjv.gguf
rounds=5
output=
if [ $# = 2 ] && [ "$1" = -o ]; then
	output=$2
elif [ $# != 0 ]; then
	sed -n '/^#	tools/s/^#	/usage: /p' "$0" >&2
	exit 2
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/q35-guest-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
	echo "guest.sh: $*" >&2
	exit 1
}

# Adds to table and JSON; of the peer name and value, both empty if there is none.
row() { # NAME VALUE UNIT PEER VALUE
	awk -v name="$1" -v value="$2" -v unit="$3" -v peer="$4" -v other="$5" -v json="$work/json" 'BEGIN {
		ratio = peer == "" ? "" : value / other
		printf "| %s | %.4g | %s | %s | %s | %s | | |\n", name, value, unit, peer,
			peer == "" ? "" : sprintf("%.4g", other), peer == "" ? "" : sprintf("%.4g", ratio)
		printf "  {\n    \"name\": \"%s\",\n    \"value\": %.9g,\n    \"unit\": \"%s\",\n", name, value, unit >json
		printf "    \"peer\": %s,\n", peer == "" ? "null" : "\"" peer "\"" >json
		printf "    \"peer_value\": %s,\n", peer == "" ? "null" : sprintf("%.9g", other) >json
		printf "    \"ratio\": %s,\n", peer == "" ? "null" : sprintf("%.9g", ratio) >json
		printf "    \"limit\": null,\n    \"limit_share\": null\n  }" >json
	}' >>"$work/table"
	printf '%s' "${rows:+,
}" >>"$work/rows"
	cat "$work/json" >>"$work/rows"
	rows=some
}

load() { # WHEN
	row "load average of the machine ($(nproc) processors), $1" "$(cut -d' ' -f1 /proc/loadavg)" processes '' ''
}

under=$(tools/vm/accelerator.sh | tr a-z A-Z)

rows=
load before
"$build/q35" quantize --format t8 "$model" -o "$work/model.gguf" >"$work/log" 2>&1 ||
	fail "$model could not be quantized: $(cat "$work/log")"
tools/vm/run.sh -t 900 -o "$work/out" -f "$work/model.gguf:model.gguf" \
	-f "$build/vm/latency:latency" -- "
	/latency | sed 's/^/latency /' || exit 1
	for round in \$(seq $rounds); do
		for device in /dev/accel/accel0 cpu; do
			q35 generate /model.gguf -d \$device -p 'In the beginning' -n ${Q35_TOKENS:-60} \
				--json >/result || exit 1
			echo \"rate \$device \$(sed -n 's/.*\"generated_tokens_per_second\": //p' /result)\"
		done
	done" >"$work/log" || fail "the guest failed: $(tail -n 5 "$work/log")"

while IFS='|' read -r name value unit peer other; do
	row "$name" "$value" "$unit" "$peer" "$other"
done < <(sed -n 's/\r$//; s/^latency //p' "$work/log")
grep -q '^latency ' "$work/log" || fail "the guest has not told its latency: $(cat "$work/log")"

median() { # DEVICE
	sed -n "s|^rate $1 \([0-9.e+-]*\),*\r*$|\1|p" "$work/log" | sort -g | sed -n "$(((rounds + 1) / 2))p"
}
card=$(median /dev/accel/accel0)
cpu=$(median cpu)
if [ -z "$card" ] || [ -z "$cpu" ]; then
	fail "the guest has not told its rates: $(cat "$work/log")"
fi
row "demonstration model in a guest under $under, on the card" "$card" tokens/s \
	"CPU backend in the same guest" "$cpu"
load after

printf '## A guest with the card\n\n'
echo "| | value | unit | peer | peer's value | ratio | limit | of the limit |"
echo '|---|---|---|---|---|---|---|---|'
cat "$work/table"
echo
if [ "$output" ]; then
	printf '[\n%s\n]\n' "$(cat "$work/rows")" >"$output.new"
	mv "$output.new" "$output"
	echo "JSON: $output"
fi
