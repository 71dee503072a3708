# SPDX-License-Identifier: MIT
set title "Quantizing, weights of N(0,1)"
set ylabel "10^6 weights a second"
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
set xtics scale 0 noenhanced rotate by -25 font ",9"
set yrange [0:*]
plot data . "quantize.tsv" using 2:xtic(1) lc rgb q35_light title "1 thread", \
	"" using 3 lc rgb q35 title "2 threads", \
	"" using ($0 - 0.17):2:(sprintf("%.3g", $2)) with labels offset 0,0.6 font ",8" notitle, \
	"" using ($0 + 0.17):3:(sprintf("%.3g", $3)) with labels offset 0,0.6 font ",8" notitle
