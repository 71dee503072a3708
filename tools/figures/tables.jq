# SPDX-License-Identifier: MIT
# Tables for gnuplot out of the rows of a benchmark: a function a figure, each row an array.

# Rows of products as {who, shape, m, threads, …}, which their names tell.
def products: .[] | select(.unit == "GMAC/s") | . + (.name
	| capture("^(?<who>.*), (?<shape>[0-9]+x[0-9]+), m=(?<m>[0-9]+), threads=(?<threads>[0-9]+)"));

def weights: split("x") | map(tonumber) | .[0] * .[1];
def largest: [products.shape] | max_by(weights);

# Everyone's rates in the largest shape; peers have no rows of their own.
def rates: largest as $shape | [products | select(.shape == $shape)
		| {who, m, threads, value},
		  (select(.peer and .who == "t8")
			| {who: (.peer | sub(" \\(.*"; "")), m, threads, value: .peer_value})]
	| unique_by([.who, .m, .threads]);

# One row for each who, with the values on 1 and 2 threads.
def by_threads: group_by(.who)
	| map({who: .[0].who} + (map({key: .threads, value}) | from_entries))
	| sort_by(.["1"]) | .[] | [.who, .["1"], .["2"] // "?"];

# Of the formats with narrower windows one: they differ in nothing that shows here.
def throughput: rates | map(select(.who | test("^(t[456]|s-minmax)|groups") | not)) | by_threads;

def scaling: rates | .[] | [.who, .threads, .m, .value];

def limit: [products | select(.limit_share and (.who | IN("t8", "t7", "own INT4")))]
	| unique_by([.who, .shape, .threads])
	| group_by([(.shape | weights), .shape, .threads]) | .[]
	| (map({key: .who, value: .limit_share}) | from_entries) as $share
	| ["\(.[0].shape), \(.[0].threads)", $share.t8, $share.t7, $share["own INT4"] // "?"];

# The first matrix of normal weights, then the model that is not ours.
def pareto: [.[] | . + (.name | capture("^(?<what>[^:]*): (?<who>.*)"))
		| select(.what | test("^N\\(0,1\\)|safetensors$"))]
	| (map(select(.unit == "bits/weight")
		| {key: "\(.what) \(.who | sub("size of "; ""))", value}) | from_entries) as $bits
	| map(select(.unit == "% of std")) | group_by(.what | test("^N") | not) | .[]
	| .[0].what as $first | .[] | select(.what == $first)
	| [.what, .who, $bits["\(.what) \(.who)"], .value];

# Parts of names that tell nothing, in the models that TensorFlow has written.
def noise: test("^(module.*|Encoder_en|KonaTransformer|Encode|TransformerStack|TransformerLayer"
	+ "|Tensordot|Reshape_1|kernel|part_0|concat|ConcatPartitions|hidden_layers|weights)$");
def layers: .[] | select(.name | test("^[^:]*safetensors, "))
	| [(.name | sub("^[^,]*, "; "") | sub(": t8$"; "") | split("/") | map(select(noise | not))
		| join(" ") | gsub("_"; " ")), .value, .peer_value];

def quantize: [.[] | select(.unit == "Mweights/s")
		| . + (.name | capture("^(?<who>.*), threads=(?<threads>[0-9]+), [0-9x]+$"))]
	| by_threads;
