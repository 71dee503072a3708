/* SPDX-License-Identifier: MIT */
/*
 * The Q35 number format: the one definition that quantizer, kernels and card model share.
 *
 * Stream. Along a tile's stream even positions carry 4 new bits and odd ones 3: 7 bits a pair, 3.5
 * bits a weight. The decoder looks at a window, the newest 8 bits of the stream, newest bit least
 * significant; the code at an even position is codebook[window], at an odd one
 * codebook[256 + window], an int8. Windows overlap: the trellis formats choose all 8 bits' worth
 * of levels at encode time (Viterbi), the scalar formats ignore the older bits.
 *
 * Tile. 16 outputs x 8 inputs = 128 weights = 448 bits = 56 bytes. Output-major: position
 * i * 8 + j is output i, input j. Tail-biting: the bits before position 0 are the tile's last
 * ones, so tiles decode independently. Bit b of the stream is bit b % 8 of byte b / 8, and each
 * symbol's most significant bit comes first.
 *
 * Matrix. tiles[ceil(n/64)][ceil(k/8)][4][56]: 64 outputs stream together, tile t of a block holds
 * its outputs 16 t … 16 t + 15. Padding weights hold any code; padded inputs meet activations of
 * 0, padded outputs are never stored.
 *
 * Meta, N = n rounded up to 64, G = groups of a column, all parts 64-byte multiples, in this order:
 *	scale		f16[G][N], or with Q35_META_MULTIPLIER f16[N] then multiplier u8[G][N]
 *	zero		f16[G][N], with Q35_META_ZERO
 * A weight is scale * code + zero; a multiplied scale is (float)f16 * (float)u8, exact in f32.
 * Padded outputs have scale, multiplier and zero 0.
 *
 * Arithmetic, exact: every implementation gives these bits.
 * 1. Activations, row by row and per block of act_block inputs: a = max |x|, scale = a / 127,
 *    code = x / scale rounded half to even (one f32 division each) and held within +-127, which
 *    a subnormal scale can exceed; a == 0 or scale == 0: scale 0 and codes 0. F16 and BF16 are
 *    widened to f32 first. A row with a NaN or an infinity anywhere, x_scale included, yields a
 *    row of y that is all NaN before aux is combined.
 * 2. Segments: the row cut at every multiple of act_block and of group. Per segment
 *    acc = sum code_w * code_x and sum = sum code_x, in int32, which cannot overflow: |acc| <=
 *    128 * 127 * 131072 < 2^31 (caller-supplied int8 activations of -128 count as -127).
 * 3. In ascending order of segments, f32, round to nearest, no fused multiply-add, from y = +0:
 *	y = y + (float)acc * (scale_w * scale_x)
 *	y = y + (float)sum * (zero_w * scale_x)		only with Q35_META_ZERO
 * 4. y = y + bias; then the activation; then + aux or * aux; then rounding to y's type, half to
 *    even. The activations use the polynomials of epilogue.c, not libm. A NaN is always stored as
 *    0x7fc00000 (0x7e00 in F16, 0x7fc0 in BF16).
 */
#ifndef Q35_FORMAT_H
#define Q35_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "q35_hw.h"

#define Q35_TILE_N 16
#define Q35_TILE_K 8
#define Q35_TILE_WEIGHTS (Q35_TILE_N * Q35_TILE_K)
#define Q35_EVEN_BITS 4
#define Q35_ODD_BITS 3
#define Q35_TILE_BITS (Q35_TILE_WEIGHTS / 2 * (Q35_EVEN_BITS + Q35_ODD_BITS))
#define Q35_TILE_BYTES (Q35_TILE_BITS / 8)
#define Q35_BLOCK_TILES 4
#define Q35_BLOCK_N (Q35_BLOCK_TILES * Q35_TILE_N)
#define Q35_BLOCK_BYTES (Q35_BLOCK_TILES * Q35_TILE_BYTES) /* 64 outputs x 8 inputs */
#define Q35_WINDOW_BITS 8
#define Q35_CODEBOOK_BYTES (2 << Q35_WINDOW_BITS)
#define Q35_DIM_ORDER_MAX 17 /* dimensions are 1 … 131072 */

_Static_assert(Q35_TILE_BYTES == 56, "3.5 bits a weight: a tile of 128 is 56 bytes");

static inline uint32_t q35_div_up(uint32_t a, uint32_t b)
{
	return a / b + (a % b != 0);
}

static inline size_t q35_format_tiles_size(uint32_t n, uint32_t k)
{
	return (size_t)q35_div_up(n, Q35_BLOCK_N) * q35_div_up(k, Q35_TILE_K) * Q35_BLOCK_BYTES;
}

static inline uint32_t q35_format_groups(uint32_t k, uint16_t group)
{
	return group ? q35_div_up(k, group) : 1;
}

static inline size_t q35_format_meta_size(uint32_t n, uint32_t k, uint16_t group, uint8_t flags)
{
	size_t row = (size_t)q35_div_up(n, Q35_BLOCK_N) * Q35_BLOCK_N;
	size_t groups = q35_format_groups(k, group);
	size_t size = flags & Q35_META_MULTIPLIER ? 2 * row + groups * row : 2 * groups * row;

	return flags & Q35_META_ZERO ? size + 2 * groups * row : size;
}

#endif /* Q35_FORMAT_H */
