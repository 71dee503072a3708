# SPDX-License-Identifier: MIT
set title "Models of LLaMA's shapes: weights in memory\n{/*0.8 embeddings and norms in F16; INT4 with an fp16 scale a column; T8 with all its tables and scales}"
set ylabel "GB"
set logscale y
set yrange [2:2000]
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
set xtics scale 0
set xrange [-0.6:4.6]
plot data . "size.tsv" using 2:xtic(1) lc rgb f32 title "F16", \
	"" using 3 lc rgb int4 title "INT4", \
	"" using 4 lc rgb q35 title "Q35 T8", \
	"" using ($0 - 0.25):2:(sprintf("%.3g", $2)) with labels offset 0,0.6 font ",8" notitle, \
	"" using ($0):3:(sprintf("%.3g", $3)) with labels offset 0,0.6 font ",8" notitle, \
	"" using ($0 + 0.25):4:(sprintf("%.3g", $4)) with labels offset 0,0.6 font ",8" notitle
