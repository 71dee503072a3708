#!/bin/bash
# SPDX-License-Identifier: MIT
#
#	tests/run.sh [GUEST…]
#
# Runs all tests, or those in some guests, and counts them; `make check` has built them. Every test program
# speaks KTAP; its output is in build/check/, with the guests' kernel logs. The last line is the result.
#
# With Q35_KERNEL, as for tools/vm/run.sh, only those in guests, of that kernel; output and logs are in
# its check/. Such kernels look for defects and are slow: time limits are wider.
#
# No false passes: a plan must be there and be fulfilled, the exit status must agree, what is
# expected to fail counts as failed, and in the guest every test that the host knows of must pass.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

build=${Q35_BUILD:-$PWD/build}
logs=${Q35_KERNEL:-$build}/check
slow=${Q35_KERNEL:+4}
guest_limit=${Q35_KERNEL:+1800}
export Q35_BUILD=$build
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
suite=$build/kselftest/install
passed=0 failed=0 skipped=0

# Prints passed, failed and skipped of a KTAP file, its program's exit status given. strict=1: a skip
# is a failure.
count() { # FILE STATUS STRICT
	awk -v status="$2" -v strict="$3" '
		/^1\.\.[0-9]+/ && !planned { plan = substr($1, 4) + 0; planned = 1 }
		/^ok / && /# XFAIL/ { f++; next }
		/^ok / && /# SKIP/ { if (strict) f++; else s++; next }
		/^ok / { p++ }
		/^not ok / { f++ }
		END {
			missing = plan - p - f - s
			if (!plan || missing < 0)
				missing = 1
			f += missing
			if (!f && status != 0 && !(status == 4 && !p))
				f++ # sanitizer, crash at the end
			print p + 0, f + 0, s + 0
		}' "$1"
}

# Adds up and prints one line, and of a failure the log.
report() { # NAME LOG STATUS STRICT
	local p f s
	read -r p f s < <(count "$2" "$3" "$4")
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	printf '  %-34s %4d passed%s%s\n' "$1" "$p" "$([ "$f" = 0 ] || echo ", $f FAILED")" \
		"$([ "$s" = 0 ] || echo ", $s skipped")"
	[ "$s" = 0 ] || grep '# SKIP' "$2" | sed 's/^/    /'
	if [ "$f" != 0 ]; then
		echo "    $2, exit status $3:"
		{ grep -v '^# *\(RUN\|OK\) \|^ok ' "$2" || true; } | tail -n 40 | sed 's/^/    | /'
	fi
}

run() { # NAME SECONDS COMMAND…
	local name=$1 limit=$2 log status=0
	log=$logs/${name//\//-}.log
	shift 2
	timeout -k 5 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
	report "$name" "$log" "$status" 0
}

# ---- Guests: in the background, reported at the end. A script of tests/vm/ is what one of them runs;
# its "vm:" line has the options of tools/vm/run.sh. If it has a line "sanitizers: only", it needs such
# a kernel; "sanitizers: no" is one that would find nothing more there.

start_guest() { # NAME
	local name=$1 options
	read -ra options < <(sed -n 's/^# vm: *//p' "tests/vm/$name.sh")
	(
		status=0
		# KUnit tests take seconds at each load of the module: not where it is the load that is tested.
		tools/vm/run.sh -k "q35_slow=${slow:-1} kunit.enable=0" "${options[@]}" \
			-t "${guest_limit:-900}" -o "$logs/$name" \
			-f "tests/vm/$name.sh:test.sh" -f "$suite:kselftest" \
			-- sh /test.sh >"$logs/vm-$name.log" 2>&1 || status=$?
		echo $status >"$logs/vm-$name.status"
	)
}

# A kernel log's complaints are failures of a test of its own.
complaints='BUG:|WARNING:|Oops|memory leak|Call Trace|UBSAN|KASAN|blocked for more|Bad page'
complaints+='|DMA-API: .*(leak|error|not|overlap)|unreferenced object|kmemleak: .*(suspected|disabled)'
complaints+='|INFO: (rcu|task|possible|trying)|lock held|turning off the locking'

# Leaves out what the kernel has to say of itself: a script's line "kernel warns in: FUNCTION" names it.
# On a console of Linux 7.3 the line before it, "cut here", is missing.
without_own_warnings() { # NAME
	awk -v own="$(sed -n 's/^# kernel warns in: *//p' "tests/vm/$1.sh")" '
		{ its = own != "" && index($0, "WARNING:") && index($0, " " own "+") }
		/ cut here / || (its && !inside) { if (inside) printf "%s", text; inside = mine = 1; text = "" }
		inside { text = text $0 "\n" }
		inside && its { mine = 0 }
		!inside { print }
		/ end trace / { if (mine) printf "%s", text; inside = 0 }
		END { if (inside) printf "%s", text }'
}

report_kernel_log() { # NAME
	local log=$logs/$1/kernel.ktap
	{
		echo 1..1
		if [ ! -s "$logs/$1/dmesg.txt" ]; then
			echo "not ok 1 the guest sent its kernel log"
		elif cat "$logs/$1"/{dmesg,console,leaks}.txt | without_own_warnings "$1" |
			grep -nE "$complaints" |
			grep -v -e 'Spectre V2 :' -e 'leak detector initialized'; then # the processor's, not ours
			echo "not ok 1 no complaint in the kernel log"
		else
			echo "ok 1 no complaint in the kernel log"
		fi
	} >"$log" 2>&1
	report "vm/$1/kernel-log" "$log" 0 1
}

report_guest() { # NAME
	local name=$1 status
	status=$(cat "$logs/vm-$name.status")
	[ "$status" != 125 ] || { echo "    the guest did not come back:"; tail -n 200 "$logs/vm-$name.log"; }
	report "vm/$name" "$logs/vm-$name.log" "$status" 1
	report_kernel_log "$name"
}

# What the guest's kselftest run left, one log a program; each was known before.
report_kselftest() {
	local test log
	while IFS=: read -r _ test; do
		log=$logs/card/kselftest/$test
		# The runner's own line, if ok, vouches for the exit status.
		if [ ! -e "$log" ]; then
			log=$logs/missing.log
			echo "no result came from the guest" >"$log"
			report "card/$test" "$log" 1 1
			continue
		fi
		sed 's/^# //' "$log" >"$log.ktap"
		report "card/$test" "$log.ktap" \
			"$(grep -qE "^# ok [0-9]+ selftests: q35: $test *$" "$logs/vm-card.log"; echo $?)" 1
	done <"$suite/kselftest-list.txt"
}

for name in "$@"; do
	[ -e "tests/vm/$name.sh" ] || {
		echo "tests/run.sh: no guest $name; there are:" "$(basename -s .sh -a tests/vm/*.sh | xargs)" >&2
		exit 2
	}
done
rm -rf "$logs"
mkdir -p "$logs"
trap 'kill $(jobs -p) 2>/dev/null' EXIT
guests=("$@")
for script in tests/vm/*.sh; do
	name=${script##*/}
	[ $# != 0 ] || grep -qx "# sanitizers: $([ "${Q35_KERNEL-}" ] && echo no || echo only)" "$script" ||
		guests+=("${name%.sh}")
done
echo "Guests: ${guests[*]}"
{ for name in "${guests[@]}"; do start_guest "$name"; done; } &
guest_job=$!

on_the_host() {
	echo "On the host"
	for program in "$build"/tests/unit/* "$build"/tests/device/*; do
		[ ! -x "$program" ] || run "${program#"$build"/tests/}" 300 "$program"
	done
	for script in tests/unit/*.sh tests/cli/*.sh; do
		[ ! -e "$script" ] || run "${script#tests/}" 300 sh "$script"
	done
	while IFS=: read -r _ test; do
		[[ $test = driver_* ]] ||
			run "cpu/$test" 300 env LD_LIBRARY_PATH="$build" Q35_DEVICE=cpu "$suite/q35/$test"
	done <"$suite/kselftest-list.txt"
	echo "On the host, with address and undefined-behaviour sanitizers"
	for program in "$build"/asan/bin/*/*; do
		[ ! -x "$program" ] || run "asan/${program#"$build"/asan/bin/}" 600 "$program"
	done
}

[ "${Q35_KERNEL-}" ] || [ $# != 0 ] || on_the_host
echo "In guests"
wait $guest_job
for name in "${guests[@]}"; do
	report_guest "$name"
done
[[ " ${guests[*]} " != *" card "* ]] || report_kselftest

[ $skipped = 0 ] && echo "$passed passed, $failed failed" ||
	echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed != 0 ]
