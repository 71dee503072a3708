/* SPDX-License-Identifier: MIT */
/*
 * Step 1 of format.h, and the sums of step 2 that depend on the activations alone. Each kernel
 * includes this after it has chosen its instruction set: the loops are such that a compiler
 * vectorizes them for that.
 */
#ifndef Q35_PREPARE_H
#define Q35_PREPARE_H

#include <string.h>

#include "scratch.h"

#define CHUNK 128 /* inputs widened to f32 at a time; divides every block but a whole row */

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The bits of max |x|: they sort as the numbers do, infinity and NaN last. */
static int32_t max_bits(const float *x, uint32_t count)
{
	int32_t bits, max = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		memcpy(&bits, &x[i], sizeof(bits));
		bits &= 0x7fffffff;
		max = bits > max ? bits : max;
	}
	return max;
}

static void encode(const float *x, uint32_t count, float scale, int8_t *codes)
{
	int8_t tile __attribute__((vector_size(8)));
	int8_t c[CHUNK] = {0};
	uint32_t i;
	int32_t n;
	float q;

	for (i = 0; i < count; i++) {
		/* Adding 1.5 * 2^23 rounds to an integer, half to even, and leaves it in the low bits. */
		q = x[i] / scale + 12582912.0f;
		memcpy(&n, &q, sizeof(n));
		n -= 0x4b400000;
		/* A subnormal scale may be much too small. */
		n = n > 127 ? 127 : n;
		c[i] = n < -127 ? -127 : n;
	}
	for (i = 0; i < count; i += Q35_TILE_K) {
		memcpy(&tile, &c[i], sizeof(tile));
		tile = __builtin_shufflevector(tile, tile, 0, 2, 4, 6, 1, 3, 5, 7);
		memcpy(&codes[i], &tile, sizeof(tile));
	}
}

/* Quantizes inputs k0 … k1 - 1, one block; 0 if they are not finite. */
static int encode_block(const struct q35_product *p, const void *x, uint32_t k0, uint32_t k1,
			int8_t *codes, float *scale)
{
	float chunk[CHUNK], max;
	int32_t bits = 0, b;
	uint32_t k;

	for (k = k0; k < k1; k += CHUNK) {
		q35_widen(p->x_type, x, k, min_u32(CHUNK, k1 - k), chunk);
		b = max_bits(chunk, min_u32(CHUNK, k1 - k));
		bits = b > bits ? b : bits;
	}
	if (bits >= 0x7f800000)
		return 0;
	memcpy(&max, &bits, sizeof(max));
	*scale = max / 127;
	if (*scale == 0)
		return 1;
	for (k = k0; k < k1; k += CHUNK) {
		if (k1 - k0 > CHUNK)
			q35_widen(p->x_type, x, k, min_u32(CHUNK, k1 - k), chunk);
		encode(chunk, min_u32(CHUNK, k1 - k), *scale, codes + k);
	}
	return 1;
}

/* Takes over the caller's codes and their scale; 0 if that is not finite. */
static int copy_block(const int8_t *x, uint32_t k0, uint32_t k1, float scale, int8_t *codes)
{
	uint32_t k;

	if (max_bits(&scale, 1) >= 0x7f800000)
		return 0;
	for (k = k0; k < k1; k++)
		codes[k / Q35_TILE_K * Q35_TILE_K + q35_code_slot(k % Q35_TILE_K)] =
			x[k] < -127 ? -127 : x[k];
	return 1;
}

static int32_t sum(const int8_t *codes, uint32_t count)
{
	int32_t total = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		total += codes[i];
	return total;
}

static void prepare_row(const struct q35_product *p, const struct q35_layout *l, char *record,
			uint32_t m)
{
	const void *x = (const char *)p->x + m * p->x_stride;
	uint32_t block = p->act_block ? p->act_block : p->k;
	float *scales = (float *)(record + l->scale);
	int32_t *sums = (int32_t *)(record + l->sum);
	int8_t *codes = (int8_t *)record;
	uint32_t k0, k1, s, nan = 0;
	float scale;

	memset(record, 0, l->stride);
	for (k0 = 0; k0 < p->k; k0 = k1) {
		k1 = k0 + min_u32(block, p->k - k0);
		if (p->x_type == Q35_HW_I8) {
			scale = p->x_scale[(size_t)m * q35_div_up(p->k, block) + k0 / block];
			nan = !copy_block(x, k0, k1, scale, codes);
		} else {
			nan = !encode_block(p, x, k0, k1, codes, &scale);
		}
		if (nan)
			break;
		for (s = k0 / l->segment; s * l->segment < k1; s++)
			scales[s] = scale;
	}
	for (s = 0; s < l->segments; s++) {
		k1 = q35_div_up(min_u32((s + 1) * l->segment, p->k), Q35_TILE_K) * Q35_TILE_K;
		sums[s] = sum(codes + s * l->segment, k1 - s * l->segment);
	}
	if (nan) {
		memset(record, 0, l->stride);
		memcpy(record + l->nan, &nan, sizeof(nan));
	}
}

static void prepare(const struct q35_product *p, void *scratch, uint32_t m0, uint32_t m1)
{
	struct q35_layout l = q35_layout(p);
	uint32_t m;

	for (m = m0; m < m1; m++)
		prepare_row(p, &l, (char *)scratch + m * l.stride, m);
}

#endif /* Q35_PREPARE_H */
