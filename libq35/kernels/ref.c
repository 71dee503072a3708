// SPDX-License-Identifier: MIT
/*
 * Steps 2 and 3 of format.h as they are written there. Nothing here is for speed, except that a
 * tile is decoded once for several rows.
 */
#include "exact.h"

#include <string.h>

#include "decode.h"
#include "prepare.h"
#include "scratch.h"

#define ROWS 16

static int supported(void)
{
	return 1;
}

/* Adds a tile's products with 8 inputs to its 16 outputs. */
static void multiply(const int8_t *code, const int8_t *x, int32_t *acc)
{
	unsigned int i, j;

	for (i = 0; i < Q35_TILE_N; i++)
		for (j = 0; j < Q35_TILE_K; j++)
			acc[i] += code[i * Q35_TILE_K + j] * x[q35_code_slot(j)];
}

static void scale_segment(const struct q35_product *p, uint32_t n, uint32_t g, int32_t acc,
			  int32_t sum, float scale_x, float *y)
{
	float scale_w = q35_meta_scale(p->meta, p->meta_flags, p->n, n, g);
	float zero_w;

	*y = *y + (float)acc * (scale_w * scale_x);
	if (p->meta_flags & Q35_META_ZERO) {
		zero_w = q35_meta_zero(p->meta, p->meta_flags, p->n,
				       q35_format_groups(p->k, p->group), n, g);
		*y = *y + (float)sum * (zero_w * scale_x);
	}
}

/* Rows m0 … m0 + rows - 1 of the 64 outputs from n0, whose tiles these are. */
static void multiply_block(const struct q35_product *p, const struct q35_layout *l,
			   const void *scratch, const uint8_t *tiles, uint32_t n0, uint32_t m0,
			   uint32_t rows)
{
	uint32_t outputs = p->n - n0 < Q35_BLOCK_N ? p->n - n0 : Q35_BLOCK_N;
	float y[ROWS][Q35_BLOCK_N] = {0};
	int32_t acc[ROWS][Q35_BLOCK_N];
	int8_t code[Q35_TILE_WEIGHTS];
	uint32_t s, k, k1, m, n, t;

	for (s = 0; s < l->segments; s++) {
		memset(acc, 0, sizeof(acc));
		k1 = p->k - s * l->segment < l->segment ? p->k : (s + 1) * l->segment;
		for (k = s * l->segment; k < k1; k += Q35_TILE_K) {
			for (t = 0; t < Q35_BLOCK_TILES; t++, tiles += Q35_TILE_BYTES) {
				q35_decode_tile(tiles, p->codebook, code);
				for (m = 0; m < rows; m++)
					multiply(code, q35_row_codes(l, scratch, m0 + m) + k,
						 &acc[m][t * Q35_TILE_N]);
			}
		}
		for (m = 0; m < rows; m++)
			for (n = 0; n < outputs; n++)
				scale_segment(p, n0 + n, p->group ? s * l->segment / p->group : 0,
					      acc[m][n], q35_row_sums(l, scratch, m0 + m)[s],
					      q35_row_scales(l, scratch, m0 + m)[s], &y[m][n]);
	}
	for (m = 0; m < rows; m++)
		q35_epilogue(p, m0 + m, n0, outputs, y[m], q35_row_nan(l, scratch, m0 + m));
}

static void gemm(const struct q35_product *p, const void *scratch, const uint8_t *tiles,
		 uint32_t b0, uint32_t b1)
{
	size_t block = (size_t)q35_div_up(p->k, Q35_TILE_K) * Q35_BLOCK_BYTES;
	struct q35_layout l = q35_layout(p);
	uint32_t b, m, rows;

	for (b = b0; b < b1; b++, tiles += block) {
		for (m = 0; m < p->m; m += rows) {
			rows = p->m - m < ROWS ? p->m - m : ROWS;
			multiply_block(p, &l, scratch, tiles, b * Q35_BLOCK_N, m, rows);
		}
	}
}

const struct q35_kernels q35_kernels_ref = {"ref", supported, prepare, gemm};
