// SPDX-License-Identifier: MIT
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c")

#include "int4.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "scratch.h"

#define inline_always static inline __attribute__((always_inline))

#define VECTORS 4 /* of 16 outputs */
#define FUSED_ROWS 3 /* up to here weights are unpacked as they are multiplied */
#define UNIT_ROWS 6 /* whose sums fill the registers */
#define PANEL_ROWS 128
#define PIECE_K 256 /* inputs unpacked at a time: 16 KiB */
#define PREFETCH 4096 /* bytes */

bool int4_supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("f16c");
}

struct job {
	const struct q35_product *p;
	const void *scratch;
	const uint8_t *codes; /* of the block */
	struct q35_layout l;
	__m512 scale[VECTORS];
	uint32_t n0;
};

struct step { /* 8 inputs, unpacked */
	__m512i w[2][VECTORS]; /* even ones, odd ones */
};

struct panel {
	struct step steps[PIECE_K / 8];
	__m512i acc[PANEL_ROWS][VECTORS]; /* of a segment longer than a piece */
	float y[PANEL_ROWS][64];
};

static uint32_t segment_end(const struct job *j, uint32_t s)
{
	return j->p->k - s * j->l.segment < j->l.segment ? j->p->k : (s + 1) * j->l.segment;
}

inline_always __m512i broadcast(const int8_t *codes)
{
	int32_t four;

	memcpy(&four, codes, sizeof(four));
	return _mm512_set1_epi32(four);
}

inline_always __m512i unpack(__m512i bytes, int odd)
{
	if (odd)
		bytes = _mm512_srli_epi16(bytes, 4);
	return _mm512_and_si512(bytes, _mm512_set1_epi8(15));
}

/* Weights are unsigned here, 8 too large. */
inline_always __m512i first_sum(const struct job *j, uint32_t m, uint32_t s)
{
	return _mm512_set1_epi32(-8 * q35_row_sums(&j->l, j->scratch, m)[s]);
}

inline_always void scale_segment(const struct job *j, uint32_t m, uint32_t s, const __m512i *acc,
				 float *y)
{
	__m512 sx = _mm512_set1_ps(q35_row_scales(&j->l, j->scratch, m)[s]);
	int v;

#pragma GCC unroll 4
	for (v = 0; v < VECTORS; v++)
		_mm512_storeu_ps(y + 16 * v, _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[v]),
							     _mm512_mul_ps(j->scale[v], sx),
							     _mm512_loadu_ps(y + 16 * v)));
}

static void store(const struct job *j, uint32_t m, const float *y)
{
	uint32_t outputs = j->p->n - j->n0 < 64 ? j->p->n - j->n0 : 64;

	memcpy((char *)j->p->y + m * j->p->y_stride + j->n0 * sizeof(*y), y, outputs * sizeof(*y));
}

/* rows is a constant of each caller. */
inline_always void multiply_fused(const struct job *j, uint32_t m0, int rows)
{
	float y[FUSED_ROWS][64] = {0};
	const uint8_t *codes = j->codes;
	const int8_t *x[FUSED_ROWS];
	__m512i acc[FUSED_ROWS][VECTORS], w;
	uint32_t s, k;
	int m, v;

#pragma GCC unroll 4
	for (m = 0; m < rows; m++)
		x[m] = q35_row_codes(&j->l, j->scratch, m0 + m);
	for (s = 0; s < j->l.segments; s++) {
#pragma GCC unroll 4
		for (m = 0; m < rows; m++)
#pragma GCC unroll 4
			for (v = 0; v < VECTORS; v++)
				acc[m][v] = first_sum(j, m0 + m, s);
		for (k = s * j->l.segment; k < segment_end(j, s);
		     k += 8, codes += INT4_BLOCK_BYTES) {
#pragma GCC unroll 4
			for (v = 0; v < VECTORS; v++) {
				_mm_prefetch(codes + 64 * v + PREFETCH, _MM_HINT_T0);
				w = _mm512_loadu_si512(codes + 64 * v);
#pragma GCC unroll 4
				for (m = 0; m < rows; m++) {
					acc[m][v] = _mm512_dpbusd_epi32(acc[m][v], unpack(w, 0),
									broadcast(x[m] + k));
					acc[m][v] = _mm512_dpbusd_epi32(acc[m][v], unpack(w, 1),
									broadcast(x[m] + k + 4));
				}
			}
		}
#pragma GCC unroll 4
		for (m = 0; m < rows; m++)
			scale_segment(j, m0 + m, s, acc[m], y[m]);
	}
#pragma GCC unroll 4
	for (m = 0; m < rows; m++)
		store(j, m0 + m, y[m]);
}

/* Inputs k … end - 1, within segment s, of rows m0 + first on; rows is a constant. */
inline_always void multiply_unit(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
				 uint32_t end, uint32_t m0, uint32_t first, int rows)
{
	const __m512i *w = panel->steps[0].w[0];
	__m512i acc[UNIT_ROWS][VECTORS], x;
	const int8_t *codes[UNIT_ROWS];
	int m, v, odd;
	uint32_t i;

#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		codes[m] = q35_row_codes(&j->l, j->scratch, m0 + first + m);
#pragma GCC unroll 4
		for (v = 0; v < VECTORS; v++)
			acc[m][v] = k == s * j->l.segment ? first_sum(j, m0 + first + m, s)
							  : panel->acc[first + m][v];
	}
	for (i = k; i < end; i += 8) {
#pragma GCC unroll 2
		for (odd = 0; odd < 2; odd++, w += VECTORS) {
#pragma GCC unroll 8
			for (m = 0; m < rows; m++) {
				x = broadcast(codes[m] + i + 4 * odd);
#pragma GCC unroll 4
				for (v = 0; v < VECTORS; v++)
					acc[m][v] = _mm512_dpbusd_epi32(acc[m][v], w[v], x);
			}
		}
	}
#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		if (end == segment_end(j, s))
			scale_segment(j, m0 + first + m, s, acc[m], panel->y[first + m]);
		else
			memcpy(panel->acc[first + m], acc[m], sizeof(acc[m]));
	}
}

static void unpack_piece(const struct job *j, struct panel *panel, uint32_t k, uint32_t end)
{
	const uint8_t *codes = j->codes + (size_t)(k / 8) * INT4_BLOCK_BYTES;
	struct step *step = panel->steps;
	__m512i bytes;
	int v;

	for (; k < end; k += 8, codes += INT4_BLOCK_BYTES, step++) {
#pragma GCC unroll 4
		for (v = 0; v < VECTORS; v++) {
			bytes = _mm512_loadu_si512(codes + 64 * v);
			step->w[0][v] = unpack(bytes, 0);
			step->w[1][v] = unpack(bytes, 1);
		}
	}
}

static void multiply_piece(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
			   uint32_t end, uint32_t m0, uint32_t rows)
{
	uint32_t first;

	for (first = 0; first + UNIT_ROWS <= rows; first += UNIT_ROWS)
		multiply_unit(j, panel, s, k, end, m0, first, UNIT_ROWS);
	switch (rows - first) {
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
	}
}

static void multiply_panel(const struct job *j, struct panel *panel, uint32_t m0, uint32_t rows)
{
	uint32_t s, k, end, m;

	memset(panel->y, 0, sizeof(panel->y[0]) * rows);
	for (s = 0; s < j->l.segments; s++) {
		for (k = s * j->l.segment; k < segment_end(j, s); k = end) {
			end = segment_end(j, s) - k < PIECE_K ? segment_end(j, s) : k + PIECE_K;
			unpack_piece(j, panel, k, end);
			multiply_piece(j, panel, s, k, end, m0, rows);
		}
	}
	for (m = 0; m < rows; m++)
		store(j, m0 + m, panel->y[m]);
}

static void multiply_rows(const struct job *j, struct panel *panel, uint32_t m0, uint32_t rows)
{
	switch (rows) {
	case 1:
		multiply_fused(j, m0, 1);
		break;
	case 2:
		multiply_fused(j, m0, 2);
		break;
	case 3:
		multiply_fused(j, m0, 3);
		break;
	default:
		multiply_panel(j, panel, m0, rows);
	}
}

void int4_gemm(const struct q35_product *p, const void *scratch, const uint8_t *codes,
	       const uint16_t *scales, uint32_t b0, uint32_t b1)
{
	size_t block = (size_t)q35_div_up(p->k, 8) * INT4_BLOCK_BYTES;
	struct job j = {.p = p, .scratch = scratch, .l = q35_layout(p)};
	struct panel panel;
	uint32_t b, m, rows;
	int v;

	for (b = b0; b < b1; b++) {
		j.codes = codes + b * block;
		j.n0 = b * 64;
		for (v = 0; v < VECTORS; v++)
			j.scale[v] = _mm512_cvtph_ps(
				_mm256_loadu_si256((const __m256i *)(scales + j.n0 + 16 * v)));
		for (m = 0; m < p->m; m += rows) {
			rows = p->m - m < PANEL_ROWS ? p->m - m : PANEL_ROWS;
			multiply_rows(&j, &panel, m, rows);
		}
	}
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
