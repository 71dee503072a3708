# SPDX-License-Identifier: MIT
set title "Matrix times vectors, weights of ".system("cat '".data."scaling-shape.txt'")
set xlabel "rows of activations"
set ylabel "10^9 multiply-accumulates a second"
set logscale x 2
set logscale y
set xtics (1, 8, 32, 128)
set xrange [0.9:150]
set key outside right top
of(who, threads) = sprintf("< awk -F'\\t' -v w='%s' -v t=%d '$1 == w && $2 == t' '%sscaling.tsv' | sort -t'\t' -nk3", who, threads, data)
plot of("t8", 2) using 3:4 with linespoints lw 2 pt 7 lc rgb q35 title "T8, 2 threads", \
	of("t8", 1) using 3:4 with linespoints lw 2 pt 6 lc rgb q35 title "T8", \
	of("t7", 1) using 3:4 with linespoints lw 1 pt 4 lc rgb q35_light title "T7", \
	of("own INT4", 1) using 3:4 with linespoints lw 2 pt 6 lc rgb int4 title "own INT4", \
	of("ggml q4_0 repacked", 2) using 3:4 with linespoints lw 2 pt 7 lc rgb ggml title "ggml q4\\_0 repacked, 2 threads", \
	of("ggml q4_0 repacked", 1) using 3:4 with linespoints lw 2 pt 6 lc rgb ggml title "ggml q4\\_0 repacked", \
	of("ggml q4_0", 1) using 3:4 with linespoints lw 1 pt 4 lc rgb ggml dt 2 title "ggml q4\\_0", \
	of("OpenBLAS f32", 1) using 3:4 with linespoints lw 2 pt 6 lc rgb f32 title "OpenBLAS f32", \
	of("scalar", 1) using 3:4 with linespoints lw 1 pt 4 lc rgb f32 dt 2 title "T8, portable C"
