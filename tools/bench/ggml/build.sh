#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds ggml, a peer to measure against, and what loads it:
#
#	tools/bench/ggml/build.sh OUTPUT [avx2]	OUTPUT: the shared object for q35-bench --ggml
#
# For this processor, or with avx2 for one that has no more than that.
#
# The source is the git bundle of llama.cpp inside the npm package node-llama-cpp (36 MB), whose
# scripts are not run. Nothing of it becomes part of Q35: the bundle, include/ and lib/ stay in the
# cache, ${XDG_CACHE_HOME:-~/.cache}/q35/ggml. The first time takes some 2 minutes.
set -euo pipefail

version=3.22.1 # of the npm package
cache=${XDG_CACHE_HOME:-$HOME/.cache}/q35/ggml
isa=${2:-native}
final=$cache/$version-$isa
bundle=$cache/$version.bundle
here=$(cd "$(dirname "$0")/.." && pwd)
packages=(npm git cmake g++ make)
case $isa in
native) flags=(-DGGML_NATIVE=ON) ;;
avx2) flags=(-DGGML_NATIVE=OFF -DGGML_{SSE42,AVX,AVX2,FMA,F16C,BMI2}"=ON" -DGGML_AVX512=OFF) ;;
*) echo "usage: $0 OUTPUT [avx2]" >&2; exit 2 ;;
esac
export LC_ALL=C

say() { echo "ggml: $*" >&2; }
die() { say "$*"; exit 1; }

quietly() {
	"$@" >"$work/log" 2>&1 </dev/null || { cat "$work/log" >&2; die "failed: $*"; }
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$final" ]; then
	for tool in "${packages[@]}"; do
		command -v "$tool" >/dev/null || die "$tool is missing: apt install ${packages[*]}"
	done
	work=$cache/.new
	rm -rf "$work"
	mkdir -p "$work"
	if [ ! -e "$bundle" ]; then
		say "node-llama-cpp $version from npm"
		quietly npm pack --ignore-scripts --fetch-retries=1 --pack-destination "$work" "node-llama-cpp@$version"
		tar -xzf "$work"/node-llama-cpp-*.tgz -C "$work" package/llama/gitRelease.bundle
		mv "$work/package/llama/gitRelease.bundle" "$bundle"
	fi
	quietly git clone "$bundle" "$work/source"
	say "llama.cpp $(git -C "$work/source" describe --tags --always): building ggml, $isa"
	# Its own threads, not OpenMP's: those can be told to sleep while others are measured.
	quietly cmake -S "$work/source" -B "$work/build" -DCMAKE_BUILD_TYPE=Release \
		-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON "${flags[@]}" -DGGML_OPENMP=OFF \
		-DLLAMA_CURL=OFF -DLLAMA_BUILD_{COMMON,TESTS,TOOLS,EXAMPLES,SERVER}=OFF
	quietly cmake --build "$work/build" -j"$(nproc)" --target ggml
	mkdir "$work/prefix" "$work/prefix/lib"
	cp -r "$work/source/ggml/include" "$work/prefix/"
	cp -P "$work"/build/bin/libggml*.so* "$work/prefix/lib/"
	git -C "$work/source" describe --tags --always >"$work/prefix/release"
	mv "$work/prefix" "$final"
	rm -rf "$work"
	say "done"
fi
gcc -std=gnu11 -O2 -Wall -Wextra -fPIC -shared -fvisibility=hidden -I"$here" -isystem "$final/include" \
	"$here/ggml/peer.c" -o "$1" -L"$final/lib" -lggml-cpu -lggml-base -Wl,-rpath,"$final/lib"
