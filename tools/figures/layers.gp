# SPDX-License-Identifier: MIT
file = data . "layers.tsv"
stats file using 2 nooutput
rows = STATS_records
set title "Error by matrix: embeddings-en, a transformer encoder for English text"
set xlabel "root mean square error, % of the weights' standard deviation"
set yrange [rows - 0.4:-0.6]
set xrange [0:*]
set offsets graph 0, graph 0.08
set grid noytics xtics
set ytics scale 0 noenhanced font ",8"
set bmargin 6
set lmargin 40
set key outside bottom center horizontal
plot file using (0):($0 - 0.2):(0):2:($0 - 0.38):($0 - 0.02):ytic(1) with boxxyerror lc rgb q35 \
		title "Q35 T8, 3.5 bits", \
	"" using (0):($0 + 0.2):(0):3:($0 + 0.02):($0 + 0.38) with boxxyerror lc rgb int4 \
		title "INT4 absmax, 4 bits", \
	"" using 2:($0 - 0.2):(sprintf(" %.3g", $2)) with labels left font ",8" notitle, \
	"" using 3:($0 + 0.2):(sprintf(" %.3g", $3)) with labels left font ",8" notitle
