#!/bin/sh
# SPDX-License-Identifier: MIT
# Bad input and bad luck: one line that names the thing, status 1, and nothing left behind.
# shellcheck disable=SC2034,SC2317 # run_tests calls the tests by name and reads skip
. "$(dirname "$0")/harness.inc"

# Byte offset of a tensor's description in the model, behind its name.
described() { # TENSOR
	at=$(LC_ALL=C grep -abo -m1 "$1" "$work/model" | head -n1 | cut -d: -f1)
	echo $((at + ${#1}))
}

# Puts bytes, written as for printf, into the copy of the model.
patch() { # OFFSET BYTES
	# shellcheck disable=SC2059
	printf "$2" | dd of="$work/model" bs=1 seek="$1" conv=notrunc status=none
}

# Where the tensors' data begins: behind the last description (u32 dimensions, 2 u64, u32, u64).
data_start() {
	echo $((($(described token_embd.weight) + 4 + 16 + 4 + 8 + 31) / 32 * 32))
}

quantize_refused() { # TEXT
	mkdir -p "$work/to"
	refused "$1" "$q35" quantize "$work/model" -o "$work/to/out"
	only "$work/to"
}

test_missing_file_is_named() {
	quantize_refused "$work/model: No such file or directory"
	refused "$work/model: No such file" "$q35" generate "$work/model"
	refused "$work/model: No such file" "$q35" info "$work/model"
}

test_directory_is_named() {
	mkdir "$work/model"
	quantize_refused "$work/model: Is a directory"
}

test_file_of_another_kind_is_named() {
	cp "$0" "$work/model"
	quantize_refused "$work/model: neither a GGUF nor a safetensors file"
	: >"$work/model"
	quantize_refused "$work/model: the file is empty"
}

test_file_without_permission_is_named() {
	cp "$0" "$work/model"
	chmod 0 "$work/model"
	[ -r "$work/model" ] && skip="this user may read everything" && return
	quantize_refused "$work/model: Permission denied"
}

test_truncated_model_names_where() {
	for size in 10 1000 5000 10000 1000000; do
		head -c "$size" "$model" >"$work/model"
		quantize_refused "truncated"
		grep -qF "$work/model: " "$work/err" || note "no file in $(cat "$work/err")"
	done
	quantize_refused "truncated: the data of tensor"
}

test_zero_size_tensor_is_named() {
	cp "$model" "$work/model"
	patch $(($(described blk.0.attn_q.weight) + 4)) '\0\0\0\0\0\0\0\0'
	quantize_refused "tensor blk.0.attn_q.weight has a dimension of zero"
}

test_tensor_past_the_end_is_named() {
	cp "$model" "$work/model"
	patch $(($(described blk.3.ffn_up.weight) + 4 + 16 + 4)) '\0\0\0\0\0\0\0\020'
	quantize_refused "the data of tensor blk.3.ffn_up.weight lies past its end"
}

test_nan_in_a_matrix_is_named_with_its_place() {
	cp "$model" "$work/model" # the data begins with blk.0.attn_k.weight, f16, 256 columns
	patch $(($(data_start) + 2 * (256 * 3 + 5))) '\0\176'
	quantize_refused "tensor blk.0.attn_k.weight: "
	grep -q 'row 3.*column 5' "$work/err" || note "said $(cat "$work/err")"
}

test_infinity_in_a_copied_tensor_is_named_with_its_place() {
	cp "$model" "$work/model" # it ends with token_embd.weight, 320 x 256
	patch $(($(stat -c %s "$model") - 2)) '\0\374'
	quantize_refused "tensor token_embd.weight: infinity at element 81919"
}

test_names_in_files_do_nothing_to_the_terminal() {
	cp "$model" "$work/model"
	patch $(($(described general.architecture) + 4 + 8)) '\033[2J\n'
	quantize_refused "architecture ?[2J?: only llama is known here"
	try "$q35" info "$work/model"
	grep -qF 'general.architecture                       "\u001B[2J\n"' "$work/out" ||
		note "$(grep -a general.arch "$work/out" | od -c)"
}

test_full_disk_names_the_output() {
	mkdir "$work/to"
	refused "$work/to/out: cannot be written: File too large" \
		sh -c "ulimit -f 100; exec \"$q35\" quantize \"$model\" -o \"$work/to/out\""
	only "$work/to"
	grep -q RMSE "$work/out" && note "it began its work"
}

test_full_file_system_names_the_output() {
	mkdir "$work/to"
	unshare -rm mount -t tmpfs none "$work/to" 2>/dev/null ||
		{ skip="no mounts for this user"; return; }
	refused "$work/to/out: cannot be written: No space left on device" unshare -rm sh -c \
		"mount -t tmpfs -o size=64k none '$work/to' &&
		{ '$q35' quantize '$model' -o '$work/to/out'; s=\$?; ls -A '$work/to'; exit \$s; }"
	[ -s "$work/out" ] && note "left behind: $(cat "$work/out")"
}

test_full_standard_output_is_an_error() {
	[ -e /dev/full ] || { skip="no /dev/full"; return; }
	status=0
	"$q35" info "$model" >/dev/full 2>"$work/err" || status=$?
	[ "$status" = 1 ] || note "status $status"
	grep -q '^q35: standard output' "$work/err" || note "said $(cat "$work/err")"
}

test_output_that_cannot_be_is_named() {
	refused "$work/none/out: cannot be written: No such file" \
		"$q35" quantize "$model" -o "$work/none/out"
	refused "/dev/null: cannot be written: not a regular file" "$q35" quantize "$model" -o /dev/null
	cp "$model" "$work/model"
	refused "$work/model: is the input" "$q35" quantize "$work/model" -o "$work/model"
	cmp -s "$model" "$work/model" || note "the input has changed"
}

# Starts to quantize into $work/to, and returns when the first lines are there.
start_quantizing() { # OPTION…
	mkdir "$work/to"
	"$q35" quantize "$model" -t 1 -o "$work/to/out" "$@" >"$work/out" 2>"$work/err" &
	while [ ! -s "$work/out" ] && kill -0 $! 2>/dev/null; do
		sleep 0.01
	done
}

test_interrupted_quantization_leaves_nothing() {
	start_quantizing
	kill -TERM $!
	status=0
	wait $! || status=$?
	[ "$status" = 1 ] || note "status $status"
	[ "$(cat "$work/err")" = "q35: interrupted" ] || note "said $(cat "$work/err")"
	only "$work/to"
}

test_interrupted_calibration_leaves_nothing() {
	start_quantizing --calibrate tools/model/calibration.txt
	kill -INT $!
	status=0
	wait $! || status=$?
	[ "$status" = 1 ] || note "status $status"
	[ "$(cat "$work/err")" = "q35: interrupted" ] || note "said $(cat "$work/err")"
	only "$work/to"
}

test_quantization_interrupted_twice_leaves_nothing() {
	start_quantizing
	kill -TERM $!
	kill -TERM $! 2>/dev/null
	status=0
	wait $! || status=$?
	[ "$status" = 1 ] || [ "$status" = 143 ] || note "status $status"
	only "$work/to"
}

test_killed_quantization_leaves_nothing() {
	start_quantizing
	kill -KILL $!
	wait $! 2>/dev/null
	only "$work/to"
}

test_text_that_cannot_calibrate_is_named() {
	mkdir "$work/to"
	: >"$work/empty"
	echo "In the beginning" >"$work/short"
	set -- "$q35" quantize "$model" -o "$work/to/out" --calibrate
	refused "$work/none: No such file or directory" "$@" "$work/none"
	refused "$work/to: Is a directory" "$@" "$work/to"
	refused "$work/empty: no text" "$@" "$work/empty"
	refused "$work/short: 17 tokens are too few to calibrate with" "$@" "$work/short"
	refused "calibration.txt: 100 tokens are too few" \
		"$@" tools/model/calibration.txt --tokens 100
	only "$work/to"
}

test_model_not_quantized_says_what_to_do() {
	refused "$model: is not quantized; run q35 quantize first" "$q35" generate "$model"
}

test_device_that_is_none_is_named() {
	refused "/dev/null" "$q35" info --device=/dev/null
	refused "/dev/accel/none" "$q35" info --device /dev/accel/none
}

test_wrong_usage_is_status_2() {
	for arguments in "" "fly" "quantize" "quantize a" "quantize a b -o c" "quantize a -o" \
		"quantize a -o b -f q4" "quantize a -o b -c" "quantize a -o b --tokens 0" "quantize a -o b --threads 0" "quantize a -o b --wrong" \
		"generate" "generate a b" "generate a -n x" "generate a -n -1" "generate a -T -1" \
		"generate a --compare gpu" "perplexity a" "info" "info a b" "info a --device=cpu"; do
		# shellcheck disable=SC2086
		try "$q35" $arguments
		[ "$status" = 2 ] || note "q35 $arguments: status $status"
		[ "$(wc -l <"$work/err")" = 1 ] || note "q35 $arguments: $(cat "$work/err")"
		grep -q '^q35: .*; see q35 .*--help$' "$work/err" ||
			note "q35 $arguments: $(cat "$work/err")"
		[ ! -s "$work/out" ] || note "q35 $arguments: has output"
	done
}

run_tests
