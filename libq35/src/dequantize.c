// SPDX-License-Identifier: MIT
#include "exact.h"

#include <errno.h>

#include "decode.h"
#include "error.h"
#include "q35.h"

static int check(const struct q35_weights *w, uint32_t row, uint32_t count)
{
	uint32_t max = 1u << Q35_DIM_ORDER_MAX;

	if (!w->n || w->n > max || !w->k || w->k > max || w->window_bits != Q35_WINDOW_BITS ||
	    w->group % Q35_TILE_K || w->meta_flags & ~(Q35_META_ZERO | Q35_META_MULTIPLIER))
		return q35_fail(NULL, -EINVAL, "not weights that this library can decode");
	if (row > w->n || count > w->n - row)
		return q35_fail(NULL, -EINVAL, "rows %u to %u of a matrix of %u", row, row + count,
				w->n);
	return 0;
}

/* Output n of the tile in question, inputs k … k + count - 1, all of one group. */
static void scale_codes(const struct q35_weights *w, uint32_t n, uint32_t k, uint32_t count,
			const int8_t *code, float *out)
{
	uint32_t g = w->group ? k / w->group : 0;
	float scale = q35_meta_scale(w->meta, w->meta_flags, w->n, n, g);
	float zero = 0;
	uint32_t j;

	if (w->meta_flags & Q35_META_ZERO)
		zero = q35_meta_zero(w->meta, w->meta_flags, w->n,
				     q35_format_groups(w->k, w->group), n, g);
	for (j = 0; j < count; j++)
		out[j] = scale * (float)code[j] + zero;
}

int q35_dequantize(const struct q35_weights *w, uint32_t row, uint32_t count, float *out)
{
	uint32_t steps = q35_div_up(w->k, Q35_TILE_K);
	int8_t code[Q35_TILE_WEIGHTS];
	uint32_t n, strip_end, k, i, width;
	const uint8_t *tile;
	int ret;

	ret = check(w, row, count);
	if (ret)
		return ret;
	for (n = row; n < row + count; n = strip_end) {
		strip_end = (n / Q35_TILE_N + 1) * Q35_TILE_N;
		if (strip_end > row + count)
			strip_end = row + count;
		tile = (const uint8_t *)w->tiles +
		       (size_t)(n / Q35_BLOCK_N) * steps * Q35_BLOCK_BYTES +
		       n % Q35_BLOCK_N / Q35_TILE_N * Q35_TILE_BYTES;
		for (k = 0; k < w->k; k += width, tile += Q35_BLOCK_BYTES) {
			width = w->k - k < Q35_TILE_K ? w->k - k : Q35_TILE_K;
			q35_decode_tile(tile, w->codebook, code);
			for (i = n; i < strip_end; i++)
				scale_codes(w, i, k, width, &code[i % Q35_TILE_N * Q35_TILE_K],
					    &out[(size_t)(i - row) * w->k + k]);
		}
	}
	return 0;
}
