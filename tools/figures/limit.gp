# SPDX-License-Identifier: MIT
set title "Matrix times vector: share of what the machine can read\n{/*0.8 of the plain read bandwidth measured in the same run, for as many bytes as the format has}"
set ylabel "share of the limit"
set yrange [0:1.25<*]
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
set xtics scale 0 font ",8"
set arrow from graph 0, first 1 to graph 1, first 1 nohead lc rgb theory dt 2
plot data . "limit.tsv" using 2:xtic(1) lc rgb q35 title "Q35 T8", \
	"" using 3 lc rgb q35_light title "Q35 T7", \
	"" using 4 lc rgb int4 title "own INT4"
