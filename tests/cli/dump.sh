#!/bin/sh
# SPDX-License-Identifier: MIT
# q35 dump: a dump as the driver writes it, in words; anything else is refused by its line.
# shellcheck disable=SC2034,SC2317 # run_tests calls the tests by name and reads skip
. "$(dirname "$0")/harness.inc"

# Of a FILL that wrote where nothing is mapped. The command's name is hostile.
dump() {
	printf 'q35 coredump 1\nreason: fault\ntime: 12.000000345\ndevice: 0000:00:02.0\n'
	printf 'card 0x000: 41353351 00010000 0000007f 00000010 00000010 00000012 00000040 00000027\n'
	printf 'queue 3 0x000: 00000001 00000003 00000002 00000001 12345000 00000001 0000000a 00000000\n'
	printf 'failed queue: 3 of \033[31mevil (77), address space 2\n'
	printf 'fault: code 1, info 0x80000000, address 0x40010000\n'
	printf 'submission: 0, job 1, 2 jobs from ring index 0x0\nring: tail 0x2, newest submission 0x1\n'
	printf 'write-back 0x000: 0000000000000000 0000000100000001 8000000000000001 0000000040010000\n'
	printf 'write-back 0x020: 0000000000000000 0000000000000309 0000000000000000 0000000000000000\n'
	printf 'descriptor 0x000: 0000000000070003 0000000000000001 0000000040010000 0000000000000004\n'
	printf 'descriptor 0x020: 0000000000005eed 0000000000000000 0000000000000000 0000000000000000\n'
	printf 'descriptor 0x040: 0000000000000000 0000000000000000 0000000000000000 0000000000000000\n'
	printf 'descriptor 0x060: 0000000000000000 0000000000000000 0000000000000000 0000000000000000\n'
	printf 'walk 2: 0000000012346001\nwalk 1: 000000000020000f\nwalk 0: 0000000000000000\n'
}

# Lines, with any number of blanks, that must be in the output.
says() {
	while read -r line; do
		tr -s ' ' <"$work/out" | grep -qxF -- " $line" || note "no line: $line"
	done
}

test_dump_is_told_in_words() {
	dump >"$work/file"
	succeeds "$q35" dump "$work/file"
	says <<-END
		reason: fault
		card MAGIC 0x41353351
		card VA_BITS 0x27
		queue 3 STATE 0x3 FAULTED
		queue 3 RING_LO 0x12345000
		failed queue: 3 of ?[31mevil (77), address space 2
		fault UNMAPPED: nothing is mapped there
		access write to 0x40010000
		reported fault UNMAPPED: nothing is mapped there, at index 0x1
		busy 777 ns, last at 0 ns
		job FILL, barrier, notify, interrupt, sequence number 1
		fill 4 bytes at 0x40010000 with 0x5eed
		page tables, level 2 a table at 0x12346000
		page tables, level 1 2048 KiB of device memory at 0x200000, writable
		page tables, level 0 nothing
	END
}

test_standard_input_is_read() {
	dump >"$work/file"
	status=0
	"$q35" dump - <"$work/file" >"$work/out" || status=$?
	[ $status = 0 ] || note "status $status"
	grep -q 'fill *4 bytes' "$work/out" || note "no job"
}

test_what_is_no_dump_is_refused() {
	refused "$work/none: No such file" "$q35" dump "$work/none"
	: >"$work/file"
	refused "q35 coredump 1" "$q35" dump "$work/file"
	echo 'q35 coredump 2' >"$work/file"
	refused "q35 coredump 1" "$q35" dump "$work/file"
}

test_bad_lines_are_named() {
	for line in 'something' 'card 0x001: 1' 'card 0x0: x' 'card 0x0: 1 2 3 4 5 6 7 8 9' 'card ' \
		'queue 1 0x0' 'fault: code' 'walk 3: 0' 'walk x' 'descriptor 0x080: 1' \
		'descriptor 0x07c: 1' 'descriptor 0xfffffffc: 1' 'write-back 0x040: 1' 'write-back'; do
		printf 'q35 coredump 1\n%s\n' "$line" >"$work/file"
		refused "$work/file: line 2 " "$q35" dump "$work/file"
	done
	printf 'q35 coredump 1\nreason: fault' >"$work/file" # cut
	refused "$work/file: line 2 " "$q35" dump "$work/file"
	{ echo 'q35 coredump 1'; head -c 5000 /dev/zero | tr '\0' 'a'; } >"$work/file"
	refused "$work/file: line 2 " "$q35" dump "$work/file"
}

run_tests
