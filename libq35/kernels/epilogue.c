// SPDX-License-Identifier: MIT
/*
 * Step 4 of format.h. Every kernel ends here, so what follows is the definition of the activation
 * functions as well: only +, -, *, / and comparisons of f32, each rounded once.
 */
#include "exact.h"

#include <string.h>

#include "kernels.h"

#define ROWS_AHEAD 8
#define CHUNK 64

/*
 * e^x for -82 <= x <= 0, within 1 ulp. x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 is split so that
 * n times its first part is exact. The polynomial is the minimax one of degree 6 for e^r with the
 * first two coefficients held at 1.
 */
static float exp_negative(float x)
{
	float n, r, e, power;
	uint32_t bits;

	n = x * 0x1.715476p0f + 12582912.0f; /* rounds to an integer, kept in the low bits */
	memcpy(&bits, &n, sizeof(bits));
	n -= 12582912.0f;
	r = x - n * 0x1.62e4p-1f;
	r = r - n * 0x1.7f7d1cp-20f;
	e = 0x1.6a244ep-10f;
	e = e * r + 0x1.1239d4p-7f;
	e = e * r + 0x1.5558f2p-5f;
	e = e * r + 0x1.555492p-3f;
	e = e * r + 0x1.fffffcp-2f;
	e = e * (r * r) + r;
	e = e + 1;
	bits = (bits - 0x4b400000 + 127) << 23;
	memcpy(&power, &bits, sizeof(power));
	return e * power;
}

/* x / (1 + e^-v), v of the sign of x; -0 once that is less than 2^-118 |x|. */
static float gate(float x, float v)
{
	float a = v < 0 ? v : -v;
	float e, y;

	if (v <= -82)
		return -0.0f;
	e = exp_negative(a < -82 ? -82 : a);
	y = v < 0 ? x * e : x;
	return y / (1 + e);
}

static float silu(float x)
{
	return gate(x, x);
}

/* x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), by 1 + tanh(u) = 2 / (1 + e^-2u) */
static float gelu(float x)
{
	return gate(x, x * (1.5957691216f + 0.0713548163f * (x * x)));
}

static void activate(uint8_t activation, float *v, uint32_t count)
{
	uint32_t i;

	switch (activation) {
	case Q35_HW_ACT_RELU: /* NaN passes */
		for (i = 0; i < count; i++)
			v[i] = v[i] <= 0 ? 0 : v[i];
		break;
	case Q35_HW_ACT_SILU:
		for (i = 0; i < count; i++)
			v[i] = silu(v[i]);
		break;
	case Q35_HW_ACT_GELU:
		for (i = 0; i < count; i++)
			v[i] = gelu(v[i]);
		break;
	}
}

static void store(uint8_t type, void *row, uint32_t n, uint32_t count, const float *v)
{
	uint16_t *half = (uint16_t *)row + n;
	uint32_t i;

	switch (type) {
	case Q35_HW_F16:
		for (i = 0; i < count; i++)
			half[i] = q35_f32_to_f16(v[i]);
		break;
	case Q35_HW_BF16:
		for (i = 0; i < count; i++)
			half[i] = q35_f32_to_bf16(v[i]);
		break;
	default:
		memcpy((float *)row + n, v, count * sizeof(*v));
	}
}

static void combine(uint8_t how, const float *aux, float *v, uint32_t count)
{
	uint32_t i;

	if (how == Q35_HW_COMBINE_ADD)
		for (i = 0; i < count; i++)
			v[i] = v[i] + aux[i];
	else
		for (i = 0; i < count; i++)
			v[i] = v[i] * aux[i];
}

/* Which NaN an operation gives depends on the order in which a compiler puts its operands. */
static void unify_nans(float *v, uint32_t count)
{
	uint32_t i, u;

	for (i = 0; i < count; i++) {
		memcpy(&u, &v[i], sizeof(u));
		u = (u & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : u;
		memcpy(&v[i], &u, sizeof(u));
	}
}

static void finish(const struct q35_product *p, uint32_t m, uint32_t n, uint32_t count, float *v)
{
	float aux[CHUNK];
	uint32_t i;

	if (p->bias)
		for (i = 0; i < count; i++)
			v[i] = v[i] + p->bias[n + i];
	activate(p->activation, v, count);
	if (p->combine != Q35_HW_COMBINE_NONE) {
		q35_widen(p->aux_type, (const char *)p->aux + m * p->aux_stride, n, count, aux);
		combine(p->combine, aux, v, count);
	}
	unify_nans(v, count);
	store(p->y_type, (char *)p->y + m * p->y_stride, n, count, v);
}

/* Rows are far from one another in memory; without this, 128 rows take 8 % longer for their stores. */
static void prefetch_row(const struct q35_product *p, uint32_t m, uint32_t n, uint32_t count)
{
	size_t size = p->y_type == Q35_HW_F32 ? sizeof(float) : sizeof(uint16_t), i;

	if (m >= p->m)
		return;
	for (i = 0; i < count * size; i += 64)
		__builtin_prefetch((char *)p->y + m * p->y_stride + n * size + i, 1);
}

void q35_epilogue(const struct q35_product *p, uint32_t m, uint32_t n0, uint32_t count,
		  const float *acc, int nan)
{
	float v[CHUNK];
	uint32_t i, n, part;

	prefetch_row(p, m + ROWS_AHEAD, n0, count);
	for (n = 0; n < count; n += part) {
		part = count - n < CHUNK ? count - n : CHUNK;
		for (i = 0; i < part; i++)
			v[i] = nan ? __builtin_nanf("") : acc[n + i];
		finish(p, m, n0 + n, part, v);
	}
}
