/* SPDX-License-Identifier: MIT */
/*
 * The loops of a product for AVX-512 VNNI, whatever the code of its weights: those of avx512.c, and those
 * of the INT4 that tools/bench compares them with. A file that includes this has chosen its
 * instruction set and has defined
 *	BLOCK_BYTES	of 64 outputs x 8 inputs
 *	BIAS		how much larger decoded weights are than true ones: vpdpbusd wants them unsigned
 *	struct decoder	constants, with an int wide, by which the compiler makes two versions of all
 *	decode()	16 outputs (the t-th of a block's four 16s) as 16 lanes: in code[0] inputs 0 2 4
 *			6 of 8, in code[1] inputs 1 3 5 7
 *
 * Up to 3 rows multiply as they decode. With more, a piece of the inputs is decoded into the
 * first-level cache once for a panel of rows.
 */
#ifndef Q35_AVX512_GEMM_H
#define Q35_AVX512_GEMM_H

#include "scratch.h"

#define TILES Q35_BLOCK_TILES
#define FUSED_ROWS 3 /* accumulators, tables and masks fill the 32 registers */
#define PREFETCH 4096 /* bytes; 2048 to 8192 are much alike */
#define PANEL_ROWS 128 /* decoding costs as much as multiplying 7 rows */
#define UNIT_ROWS 6 /* rows of a panel whose accumulators fill the registers */
#define PIECE_K 256 /* inputs decoded at a time: 16 KiB */

/* The bytes of a block that will be read about as much later as memory takes to answer. */
inline_always void prefetch(const uint8_t *block)
{
	int i;

#pragma GCC unroll 8
	for (i = 0; i < BLOCK_BYTES; i += 64)
		_mm_prefetch((const char *)block + PREFETCH + i, _MM_HINT_T0);
}

/* Four activation codes in every lane. */
inline_always __m512i broadcast(const int8_t *codes)
{
	int32_t four;

	memcpy(&four, codes, sizeof(four));
	return _mm512_set1_epi32(four);
}

/* Scales or zero-points of 64 outputs. */
struct column {
	__m512 v[TILES];
};

inline_always struct column load_f16(const char *at)
{
	struct column c;
	int t;

#pragma GCC unroll 8
	for (t = 0; t < TILES; t++)
		c.v[t] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(at + t * 32)));
	return c;
}

static struct column load_scales(const struct q35_product *p, uint32_t n0, uint32_t g)
{
	size_t row = (size_t)q35_div_up(p->n, Q35_BLOCK_N) * Q35_BLOCK_N;
	const char *meta = p->meta;
	struct column c;
	int t;

	if (!(p->meta_flags & Q35_META_MULTIPLIER))
		return load_f16(meta + 2 * (g * row + n0));
	c = load_f16(meta + 2 * n0);
#pragma GCC unroll 8
	for (t = 0; t < TILES; t++)
		c.v[t] = _mm512_mul_ps(
			c.v[t],
			_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(
				(const __m128i *)(meta + 2 * row + g * row + n0 + t * 16)))));
	return c;
}

static struct column load_zeros(const struct q35_product *p, uint32_t n0, uint32_t g)
{
	size_t row = (size_t)q35_div_up(p->n, Q35_BLOCK_N) * Q35_BLOCK_N;
	size_t groups = q35_format_groups(p->k, p->group);
	size_t scales =
		p->meta_flags & Q35_META_MULTIPLIER ? 2 * row + groups * row : 2 * groups * row;

	return load_f16((const char *)p->meta + scales + 2 * (g * row + n0));
}

/* Step 3 of format.h for one row: y[64] and its segment's sums. */
inline_always void scale_segment(float *y, const __m512i *acc, const struct column *scale,
				 const struct column *zero, float scale_x, int32_t sum)
{
	__m512 sx = _mm512_set1_ps(scale_x), v;
	int t;

#pragma GCC unroll 8
	for (t = 0; t < TILES; t++) {
		v = _mm512_loadu_ps(y + t * 16);
		v = _mm512_add_ps(v, _mm512_mul_ps(_mm512_cvtepi32_ps(acc[t]),
						   _mm512_mul_ps(scale->v[t], sx)));
		if (zero)
			v = _mm512_add_ps(v, _mm512_mul_ps(_mm512_set1_ps((float)sum),
							   _mm512_mul_ps(zero->v[t], sx)));
		_mm512_storeu_ps(y + t * 16, v);
	}
}

/* What is common to the segments of one product with one block. */
struct job {
	const struct q35_product *p;
	const void *scratch;
	const uint8_t *tiles; /* of the block */
	struct q35_layout l;
	struct decoder decoder;
	uint32_t n0, outputs;
};

static uint32_t segment_end(const struct job *j, uint32_t s)
{
	return j->p->k - s * j->l.segment < j->l.segment ? j->p->k : (s + 1) * j->l.segment;
}

static uint32_t segment_group(const struct job *j, uint32_t s)
{
	return j->p->group ? s * j->l.segment / j->p->group : 0;
}

/* rows and wide are constants of each caller. */
inline_always void multiply_fused(const struct job *j, uint32_t m0, int rows, int wide)
{
	float y[FUSED_ROWS][Q35_BLOCK_N] = {0};
	const int8_t *codes[FUSED_ROWS];
	const struct decoder d = j->decoder;
	const uint8_t *tiles = j->tiles;
	__m512i acc[FUSED_ROWS][TILES], code[2];
	struct column scale, zero;
	uint32_t s, k, end;
	int m, t;

#pragma GCC unroll 8
	for (m = 0; m < rows; m++)
		codes[m] = q35_row_codes(&j->l, j->scratch, m0 + m);
	for (s = 0; s < j->l.segments; s++) {
#pragma GCC unroll 8
		for (m = 0; m < rows; m++)
#pragma GCC unroll 8
			for (t = 0; t < TILES; t++)
				acc[m][t] = _mm512_set1_epi32(
					-BIAS * q35_row_sums(&j->l, j->scratch, m0 + m)[s]);
		end = segment_end(j, s);
		for (k = s * j->l.segment; k < end; k += Q35_TILE_K, tiles += BLOCK_BYTES) {
			prefetch(tiles);
#pragma GCC unroll 8
			for (t = 0; t < TILES; t++) {
				decode(&d, tiles, t, wide, code);
#pragma GCC unroll 8
				for (m = 0; m < rows; m++) {
					acc[m][t] = _mm512_dpbusd_epi32(acc[m][t], code[0],
									broadcast(codes[m] + k));
					acc[m][t] = _mm512_dpbusd_epi32(
						acc[m][t], code[1], broadcast(codes[m] + k + 4));
				}
			}
		}
		scale = load_scales(j->p, j->n0, segment_group(j, s));
		if (j->p->meta_flags & Q35_META_ZERO)
			zero = load_zeros(j->p, j->n0, segment_group(j, s));
#pragma GCC unroll 8
		for (m = 0; m < rows; m++)
			scale_segment(y[m], acc[m], &scale,
				      j->p->meta_flags & Q35_META_ZERO ? &zero : NULL,
				      q35_row_scales(&j->l, j->scratch, m0 + m)[s],
				      q35_row_sums(&j->l, j->scratch, m0 + m)[s]);
	}
#pragma GCC unroll 8
	for (m = 0; m < rows; m++)
		q35_epilogue(j->p, m0 + m, j->n0, j->outputs, y[m],
			     q35_row_nan(&j->l, j->scratch, m0 + m));
}

static void multiply_few(const struct job *j, uint32_t m0, uint32_t rows)
{
	switch (rows << 1 | j->decoder.wide) {
	case 1 << 1 | 0:
		multiply_fused(j, m0, 1, 0);
		break;
	case 1 << 1 | 1:
		multiply_fused(j, m0, 1, 1);
		break;
	case 2 << 1 | 0:
		multiply_fused(j, m0, 2, 0);
		break;
	case 2 << 1 | 1:
		multiply_fused(j, m0, 2, 1);
		break;
	case 3 << 1 | 0:
		multiply_fused(j, m0, 3, 0);
		break;
	case 3 << 1 | 1:
		multiply_fused(j, m0, 3, 1);
		break;
	}
}

struct tile_codes {
	__m512i of[2][TILES]; /* even, odd */
};

struct panel {
	struct tile_codes codes[PIECE_K / Q35_TILE_K];
	__m512i acc[PANEL_ROWS][TILES]; /* of a segment longer than a piece */
	float y[PANEL_ROWS][Q35_BLOCK_N];
};

inline_always void decode_piece(const struct job *j, struct panel *panel, uint32_t k, uint32_t end,
				int wide)
{
	const struct decoder d = j->decoder;
	const uint8_t *tiles = j->tiles + (size_t)(k / Q35_TILE_K) * BLOCK_BYTES;
	struct tile_codes *codes = panel->codes;
	__m512i code[2];
	int t;

	for (; k < end; k += Q35_TILE_K, tiles += BLOCK_BYTES, codes++) {
		prefetch(tiles);
#pragma GCC unroll 8
		for (t = 0; t < TILES; t++) {
			decode(&d, tiles, t, wide, code);
			codes->of[0][t] = code[0];
			codes->of[1][t] = code[1];
		}
	}
}

/* Inputs k … end - 1, within one segment, of the rows from m0 + first on; rows is a constant. */
inline_always void multiply_unit(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
				 uint32_t end, uint32_t m0, uint32_t first, int rows)
{
	const int8_t *codes[UNIT_ROWS];
	__m512i acc[UNIT_ROWS][TILES], x;
	struct column scale, zero;
	const __m512i *w;
	int m, t, parity;

#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		codes[m] = q35_row_codes(&j->l, j->scratch, m0 + first + m);
#pragma GCC unroll 8
		for (t = 0; t < TILES; t++)
			acc[m][t] =
				k == s * j->l.segment
					? _mm512_set1_epi32(-BIAS * q35_row_sums(&j->l, j->scratch,
										 m0 + first + m)[s])
					: panel->acc[first + m][t];
	}
	w = panel->codes[0].of[0];
	for (uint32_t i = k; i < end; i += Q35_TILE_K) {
#pragma GCC unroll 8
		for (parity = 0; parity < 2; parity++, w += TILES) {
#pragma GCC unroll 8
			for (m = 0; m < rows; m++) {
				x = broadcast(codes[m] + i + 4 * parity);
#pragma GCC unroll 8
				for (t = 0; t < TILES; t++)
					acc[m][t] = _mm512_dpbusd_epi32(acc[m][t], w[t], x);
			}
		}
	}
	if (end < segment_end(j, s)) {
#pragma GCC unroll 8
		for (m = 0; m < rows; m++)
#pragma GCC unroll 8
			for (t = 0; t < TILES; t++)
				panel->acc[first + m][t] = acc[m][t];
		return;
	}
	scale = load_scales(j->p, j->n0, segment_group(j, s));
	if (j->p->meta_flags & Q35_META_ZERO)
		zero = load_zeros(j->p, j->n0, segment_group(j, s));
#pragma GCC unroll 8
	for (m = 0; m < rows; m++)
		scale_segment(panel->y[first + m], acc[m], &scale,
			      j->p->meta_flags & Q35_META_ZERO ? &zero : NULL,
			      q35_row_scales(&j->l, j->scratch, m0 + first + m)[s],
			      q35_row_sums(&j->l, j->scratch, m0 + first + m)[s]);
}

static void multiply_piece(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
			   uint32_t end, uint32_t m0, uint32_t rows)
{
	uint32_t first, unit;

	for (first = 0; first < rows; first += unit) {
		/* Units of equal size: the last one should not be much smaller. */
		unit = q35_div_up(rows - first, q35_div_up(rows - first, UNIT_ROWS));
		switch (unit) {
		case 1:
			multiply_unit(j, panel, s, k, end, m0, first, 1);
			break;
		case 2:
			multiply_unit(j, panel, s, k, end, m0, first, 2);
			break;
		case 3:
			multiply_unit(j, panel, s, k, end, m0, first, 3);
			break;
		case 4:
			multiply_unit(j, panel, s, k, end, m0, first, 4);
			break;
		case 5:
			multiply_unit(j, panel, s, k, end, m0, first, 5);
			break;
		case 6:
			multiply_unit(j, panel, s, k, end, m0, first, 6);
			break;
		}
	}
}

static void multiply_panel(const struct job *j, uint32_t m0, uint32_t rows)
{
	uint32_t s, k, end, m;
	struct panel panel;

	memset(panel.y, 0, sizeof(panel.y[0]) * rows);
	for (s = 0; s < j->l.segments; s++) {
		for (k = s * j->l.segment; k < segment_end(j, s); k = end) {
			end = segment_end(j, s) - k < PIECE_K ? segment_end(j, s) : k + PIECE_K;
			if (j->decoder.wide)
				decode_piece(j, &panel, k, end, 1);
			else
				decode_piece(j, &panel, k, end, 0);
			multiply_piece(j, &panel, s, k, end, m0, rows);
		}
	}
#pragma GCC unroll 8
	for (m = 0; m < rows; m++)
		q35_epilogue(j->p, m0 + m, j->n0, j->outputs, panel.y[m],
			     q35_row_nan(&j->l, j->scratch, m0 + m));
}

/* Outputs 64 * b0 … 64 * b1 - 1; tiles are those of block b0. */
static void multiply_blocks(const struct q35_product *p, const void *scratch, const uint8_t *tiles,
			    const struct decoder *decoder, uint32_t b0, uint32_t b1)
{
	size_t block = (size_t)q35_div_up(p->k, Q35_TILE_K) * BLOCK_BYTES;
	struct job j = {.p = p,
			.scratch = scratch,
			.tiles = tiles,
			.l = q35_layout(p),
			.decoder = *decoder};
	uint32_t b, m, rows;

	for (b = b0; b < b1; b++, j.tiles += block) {
		j.n0 = b * Q35_BLOCK_N;
		j.outputs = p->n - j.n0 < Q35_BLOCK_N ? p->n - j.n0 : Q35_BLOCK_N;
		for (m = 0; m < p->m; m += rows) {
			rows = p->m - m < PANEL_ROWS ? p->m - m : PANEL_ROWS;
			if (rows <= FUSED_ROWS)
				multiply_few(&j, m, rows);
			else
				multiply_panel(&j, m, rows);
		}
	}
}

#endif /* Q35_AVX512_GEMM_H */
