# SPDX-License-Identifier: MIT
file = data . "throughput.tsv"
stats file using 2 nooutput
rows = STATS_records
set title "Matrix times vector, weights of ".system("cat '".data."throughput-shape.txt'")." in memory\n{/*0.8 activations are quantized within the time; light: 1 thread, dark: 2 threads}"
set xlabel "10^9 multiply-accumulates a second"
set yrange [-0.6:rows - 0.4]
set xrange [0:*]
set offsets graph 0, graph 0.1
set grid noytics xtics
set ytics scale 0 noenhanced
set lmargin 26
unset key
dark(who) = rgb(color_of(who))
light(who) = dark(who) == rgb(q35) ? 0x8dbde6 : dark(who) == rgb(int4) ? 0xefc08e : \
	dark(who) == rgb(ggml) ? 0x9fcfa8 : 0xbbbbbb
plot file using (0):($0 + 0.2):(0):2:($0 + 0.02):($0 + 0.38):(light(strcol(1))):ytic(1) \
		with boxxyerror lc rgb variable, \
	"" using (0):($0 - 0.2):(0):3:($0 - 0.38):($0 - 0.02):(dark(strcol(1))) \
		with boxxyerror lc rgb variable, \
	"" using 2:($0 + 0.2):(sprintf(" %.3g", $2)) with labels left font ",8", \
	"" using 3:($0 - 0.2):(sprintf(" %.3g", $3)) with labels left font ",8"
