#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Draws build/figures/*.svg and .pdf from what `make bench` has left in build/bench/*.json and from what
# follows from the format itself, for `make figures`:
#
#	tools/figures/figures.sh [FIGURE…]	all, or these
#
# Each is FIGURE.gp, and FIGURE in tables.jq. One whose data is missing is left out, and said; exit
# status 1 then. With Q35_FIGURES_PNG set it draws a .png too.
set -euo pipefail
cd "$(dirname "$0")" || exit 1

build=${Q35_BUILD:-$PWD/../../build}
out=$build/figures
work=$out/data
status=0

say() { echo "figures: $*" >&2; }

table() { # FIGURE: its table
	local benchmark json
	case $1 in
	size | packing)
		"$build/figures-data" "$1" >"$work/$1.tsv"
		return
		;;
	throughput | limit) benchmark=gemv ;;
	scaling) benchmark=gemm ;;
	pareto | layers) benchmark=quality ;;
	quantize) benchmark=quantize ;;
	*) say "$1: no such figure"; return 1 ;;
	esac
	json=$build/bench/$benchmark.json
	if [ ! -s "$json" ]; then
		say "no $1: $json is missing; run: make bench"
		return 1
	fi
	jq -r -L. "include \"tables\"; $1 | @tsv" "$json" >"$work/$1.tsv"
	jq -r -L. 'include "tables"; largest // empty' "$json" >"$work/$1-shape.txt"
	if [ ! -s "$work/$1.tsv" ]; then
		say "no $1: $json has no rows for it; run: make bench"
		return 1
	fi
}

draw() { # FIGURE
	local kind
	for kind in svg pdf ${Q35_FIGURES_PNG:+png}; do
		gnuplot -e "kind = '$kind'; data = '$work/'; out = '$out/$1.$kind.new'" style.gp "$1.gp" &&
			mv "$out/$1.$kind.new" "$out/$1.$kind" || return
	done
}

for tool in gnuplot jq; do
	command -v $tool >/dev/null || { say "$tool is missing; run: tools/setup.sh --bench"; exit 1; }
done
mkdir -p "$work"
[ $# -gt 0 ] || set -- size throughput pareto layers packing scaling quantize limit
for figure; do
	{ table "$figure" && draw "$figure"; } || status=1
done
say "the figures are in $out"
exit $status
