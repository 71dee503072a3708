// SPDX-License-Identifier: MIT
/*
 * AVX2 (Haswell, Zen 1 and later; QEMU without KVM).
 *
 * Without VBMI a table of 256 bytes takes 31 shuffles and blends. It is quicker to look up two
 * codes at a time by scalar loads: an even position's window and the following odd one's overlap
 * and make 11 bits, so a table of 2048 pairs, 4 KiB, holds the whole codebook. Rows of any number
 * then multiply from the decoded piece in the first-level cache.
 *
 * vpmaddubsw multiplies unsigned by signed bytes and saturates the sum of two products at 16 bits.
 * |code| times the activation with the code's sign is exact: 2 * 128 * 127 < 2^15.
 */
#if defined(__x86_64__)
#pragma GCC target("avx2,f16c")

#include "exact.h"

#include <immintrin.h>
#include <string.h>

#include "scratch.h"

#define inline_always static inline __attribute__((always_inline))

#define PAIR_BITS 11
#define PAIR_STEP (Q35_EVEN_BITS + Q35_ODD_BITS)
#define PANEL_ROWS 64
#define PIECE_K 256 /* inputs decoded at a time: 16 KiB */
#define UNIT_ROWS 4
#define UNIT_N 8 /* outputs of a unit: two registers of codes, 8 of sums */

struct panel {
	/* As pairs; natural order of inputs, 4 pairs an output. */
	uint16_t codes[PIECE_K / Q35_TILE_K][Q35_BLOCK_N][4] __attribute__((aligned(32)));
	int32_t acc[PANEL_ROWS][Q35_BLOCK_N]; /* of a segment longer than a piece */
	float y[PANEL_ROWS][Q35_BLOCK_N];
	float scale[Q35_BLOCK_N], zero[Q35_BLOCK_N]; /* of the segment */
	uint16_t pair
		[1 << PAIR_BITS]; /* even code in the low byte; bit 0 of the index is the oldest */
};

/* What is common to the segments of one product with one block. */
struct job {
	const struct q35_product *p;
	const void *scratch;
	const uint8_t *tiles; /* of the block */
	struct q35_layout l;
	uint32_t n0, outputs;
	int has_zero;
};

static int supported(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
}

static unsigned int reverse_byte(unsigned int w)
{
	unsigned int r = 0, i;

	for (i = 0; i < 8; i++)
		r |= (w >> i & 1) << (7 - i);
	return r;
}

static void init_pairs(uint16_t *pair, const int8_t *codebook)
{
	uint8_t even[256], odd[256];
	unsigned int i;

	for (i = 0; i < 256; i++) {
		even[i] = codebook[reverse_byte(i)];
		odd[i] = codebook[256 + reverse_byte(i)];
	}
	for (i = 0; i < 1 << PAIR_BITS; i++)
		pair[i] = even[i & 0xff] | odd[i >> Q35_ODD_BITS] << 8;
}

static void decode_tile(const uint16_t *pair, const uint8_t *tile, uint16_t *codes)
{
	unsigned int i, j;
	uint64_t bits;

	/* Two outputs are 56 bits; with the 4 before them, which the first window reaches, 60. */
	for (i = 0; i < Q35_TILE_N / 2; i++) {
		if (i) {
			memcpy(&bits, tile + 7 * i - 1, sizeof(bits));
		} else {
			memcpy(&bits, tile, sizeof(bits));
			bits = bits << 8 | tile[Q35_TILE_BYTES - 1];
		}
		for (j = 0; j < 8; j++)
			codes[8 * i + j] =
				pair[bits >> (4 + PAIR_STEP * j) & ((1 << PAIR_BITS) - 1)];
	}
}

static void decode_piece(const struct job *j, struct panel *panel, uint32_t k, uint32_t end)
{
	const uint8_t *tile = j->tiles + (size_t)(k / Q35_TILE_K) * Q35_BLOCK_BYTES;
	uint16_t(*codes)[Q35_BLOCK_N][4] = panel->codes;
	unsigned int t;

	for (; k < end; k += Q35_TILE_K, codes++)
		for (t = 0; t < Q35_BLOCK_TILES; t++, tile += Q35_TILE_BYTES)
			decode_tile(panel->pair, tile, codes[0][t * Q35_TILE_N]);
}

static void load_f16(const void *at, float *out)
{
	unsigned int i;

	for (i = 0; i < Q35_BLOCK_N; i += 8)
		_mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(
						  (const __m128i *)((const uint16_t *)at + i))));
}

/* The scales and zero-points of group g. */
static void load_meta(const struct job *j, struct panel *panel, uint32_t g)
{
	size_t row = (size_t)q35_div_up(j->p->n, Q35_BLOCK_N) * Q35_BLOCK_N;
	size_t groups = q35_format_groups(j->p->k, j->p->group);
	const uint8_t *meta = j->p->meta, *zeros = meta + 2 * groups * row, *multiplier;
	unsigned int i;

	if (j->p->meta_flags & Q35_META_MULTIPLIER) {
		load_f16(meta + 2 * j->n0, panel->scale);
		multiplier = meta + 2 * row + g * row + j->n0;
		for (i = 0; i < Q35_BLOCK_N; i++)
			panel->scale[i] = panel->scale[i] * (float)multiplier[i];
		zeros = meta + 2 * row + groups * row;
	} else {
		load_f16(meta + 2 * (g * row + j->n0), panel->scale);
	}
	if (j->has_zero)
		load_f16(zeros + 2 * (g * row + j->n0), panel->zero);
}

static uint32_t segment_end(const struct job *j, uint32_t s)
{
	return j->p->k - s * j->l.segment < j->l.segment ? j->p->k : (s + 1) * j->l.segment;
}

/* Four pairs of sums each, of outputs 0 … 3 and 4 … 7, to the eight outputs. */
inline_always __m256i add_pairs(__m256i a, __m256i b)
{
	return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
}

/* Step 3 of format.h for 8 outputs of one row. */
inline_always void scale_segment(const struct job *j, struct panel *panel, uint32_t m, uint32_t n,
				 __m256i acc, float scale_x, int32_t sum)
{
	__m256 sx = _mm256_set1_ps(scale_x), y = _mm256_loadu_ps(&panel->y[m][n]);

	y = _mm256_add_ps(y, _mm256_mul_ps(_mm256_cvtepi32_ps(acc),
					   _mm256_mul_ps(_mm256_loadu_ps(&panel->scale[n]), sx)));
	if (j->has_zero)
		y = _mm256_add_ps(
			y, _mm256_mul_ps(_mm256_set1_ps((float)sum),
					 _mm256_mul_ps(_mm256_loadu_ps(&panel->zero[n]), sx)));
	_mm256_storeu_ps(&panel->y[m][n], y);
}

/*
 * Inputs k … end - 1, within segment s, of outputs n … n + 7 and the rows from m0 + first on; rows
 * is a constant.
 */
inline_always void multiply_unit(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
				 uint32_t end, uint32_t n, uint32_t m0, uint32_t first, int rows)
{
	/* Scratch has even inputs before odd ones. */
	const __m256i natural = _mm256_set1_epi64x(0x0703060205010400);
	const __m256i ones = _mm256_set1_epi16(1);
	__m256i acc[UNIT_ROWS][2], w[2], magnitude[2], x, products, sums;
	const int8_t *codes[UNIT_ROWS];
	uint32_t i, row;
	int64_t eight;
	int m, h;

#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		codes[m] = q35_row_codes(&j->l, j->scratch, m0 + first + m);
		acc[m][0] = _mm256_setzero_si256();
		acc[m][1] = _mm256_setzero_si256();
	}
	for (i = k; i < end; i += Q35_TILE_K) {
#pragma GCC unroll 8
		for (h = 0; h < 2; h++) {
			w[h] = _mm256_load_si256(
				(const __m256i *)panel->codes[(i - k) / Q35_TILE_K][n + 4 * h]);
			magnitude[h] = _mm256_abs_epi8(w[h]);
		}
#pragma GCC unroll 8
		for (m = 0; m < rows; m++) {
			memcpy(&eight, codes[m] + i, sizeof(eight));
			x = _mm256_shuffle_epi8(_mm256_set1_epi64x(eight), natural);
#pragma GCC unroll 8
			for (h = 0; h < 2; h++) {
				products = _mm256_maddubs_epi16(magnitude[h],
								_mm256_sign_epi8(x, w[h]));
				acc[m][h] = _mm256_add_epi32(acc[m][h],
							     _mm256_madd_epi16(products, ones));
			}
		}
	}
#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		row = first + m;
		sums = add_pairs(acc[m][0], acc[m][1]);
		if (k > s * j->l.segment)
			sums = _mm256_add_epi32(
				sums, _mm256_loadu_si256((const __m256i *)&panel->acc[row][n]));
		if (end < segment_end(j, s))
			_mm256_storeu_si256((__m256i *)&panel->acc[row][n], sums);
		else
			scale_segment(j, panel, row, n, sums,
				      q35_row_scales(&j->l, j->scratch, m0 + row)[s],
				      q35_row_sums(&j->l, j->scratch, m0 + row)[s]);
	}
}

static void multiply_piece(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
			   uint32_t end, uint32_t m0, uint32_t rows)
{
	uint32_t first, unit, n;

	for (first = 0; first < rows; first += unit) {
		unit = rows - first < UNIT_ROWS ? rows - first : UNIT_ROWS;
		for (n = 0; n < j->outputs; n += UNIT_N) {
			switch (unit) {
			case 1:
				multiply_unit(j, panel, s, k, end, n, m0, first, 1);
				break;
			case 2:
				multiply_unit(j, panel, s, k, end, n, m0, first, 2);
				break;
			case 3:
				multiply_unit(j, panel, s, k, end, n, m0, first, 3);
				break;
			case 4:
				multiply_unit(j, panel, s, k, end, n, m0, first, 4);
				break;
			}
		}
	}
}

static void multiply_panel(const struct job *j, struct panel *panel, uint32_t m0, uint32_t rows)
{
	uint32_t s, k, end, m, g, loaded = UINT32_MAX;

	memset(panel->y, 0, sizeof(panel->y[0]) * rows);
	for (s = 0; s < j->l.segments; s++) {
		g = j->p->group ? s * j->l.segment / j->p->group : 0;
		if (g != loaded)
			load_meta(j, panel, g);
		loaded = g;
		for (k = s * j->l.segment; k < segment_end(j, s); k = end) {
			end = segment_end(j, s) - k < PIECE_K ? segment_end(j, s) : k + PIECE_K;
			decode_piece(j, panel, k, end);
			multiply_piece(j, panel, s, k, end, m0, rows);
		}
	}
	for (m = 0; m < rows; m++)
		q35_epilogue(j->p, m0 + m, j->n0, j->outputs, panel->y[m],
			     q35_row_nan(&j->l, j->scratch, m0 + m));
}

static void gemm(const struct q35_product *p, const void *scratch, const uint8_t *tiles,
		 uint32_t b0, uint32_t b1)
{
	size_t block = (size_t)q35_div_up(p->k, Q35_TILE_K) * Q35_BLOCK_BYTES;
	struct job j = {.p = p, .scratch = scratch, .tiles = tiles, .l = q35_layout(p)};
	struct panel panel;
	uint32_t b, m, rows;

	j.has_zero = p->meta_flags & Q35_META_ZERO;
	init_pairs(panel.pair, p->codebook);
	for (b = b0; b < b1; b++, j.tiles += block) {
		j.n0 = b * Q35_BLOCK_N;
		j.outputs = p->n - j.n0 < Q35_BLOCK_N ? p->n - j.n0 : Q35_BLOCK_N;
		for (m = 0; m < p->m; m += rows) {
			rows = p->m - m < PANEL_ROWS ? p->m - m : PANEL_ROWS;
			multiply_panel(&j, &panel, m, rows);
		}
	}
}

const struct q35_kernels q35_kernels_avx2 = {"avx2", supported, gemm};

#endif /* __x86_64__ */
