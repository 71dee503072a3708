# SPDX-License-Identifier: MIT
# The first output's bits as a stripe; above it for each weight the window that its code is looked up
# with, the new bits in it solid.
file = data . "packing.tsv"
color(odd) = odd > 0 ? rgb(int4) : rgb(q35)
windows = sprintf("< awk -F'\\t' -v before=-1 'NR > 1 && $2 != before { print; before = $2 }' '%s'", file)
stripe = sprintf("< tail -n +2 '%s'", file)
set title "The bit stream: even weights bring 4 new bits, odd ones 3; each is looked up by the newest 8"
unset border
unset ytics
unset grid
set key at graph 0.01, graph 0.98 left top
set xlabel "bit of the tile; what lies left of 0 are the tile's last bits: it is circular"
set xtics 4 scale 0.5
set xrange [-5:38]
set yrange [-1:11]
set arrow from 0, -1 to 0, 10.4 nohead dt 3 lc rgb "#444444"
set for [i = 1:3] arrow from 8 * i, -0.6 to 8 * i, 0 nohead lc rgb "#444444"
do for [i = 0:3] { set label sprintf("byte %d", i) at 8 * i + (i < 3 ? 4 : 2), -0.4 center font ",8" }
plot stripe using ($1 + 0.5):(0.5):($1 + 0.03):($1 + 0.97):(0.05):(0.95):(color($3)) \
		with boxxyerror lc rgb variable notitle, \
	windows using (($4 + $5) / 2.0):($2 + 1.7):4:5:($2 + 1.45):($2 + 1.95):(color($3)) \
		with boxxyerror lc rgb variable fs transparent solid 0.35 notitle, \
	stripe using ($1 + 0.5):($2 + 1.7):($1 + 0.03):($1 + 0.97):($2 + 1.45):($2 + 1.95):(color($3)) \
		with boxxyerror lc rgb variable notitle, \
	windows using ($5 + 0.3):($2 + 1.7):(sprintf("weight %d = scale · %s[window]", $2, $3 > 0 ? "odd" : "even")) \
		with labels left font ",8" notitle, \
	NaN with boxes lc rgb q35 title "even position", \
	NaN with boxes lc rgb int4 title "odd position"
