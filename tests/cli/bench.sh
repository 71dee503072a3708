#!/bin/sh
# SPDX-License-Identifier: MIT
# q35-bench with little work: what it writes is well formed. What it measures is not judged here.
. "$(dirname "$0")/harness.inc"
bench=${Q35_BUILD:-$PWD/build}/q35-bench

# Numbers in these lines of JSON.
values() { # KEY FILE
	sed -n "s/^ *\"$1\": \(.*[^,]\),*$/\1/p" "$2"
}

# Rows of eight keys each, nothing but positive numbers and nulls, a ratio wherever there is a peer.
well_formed() { # FILE
	rows=$(values name "$1" | wc -l)
	[ "$rows" -gt 0 ] || note "$1 has no rows"
	for key in name value unit peer peer_value ratio limit limit_share; do
		[ "$(values $key "$1" | wc -l)" = "$rows" ] || note "$1: $key is not in every row"
	done
	for key in name unit; do
		values $key "$1" | grep -qv '^".\+"$' && note "$1: $key: $(values $key "$1" | tr '\n' ' ')"
	done
	for key in value peer_value ratio limit limit_share; do
		values $key "$1" | grep -qvE '^(null|[0-9.]+(e[-+]?[0-9]+)?)$' &&
			note "$1: $key: $(values $key "$1" | tr '\n' ' ')"
	done
	[ "$(values peer "$1" | grep -c '^"')" = "$(values ratio "$1" | grep -vc '^null')" ] ||
		note "$1: peers without a ratio, or the reverse"
}

# And as many lines in the table.
table_matches() { # FILE
	[ "$(grep -c '^| [^|]' "$work/out")" = "$(values name "$1" | wc -l)" ] ||
		note "table: $(cat "$work/out")"
}

test_quality_rows_are_well_formed() {
	succeeds "$bench" quality -s 40x512 -o "$work/rows"
	well_formed "$work/rows"
	table_matches "$work/rows"
	for row in "t8" "t4" "s-minmax" "INT4 absmax, per column" "size of t8"; do
		grep -q "\"N(0,1) 40x512: $row\"" "$work/rows" || note "no $row"
	done
	[ "$(values limit_share "$work/rows" | awk '$1 + 0 > 1' | wc -l)" = 0 ] ||
		note "better than theory allows: $(values limit_share "$work/rows" | tr '\n' ' ')"
}

test_quality_of_a_model() {
	if [ ! -e "$model" ]; then
		skip="no $model"
		return
	fi
	succeeds "$bench" quality -s 16x64 -m "$model" -o "$work/rows"
	well_formed "$work/rows"
	grep -q "\"${model##*/}: t8\"" "$work/rows" || note "no t8"
	try "$bench" quality -s 16x64 -m "$work/none"
	[ "$status" = 1 ] || note "status $status"
	grep -q "^q35-bench: $work/none: No such file" "$work/err" || note "$(cat "$work/err")"
}

# All of it takes minutes.
test_perplexity_wants_a_model_and_its_texts() {
	try "$bench" perplexity
	[ "$status" = 1 ] || note "status $status"
	grep -q "^q35-bench: perplexity: of no model; --model names one" "$work/err" ||
		note "$(cat "$work/err")"
	cp "$model" "$work/model"
	try "$bench" perplexity -m "$work/model"
	[ "$status" = 1 ] || note "status $status"
	grep -q "^q35-bench: $work/heldout.txt: No such file" "$work/err" ||
		note "$(cat "$work/err")"
}

test_gemv_rows_are_well_formed() {
	succeeds "$bench" gemv -s 70x300 -t 1 -S 0.01 --working-set 1000000 -o "$work/rows"
	well_formed "$work/rows"
	table_matches "$work/rows"
	grep -q '"t8, 70x300, m=1, threads=1, act_block=128"' "$work/rows" || note "no t8"
	succeeds "$bench" gemv -s 70x300 -t 1 -S 0.01 --working-set 1000 --ggml "$work/none"
	grep -q "^q35-bench: no ggml to compare with: $work/none: " "$work/err" ||
		note "$(cat "$work/err")"
}

test_gemm_rows_are_well_formed() {
	succeeds "$bench" gemm -s 65x9 -t 2 -S 0.01 --working-set 1000 -o "$work/rows"
	well_formed "$work/rows"
	table_matches "$work/rows"
	grep -q "\"odd shape: t8, 64x10, m=127, threads=1\"" "$work/rows" || note "no odd shape"
	for m in 1 8 32 128; do
		grep -q "\"t8, 65x9, m=$m, threads=2, act_block=128\"" "$work/rows" || note "no m=$m"
	done
}

test_engine_rows_are_well_formed() {
	succeeds "$bench" engine -s 70x300 -t 2 -S 0.01 --working-set 1000 -o "$work/rows"
	well_formed "$work/rows"
	table_matches "$work/rows"
	for setting in "m=1, threads=1, jobs=1" "m=32, threads=2, jobs=8" "m=128, threads=1, jobs=8"; do
		grep -q "\"card's engine, 70x300, $setting\"" "$work/rows" || note "no $setting"
	done
}

test_quantize_rows_are_well_formed() {
	TMPDIR=$work succeeds "$bench" quantize -s 256x4096 -t 2 -S 0.01 -o "$work/rows"
	well_formed "$work/rows"
	table_matches "$work/rows"
	grep -q '"s-lloyd, threads=2, 256x4096"' "$work/rows" || note "no s-lloyd"
	grep -q 'memory at most' "$work/rows" || note "no memory"
	rm "$work/out" "$work/err"
	only "$work" rows
}

test_q35_finds_it() {
	succeeds "$q35" bench gemv -s 8x8 -t 1 -S 0.001 --working-set 1
	grep -q '^## Matrix times vector' "$work/out" || note "$(cat "$work/out")"
	try "$q35" bench none
	[ "$status" = 2 ] || note "status $status"
	cp "$q35" "$work/q35"
	LD_LIBRARY_PATH=${q35%/*} try "$work/q35" bench gemv
	[ "$status" = 1 ] || note "alone: status $status"
	grep -q '^q35: bench: .*/libexec/q35-bench: not there' "$work/err" || note "$(cat "$work/err")"
}

test_figures_say_what_is_missing() {
	if ! command -v gnuplot jq >/dev/null; then
		skip="no gnuplot or jq"
		return
	fi
	mkdir -p "$work/build/bench"
	Q35_BUILD=$work/build try tools/figures/figures.sh limit
	[ "$status" = 1 ] || note "status $status"
	grep -q 'gemv.json is missing; run: make bench' "$work/err" || note "$(cat "$work/err")"
	"$bench" gemv -s 8x8 -t 1 -S 0.001 --working-set 1 -o "$work/build/bench/gemv.json" >"$work/out" 2>&1
	Q35_BUILD=$work/build succeeds tools/figures/figures.sh limit throughput
	for figure in limit throughput; do
		[ -s "$work/build/figures/$figure.svg" ] && [ -s "$work/build/figures/$figure.pdf" ] ||
			note "no $figure"
	done
}

test_only_a_regular_file_is_replaced() {
	mkfifo "$work/fifo"
	try "$bench" gemv -s 8x8 -t 1 -S 0.001 --working-set 1 -o "$work/fifo"
	[ "$status" = 1 ] || note "status $status"
	grep -q "$work/fifo: cannot be written: not a regular file" "$work/err" || note "$(cat "$work/err")"
	[ ! -s "$work/out" ] || note "only after the measurement"
	[ -p "$work/fifo" ] || note "it has been replaced"
}

test_wrong_usage_is_said() {
	for arguments in "" "none" "gemv gemm" "gemv -s 0x3" "gemv -s 3" "gemv -t 0" "gemv -S -1" "gemv -x" \
		"gemv -o"; do
		# shellcheck disable=SC2086 # words
		try "$bench" $arguments
		[ "$status" = 2 ] || note "q35-bench $arguments: status $status"
		[ "$(wc -l <"$work/err")" = 1 ] || note "$(cat "$work/err")"
	done
	succeeds "$bench" --help
	grep -q '^usage: q35-bench ' "$work/out" || note "$(cat "$work/out")"
}

test_unwritable_output_leaves_nothing() {
	try "$bench" gemv -s 8x8 -t 1 -S 0.001 --working-set 1 -o "$work/no/rows"
	[ "$status" = 1 ] || note "status $status"
	grep -q "^q35-bench: $work/no/rows: cannot be written: No such file" "$work/err" || note "$(cat "$work/err")"
}

run_tests
