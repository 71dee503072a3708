/* SPDX-License-Identifier: MIT */
/*
 * The usual ways to 4 bits a weight, as peers of the quality benchmark: row by row of w[n][k] (a column
 * of the product), with scales and zero-points rounded to fp16.
 */
#ifndef INT4_QUALITY_H
#define INT4_QUALITY_H

#include <stddef.h>

enum int4_kind {
	INT4_ABSMAX, /* symmetric: -7 … 7 times the largest magnitude / 7 */
	INT4_MINMAX, /* asymmetric: 16 levels from the least to the greatest weight */
	INT4_CLIPPED, /* 16 even levels round the mean, at the distance of least square error */
	INT4_LLOYD, /* 16 levels fitted to the matrix (Lloyd–Max), times a scale a row */
	INT4_G128, /* asymmetric, for every 128 weights */
	INT4_KINDS
};

#define INT4_LEVELS 16

const char *int4_name(enum int4_kind kind);
/* All bits of a matrix: codes, scales, zero-points, tables. */
double int4_bits(enum int4_kind kind, size_t n, size_t k);

/* The levels for INT4_LLOYD of a matrix w[n][k], from a sample of its rows. */
void int4_fit_levels(const float *w, size_t n, size_t k, float levels[INT4_LEVELS]);
/*
 * Sum of the squared errors of one row; levels only for INT4_LLOYD. out, if not NULL: what the row
 * decodes to, [k].
 */
double int4_error(enum int4_kind kind, const float *row, size_t k, const float levels[INT4_LEVELS],
		  float *out);

#endif /* INT4_QUALITY_H */
