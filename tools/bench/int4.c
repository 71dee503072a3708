// SPDX-License-Identifier: MIT
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c")

#include "int4.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "scratch.h"

#define inline_always static inline __attribute__((always_inline))

#define BLOCK_BYTES INT4_BLOCK_BYTES
#define BIAS 8

struct decoder {
	int wide; /* of no meaning here */
};

inline_always void decode(const struct decoder *d, const uint8_t *block, int t, int wide,
			  __m512i code[2])
{
	const __m512i low = _mm512_set1_epi8(15);
	__m512i bytes = _mm512_loadu_si512(block + 64 * t);

	(void)d;
	(void)wide;
	code[0] = _mm512_and_si512(bytes, low);
	code[1] = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low);
}

#include "avx512_gemm.h"

bool int4_supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("f16c");
}

void int4_gemm(const struct q35_product *p, const void *scratch, const uint8_t *codes,
	       const uint16_t *scales, uint32_t b0, uint32_t b1)
{
	const size_t block = (size_t)q35_div_up(p->k, 8) * INT4_BLOCK_BYTES;
	const struct decoder decoder = {0};
	struct q35_product product = *p;

	product.meta = scales;
	multiply_blocks(&product, scratch, codes + b0 * block, &decoder, b0, b1);
}

/* ---- Self-check ---------------------------------------------------------------------------- */

#define CHECK_N 70
#define CHECK_K 299
#define CHECK_M 9

/* Any small numbers will do that repeat nowhere soon. */
static int weight(uint32_t n, uint32_t k)
{
	return (int)((n * 7 + k * 3 + n * k) % 16) - 8;
}

/* Integers, up to 127 in every block: the scale is 1 and nothing is rounded. */
static float activation(uint32_t m, uint32_t k)
{
	return k % 64 ? (float)((m * 11 + k * 5 + m * k) % 255) - 127 : 127;
}

static void pack(uint8_t *codes)
{
	uint32_t n, k;
	uint8_t *byte;

	memset(codes, 0x88, int4_codes_size(CHECK_N, CHECK_K));
	for (n = 0; n < CHECK_N; n++) {
		for (k = 0; k < CHECK_K; k++) {
			byte = codes +
			       ((size_t)n / 64 * q35_div_up(CHECK_K, 8) + k / 8) *
				       INT4_BLOCK_BYTES +
			       n % 64 * 4 + k % 8 / 2;
			*byte = k % 2 ? (*byte & 0x0f) | (weight(n, k) + 8) << 4
				      : (*byte & 0xf0) | (weight(n, k) + 8);
		}
	}
}

static bool check_rows(const struct q35_product *p)
{
	const float *y = p->y;
	uint32_t m, n, k;
	double sum;

	for (m = 0; m < p->m; m++) {
		for (n = 0; n < CHECK_N; n++) {
			for (k = 0, sum = 0; k < CHECK_K; k++)
				sum += weight(n, k) * activation(m, k);
			if (fabs(y[m * CHECK_N + n] - sum) > 0.5) /* f32 holds it exactly */
				return false;
		}
	}
	return true;
}

bool int4_agrees(void)
{
	static uint8_t codes[2 * ((CHECK_K + 7) / 8) * INT4_BLOCK_BYTES];
	static char scratch[CHECK_M * 2048] __attribute__((aligned(64)));
	static float x[CHECK_M * CHECK_K], y[CHECK_M * CHECK_N];
	struct q35_product p = {
		.n = CHECK_N,
		.k = CHECK_K,
		.x_type = Q35_HW_F32,
		.x_stride = sizeof(float) * CHECK_K,
		.y_stride = sizeof(float) * CHECK_N,
		.x = x,
		.y = y,
	};
	uint16_t scales[128];
	uint32_t i;

	for (i = 0; i < 128; i++)
		scales[i] = q35_f32_to_f16(1);
	for (i = 0; i < CHECK_M * CHECK_K; i++)
		x[i] = activation(i / CHECK_K, i % CHECK_K);
	pack(codes);
	for (p.m = 1; p.m <= CHECK_M; p.m++) {
		for (p.act_block = 0; p.act_block <= 128; p.act_block += 128) {
			if (q35_scratch_size(&p) > sizeof(scratch))
				return false;
			q35_kernels_get()->prepare(&p, scratch, 0, p.m);
			memset(y, 0, sizeof(y));
			int4_gemm(&p, scratch, codes, scales, 0, q35_div_up(CHECK_N, 64));
			if (!check_rows(&p))
				return false;
		}
	}
	return true;
}
