# SPDX-License-Identifier: MIT
file = data . "pareto.tsv"
short(who) = who eq "t8, groups of 128" ? "t8 g256, g128" : who eq "t8, groups of 256" ? "" : \
	who eq "s, even steps, MSE-clipped" ? "s clipped" : \
	who eq "INT4 absmax, per column" ? "absmax" : \
	who eq "INT4 min-max asymmetric, per column" ? "min-max" : \
	who eq "INT4 MSE-clipped, per column" ? "clipped" : \
	who eq "INT4 Lloyd-Max, per column" ? "Lloyd–Max" : \
	who eq "INT4 min-max asymmetric, groups of 128" ? "min-max g128" : \
	who[1:4] eq "ggml" ? who[6:*] : who
is(kind, who) = kind eq "ggml" ? who[1:4] eq "ggml" : kind eq "int4" ? who[1:4] eq "INT4" : \
	!is("ggml", who) && !is("int4", who)
# Left of the point where others would be in the way.
left(who) = who eq "ggml q3_K" || who eq "ggml iq3_s" || who eq "t8" || who eq "t7"
# Below it.
down(who) = who[1:3] eq "t8," ? -0.8 : who eq "INT4 Lloyd-Max, per column" ? -0.6 : 0
at(panel) = sprintf("< awk -F'\\t' 'NR == 1 { first = $1 } ($1 == first) == %d' '%s'", panel, file)
titles(panel) = system(sprintf("awk -F'\\t' 'NR == 1 { first = $1 } ($1 == first) == %d { print $1; exit }' '%s'", panel, file))
set xlabel "bits a weight, scales and tables included"
set ylabel "root mean square error, % of standard deviation"
set logscale y
set xrange [3.15:4.95]
set yrange [4:30]
set ytics (4, 5, 6, 8, 10, 12, 15, 20, 25, 30)
set grid
set key bottom left
set multiplot layout 1,2
do for [panel = 1:0:-1] {
	set title (titles(panel)[1:1] eq "N" ? "Weights of N(0,1), ".titles(panel)[8:*] : "Real weights: ".titles(panel)) noenhanced
	source = at(panel)
	plot source using 3:(is("q35", strcol(2)) ? $4 : 1/0) with points pt 7 ps 0.8 lc rgb q35 title "Q35", \
		source using 3:(is("int4", strcol(2)) ? $4 : 1/0) with points pt 5 ps 0.8 lc rgb int4 title "INT4", \
		source using 3:(is("ggml", strcol(2)) ? $4 : 1/0) with points pt 9 ps 0.8 lc rgb ggml title "ggml", \
		(panel ? 100 * 2 ** -x : 1/0) with lines lc rgb theory dt 2 title (panel ? "rate–distortion bound 2^{-bits}" : ""), \
		source using 3:(left(strcol(2)) ? 1/0 : $4 * (1 + 0.045 * down(strcol(2)))):(short(strcol(2))) with labels left offset 0.7,0 font ",8" noenhanced notitle, \
		source using 3:(left(strcol(2)) ? $4 : 1/0):(short(strcol(2))) with labels right offset -0.7,0 font ",8" noenhanced notitle
}
unset multiplot
