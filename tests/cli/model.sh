#!/bin/sh
# SPDX-License-Identifier: MIT
# The way from a trained model to text, on the CPU.
# shellcheck disable=SC2034,SC2317 # run_tests calls the tests by name and reads skip
. "$(dirname "$0")/harness.inc"

# Quantized once for all tests: run_tests empties the scratch folder each time.
keep=$(mktemp -d /tmp/q35-cli.XXXXXX) || exit 1
trap 'rm -rf "$work" "$keep"' EXIT
small=$keep/t8.gguf

number_in() { # KEY FILE
	sed -n "s/^  \"$1\": \([-0-9.e+]*\),*$/\1/p" "$2"
}

# The condition is awk's.
holds() { # CONDITION
	awk "BEGIN { exit !($1) }" || note "not so: $1"
}

test_quantize_says_bits_ratio_and_error_per_tensor_and_in_all() {
	succeeds "$q35" quantize "$model" -o "$small"
	[ "$(grep -c '^blk\.' "$work/out")" = 42 ] || note "$(cat "$work/out")"
	grep -qE '^output.weight +320 x 256 +3\.[0-9]+ +[0-9.]+ +[0-9.]+ %$' "$work/out" ||
		note "$(cat "$work/out")"
	grep -q '^all ' "$work/out" || note "$(cat "$work/out")"
	only "$keep" t8.gguf
	succeeds "$q35" quantize "$model" -o "$keep/again.gguf" --threads 1 --json
	holds "$(number_in bits_per_weight "$work/out") < 3.6"
	holds "$(number_in ratio_to_f32 "$work/out") > 8.9"
	holds "$(number_in rmse_over_std "$work/out") < 0.105"
	holds "$(number_in weights "$work/out") == 4210688"
	cmp "$small" "$keep/again.gguf" || note "the threads show in the result"
}

test_every_format_runs() {
	for format in s-minmax s-lloyd t7 t4; do
		succeeds "$q35" quantize "$model" -o "$work/$format" -f "$format"
		succeeds "$q35" generate "$work/$format" -p In -n 4
		succeeds "$q35" info "$work/$format"
		grep -q "^q35.format *\"$format\"$" "$work/out" || note "$(cat "$work/out")"
	done
}

test_what_is_not_a_matrix_is_copied() {
	"$q35" info "$model" | grep -v -e '^blk.*ffn_[gud]' -e '^blk.*attn_[qkvo]' \
		-e '^output.weight' -e general.file_type >"$work/before"
	"$q35" info "$small" | grep -v -e 'q35[._]' -e general.file_type >"$work/after"
	cmp "$work/before" "$work/after" || note "$(diff "$work/before" "$work/after")"
	succeeds "$q35" info "$small" --json
	grep -q '"name": "blk.5.ffn_down.weight.q35_tiles"' "$work/out" || note "no tiles"
}

test_generated_text_is_the_same_each_time() {
	succeeds "$q35" generate "$small" -p "And the LORD said" -n 40
	mv "$work/out" "$work/first"
	grep -q '^And the LORD said' "$work/first" || note "$(cat "$work/first")"
	succeeds "$q35" generate "$small" -p "And the LORD said" -n 40
	cmp "$work/out" "$work/first" || note "the same seed, another text"
	succeeds "$q35" generate "$small" -p "And the LORD said" -n 40 --seed 36
	cmp -s "$work/out" "$work/first" && note "another seed, the same text"
	succeeds "$q35" generate "$small" -p "And the LORD said" -n 40 -T 0
	grep -q '^generation  40 tokens' "$work/err" || note "$(cat "$work/err")"
	grep -q '^device      cpu' "$work/err" || note "$(cat "$work/err")"
}

test_comparison_counts_prompt_and_text() {
	succeeds "$q35" generate "$small" -p "And the LORD said" -n 10 --compare cpu --json
	# the last token is never fed: 18 of the prompt, then 9 steps
	[ "$(number_in compared_tokens "$work/out")" = 27 ] || note "$(cat "$work/out")"
	[ "$(number_in jobs "$work/out")" = $((10 * 43)) ] || note "$(cat "$work/out")"
	[ "$(number_in submissions "$work/out")" = $((10 * 19)) ] || note "$(cat "$work/out")"
}

test_logits_are_written_whole() {
	mkdir "$work/to"
	succeeds "$q35" generate "$small" -p "In the" -n 3 --logits "$work/to/logits"
	[ "$(stat -c %s "$work/to/logits")" = $((3 * 4 * 320)) ] || note "$(ls -l "$work/to")"
	only "$work/to" logits
	refused "$work/to/no/logits: cannot be written: No such file" \
		"$q35" generate "$small" -n 1 --logits "$work/to/no/logits"
	mkfifo "$work/fifo"
	refused "$work/fifo: cannot be written: not a regular file" \
		"$q35" generate "$small" -n 1 --logits "$work/fifo"
	rm "$work/to/logits"
	try sh -c "ulimit -f 0; exec '$q35' generate '$small' -n 3 --logits '$work/to/logits'"
	[ "$status" = 1 ] || note "status $status on a full disk"
	only "$work/to"
}

test_context_limit_is_said() {
	succeeds "$q35" generate "$small" -p "In" -n 1000
	grep -q "^stopped     the model's context of 256 tokens is full" "$work/err" ||
		note "$(cat "$work/err")"
	grep -q '^generation  253 tokens' "$work/err" || note "$(cat "$work/err")"
	refused "the prompt is 301 tokens long, the model's context 256" \
		"$q35" generate "$small" -p "$(printf '%0300d' 0)"
}

# Genesis 16, which the model has not been trained on. A wrong rotation or mask makes it 6 and more.
test_perplexity_of_unseen_text_is_low() {
	cat >"$work/text" <<'END'
Now Sarai Abram's wife bare him no children: and she had an handmaid, an Egyptian, whose name was Hagar.
And Sarai said unto Abram, Behold now, the LORD hath restrained me from bearing: I pray thee, go in unto my maid; it may be that I may obtain children by her. And Abram hearkened to the voice of Sarai.
And Sarai Abram's wife took Hagar her maid the Egyptian, after Abram had dwelt ten years in the land of Canaan, and gave her to her husband Abram to be his wife.
And he went in unto Hagar, and she conceived: and when she saw that she had conceived, her mistress was despised in her eyes.
And Sarai said unto Abram, My wrong be upon thee: I have given my maid into thy bosom; and when she saw that she had conceived, I was despised in her eyes: the LORD judge between me and thee.
END
	succeeds "$q35" perplexity "$small" "$work/text" --json
	holds "$(number_in perplexity_per_byte "$work/out") < 3.8"
	[ "$(number_in bytes "$work/out")" = "$(wc -c <"$work/text")" ] || note "$(cat "$work/out")"
	refused "$work/none: No such file" "$q35" perplexity "$small" "$work/none"
	: >"$work/empty"
	refused "$work/empty: no text" "$q35" perplexity "$small" "$work/empty"
}

# Of the model that was not quantized, and of both others by how much they are worse.
test_calibrated_model_is_nearer_to_what_it_was() {
	succeeds "$q35" quantize "$model" -o "$work/calibrated" --tokens 6000 \
		--calibrate tools/model/calibration.txt
	grep -q '^calibrated with 60[0-9][0-9] tokens of tools/model/calibration.txt' "$work/out" ||
		note "$(cat "$work/out")"
	succeeds "$q35" quantize "$model" -o "$work/again" --tokens 6000 -t 1 --json \
		--calibrate tools/model/calibration.txt
	cmp "$work/calibrated" "$work/again" || note "the threads show in the result"
	[ "$(number_in calibration_tokens "$work/out")" -gt 6000 ] || note "$(cat "$work/out")"
	[ "$(stat -c %s "$small")" = "$(stat -c %s "$work/calibrated")" ] || note "another size"
	succeeds "$q35" quantize "$model" -o "$work/scalar" --tokens 6000 -f s-lloyd \
		--calibrate tools/model/calibration.txt
	succeeds "$q35" perplexity "$model" "$small" "$work/calibrated" "$work/scalar" \
		tools/model/heldout.txt -n 12000 --json
	sed -n 's/^ *"nats_more_per_token": \([-0-9.e]*\),*$/\1/p' "$work/out" >"$work/more"
	holds "$(sed -n 1p "$work/more") == 0"
	holds "$(sed -n 2p "$work/more") > 0.002"
	holds "$(sed -n 3p "$work/more") < 0.8 * $(sed -n 2p "$work/more")"
	# 1.0 times with its channels in order, 1.6 without.
	holds "$(sed -n 4p "$work/more") < 1.3 * $(sed -n 2p "$work/more")"
	succeeds "$q35" perplexity "$model" "$small" tools/model/heldout.txt -n 300
	grep -qE "^$small +[0-9.]+ +[0-9.]+ +[+-][0-9.]+ \+- [0-9.]+$" "$work/out" ||
		note "$(cat "$work/out")"
}

test_cut_quantized_model_is_refused() {
	head -c 1000000 "$small" >"$work/model"
	refused "$work/model: truncated" "$q35" generate "$work/model"
	refused "$small: is quantized already" "$q35" quantize "$small" -o "$work/out.gguf"
}

test_safetensors_are_quantized_under_their_own_names() {
	header='{"lm_head.weight":{"dtype":"F32","shape":[3,5],"data_offsets":[0,60]},'
	header="$header"'"norm":{"dtype":"F32","shape":[5],"data_offsets":[60,80]}}     '
	{
		printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0%s" "$header"
		# floats from 0.5 to 2, by a byte that varies
		for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
			# shellcheck disable=SC2059
			printf "\0\0\\$(printf %03o $((i * 11)))\077"
		done
	} >"$work/model"
	succeeds "$q35" quantize "$work/model" -o "$work/out.gguf"
	grep -q 'no tokenizer' "$work/out" || note "$(cat "$work/out")"
	succeeds "$q35" info "$work/out.gguf"
	grep -q '^norm  *F32 ' "$work/out" || note "$(cat "$work/out")"
	grep -q '^lm_head.weight.q35_tiles  *I8 ' "$work/out" || note "$(cat "$work/out")"
	refused "not a llama model" "$q35" generate "$work/out.gguf"
}

test_help_and_version() {
	succeeds "$q35" --version
	grep -qE '^q35 [0-9]+\.[0-9]+\.[0-9]+$' "$work/out" || note "$(cat "$work/out")"
	succeeds "$q35" --help
	for command in quantize generate perplexity info; do
		grep -q "^  $command " "$work/out" || note "no $command in the help"
	done
	for command in quantize generate perplexity info; do
		succeeds "$q35" "$command" --help
		grep -q "^usage: q35 $command " "$work/out" || note "$(cat "$work/out")"
	done
	succeeds "$q35" info --device=cpu
	grep -q '^device  *cpu$' "$work/out" || note "$(cat "$work/out")"
}

run_tests
