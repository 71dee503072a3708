/* SPDX-License-Identifier: MIT */
/*
 * Tiles and meta one weight at a time: what format.h says, as code. The reference kernel and
 * q35_dequantize() are made of it.
 */
#ifndef Q35_DECODE_H
#define Q35_DECODE_H

#include <string.h>

#include "kernels.h"

static inline unsigned int q35_tile_bit(const uint8_t *tile, unsigned int b)
{
	return tile[b / 8] >> b % 8 & 1;
}

/* Newest bit first: how a window comes out of little-endian memory. */
static inline unsigned int q35_reverse_window(unsigned int w)
{
	static const uint8_t nibble[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};

	return nibble[w & 15] << 4 | nibble[w >> 4];
}

/* code[i * 8 + j] is the code of the tile's output i, input j. */
static inline void q35_decode_tile(const uint8_t *tile, const int8_t *codebook,
				   int8_t code[Q35_TILE_WEIGHTS])
{
	unsigned int window = 0, bit, i, n;

	for (bit = Q35_TILE_BITS - Q35_WINDOW_BITS; bit < Q35_TILE_BITS; bit++)
		window = window << 1 | q35_tile_bit(tile, bit);
	for (i = 0, bit = 0; i < Q35_TILE_WEIGHTS; i++) {
		for (n = i % 2 ? Q35_ODD_BITS : Q35_EVEN_BITS; n; n--)
			window = window << 1 | q35_tile_bit(tile, bit++);
		window &= (1 << Q35_WINDOW_BITS) - 1;
		code[i] = codebook[i % 2 << Q35_WINDOW_BITS | window];
	}
}

static inline float q35_meta_f16(const void *meta, size_t index)
{
	uint16_t h;

	memcpy(&h, (const char *)meta + index * sizeof(h), sizeof(h));
	return q35_f16_to_f32(h);
}

/* Of output n in group g of all groups. */
static inline float q35_meta_scale(const void *meta, uint8_t flags, uint32_t outputs, uint32_t n,
				   uint32_t g)
{
	size_t row = (size_t)q35_div_up(outputs, Q35_BLOCK_N) * Q35_BLOCK_N;

	if (flags & Q35_META_MULTIPLIER)
		return q35_meta_f16(meta, n) *
		       (float)((const uint8_t *)meta)[2 * row + g * row + n];
	return q35_meta_f16(meta, g * row + n);
}

static inline float q35_meta_zero(const void *meta, uint8_t flags, uint32_t outputs,
				  uint32_t groups, uint32_t n, uint32_t g)
{
	size_t row = (size_t)q35_div_up(outputs, Q35_BLOCK_N) * Q35_BLOCK_N;
	size_t scales = flags & Q35_META_MULTIPLIER ? 2 * row + groups * row : 2 * groups * row;

	return q35_meta_f16((const char *)meta + scales, g * row + n);
}

#endif /* Q35_DECODE_H */
