#!/bin/sh
# SPDX-License-Identifier: MIT
# q35 project: what it prints is well formed and follows its options; wrong ones are refused. The
# arithmetic has tests of its own.
# shellcheck disable=SC2317 # run_tests calls the tests by name
. "$(dirname "$0")/harness.inc"

# Values of these lines of JSON in the output.
values() { # KEY
	sed -n "s/^ *\"$1\": \(.*[^,]\),*$/\1/p" "$work/out"
}

is() { # KEY VALUE
	[ "$(values "$1" | head -n1)" = "$2" ] || note "$1 is $(values "$1" | head -n1), not $2"
}

wrong_usage() { # TEXT ARGUMENT…
	expected=$1
	shift
	try "$q35" project "$@"
	[ "$status" = 2 ] || note "$*: status $status"
	[ "$(wc -l <"$work/err")" = 1 ] || note "$*: $(cat "$work/err")"
	grep -qF -- "$expected" "$work/err" || note "$*: no \"$expected\": $(cat "$work/err")"
	[ ! -s "$work/out" ] || note "$*: printed $(cat "$work/out")"
}

test_text_says_everything() {
	succeeds "$q35" project
	for word in "llama-70b" "80 layers" "tokens/s" "first token" "J a token" "10000 tokens a second" \
		"weights / 1 +" "pJ a bit" "Assumed"; do
		grep -qF "$word" "$work/out" || note "no \"$word\""
	done
}

test_json_follows_the_options() {
	succeeds "$q35" project -m llama-405b --cards 9 --batch 18 --context 4000 --format int4 \
		--split pipeline --hbm-gbps 1111 --pcie-gbps 55 --clock-mhz 1234 --lanes 70000 --rows 17 \
		--decode 999 --launch-ns 0 --hop-ns 77 --memory-gb 300 --goal 123 --json
	is model '"llama-405b"'
	is cards 9
	is batch 18
	is context 4000
	is format '"int4"'
	is split '"pipeline"'
	is hbm_gbps 1111
	is pcie_gbps 55
	is clock_mhz 1234
	is lanes 70000
	is rows 17
	is decode 999
	is launch_ns 0
	is hop_ns 77
	is memory_bytes 300000000000
	is missing_bytes 0
	grep -q '"tokens_per_second": 123,' "$work/out" || note "the goal is not 123"
}

test_more_bandwidth_is_more_tokens() {
	succeeds "$q35" project --json
	slow=$(values tokens_per_second | head -n1)
	succeeds "$q35" project --json --hbm-gbps 400 --decode 2048 --lanes 65536
	fast=$(values tokens_per_second | head -n1)
	echo "$slow $fast" | awk '{ exit !($2 > 1.8 * $1 && $2 <= 2 * $1) }' || note "$slow, then $fast"
}

test_sweep_has_all_models_and_batches() {
	succeeds "$q35" project --sweep --cards 8
	[ "$(grep -c '^| llama-' "$work/out")" = 40 ] || note "$(cat "$work/out")"
	grep -q '| lacks ' "$work/out" || note "everything fits"
	succeeds "$q35" project --sweep --cards 8 --json
	[ "$(values model | wc -l)" = 41 ] || note "models: $(values model | wc -l)" # and the goal's
	[ "$(values bits_per_weight | wc -l)" = 40 ] || note "bits: $(values bits_per_weight | wc -l)"
	# A row has a speed if and only if the model fits; the goal and its three batches have one each.
	fitting=$(values missing_bytes | grep -cx 0)
	[ "$(values tokens_per_second | wc -l)" = $((fitting + 4)) ] ||
		note "speeds: $(values tokens_per_second | wc -l), fitting: $fitting"
}

test_what_does_not_fit_is_refused_with_the_bytes() {
	refused "lacks 10746893312 bytes of 30746893312" "$q35" project --memory-gb 20
	refused "lacks" "$q35" project -m llama-405b -b 256 --json
	[ ! -s "$work/out" ] || note "printed $(cat "$work/out")"
}

test_wrong_usage_is_said() {
	wrong_usage "--model gpt" --model gpt
	wrong_usage "--format q4" --format q4
	wrong_usage "--split both" --split both
	wrong_usage "--batch 257" --batch 257
	wrong_usage "--batch 0" -b 0
	wrong_usage "--cards 65" --cards 65
	wrong_usage "--cards 81" --cards 81 --split pipeline
	wrong_usage "--cards 0" --cards 0
	wrong_usage "--context 131073" --context 131073
	wrong_usage "--hbm-gbps 1.5" --hbm-gbps 1.5
	wrong_usage "--lanes -1" --lanes -1
	wrong_usage "--clock-mhz 1048577" --clock-mhz 1048577
	wrong_usage "no such option" --speed 9
	wrong_usage "needs a value" --cards
	wrong_usage "options only" llama-70b
	succeeds "$q35" project --help
	grep -q '^usage: q35 project ' "$work/out" || note "$(cat "$work/out")"
}

run_tests
