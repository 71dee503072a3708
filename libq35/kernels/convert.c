// SPDX-License-Identifier: MIT
/*
 * Integer arithmetic only, so that no rounding mode or flush-to-zero setting of the calling thread
 * has a say.
 */
#include <string.h>

#include "kernels.h"

static float from_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static uint32_t to_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

float q35_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t exponent = h >> 10 & 0x1f;
	uint32_t fraction = h & 0x3ff;
	int shift;

	if (exponent == 0x1f) /* a NaN comes out quiet, as the processor's conversion has it */
		return from_bits(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
	if (exponent)
		return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
	if (!fraction)
		return from_bits(sign);
	/* A subnormal: move its highest bit to where the implied one goes. */
	shift = __builtin_clz(fraction) - 21;
	return from_bits(sign | (uint32_t)(113 - shift) << 23 | (fraction << shift & 0x3ff) << 13);
}

uint16_t q35_f32_to_f16(float f)
{
	uint32_t u = to_bits(f);
	uint32_t sign = u >> 16 & 0x8000;
	uint32_t shift, half, rest;

	u &= 0x7fffffff;
	if (u > 0x7f800000)
		return sign | 0x7e00 | (u >> 13 & 0x3ff);
	if (u >= 0x477ff000) /* halfway from 65504 to 65536, and beyond */
		return sign | 0x7c00;
	if (u >= 0x38800000) { /* normal: 2^-14 and more */
		u += 0xfff + (u >> 13 & 1);
		return sign | (u - 0x38000000) >> 13;
	}
	if (u < 0x33000000) /* less than half the smallest subnormal */
		return sign;
	shift = 126 - (u >> 23); /* 14 … 24: the fraction in units of 2^-24 */
	u = (u & 0x7fffff) | 0x800000;
	half = 1u << (shift - 1);
	rest = u & ((half << 1) - 1);
	u >>= shift;
	return sign | (u + (rest > half || (rest == half && (u & 1))));
}

float q35_bf16_to_f32(uint16_t h)
{
	return from_bits((uint32_t)h << 16);
}

uint16_t q35_f32_to_bf16(float f)
{
	uint32_t u = to_bits(f);

	if ((u & 0x7fffffff) > 0x7f800000)
		return u >> 16 | 0x40;
	return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

void q35_widen(uint8_t type, const void *x, uint32_t k, uint32_t count, float *out)
{
	const uint16_t *half = (const uint16_t *)x + k;
	uint32_t i;

	switch (type) {
	case Q35_HW_F16:
		for (i = 0; i < count; i++)
			out[i] = q35_f16_to_f32(half[i]);
		break;
	case Q35_HW_BF16:
		for (i = 0; i < count; i++)
			out[i] = q35_bf16_to_f32(half[i]);
		break;
	default:
		memcpy(out, (const float *)x + k, count * sizeof(*out));
	}
}
