# SPDX-License-Identifier: MIT
# What all figures have in common. kind, data and out are given on the command line.

width = 8; height = 5 # inches
set_size(k) = k eq "pdf" ? sprintf("%g,%g", width, height) : sprintf("%d,%d", width * 100, height * 100)
terminal(k) = k eq "pdf" ? sprintf("pdfcairo font 'Sans,9' size %s", set_size(k)) : \
	k eq "svg" ? sprintf("svg font 'Sans,12' size %s enhanced background '#ffffff'", set_size(k)) : \
	sprintf("pngcairo font 'Sans,10' size %s", set_size(k))
eval("set terminal " . terminal(kind))
set output out

q35 = "#1f6fb4"; q35_light = "#8dbde6"; int4 = "#d9822b"; ggml = "#4a9a57"; f32 = "#777777"
theory = "#b03a48"
color_of(who) = who[1:4] eq "ggml" ? ggml : strstrt(who, "INT4") ? int4 : \
	strstrt(who, "OpenBLAS") || who eq "scalar" ? f32 : q35
rgb(c) = int("0x" . c[2:*])

set datafile separator "\t"
set datafile missing "?"
set encoding utf8
set border 3 lc rgb "#444444"
set tics nomirror
set grid ytics lc rgb "#dddddd" lt 1
set key top left reverse Left samplen 2
set style fill solid 1 noborder
