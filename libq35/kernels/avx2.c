// SPDX-License-Identifier: MIT
/*
 * AVX2 (Haswell, Zen 1 and later; QEMU without KVM).
 *
 * Without VBMI a table of 256 bytes takes 31 shuffles and blends. It is quicker to look up two
 * codes at a time by scalar loads: an even position's window and the following odd one's overlap
 * and make 11 bits, so a table of 2048 pairs, 4 KiB, holds the whole codebook. Codebooks of which
 * only 4 to 6 bits of the window matter take 1 to 7 shuffles and blends for 32 codes; those are
 * quicker. Rows of any number then multiply from the decoded piece in the first-level cache.
 *
 * vpmaddubsw multiplies unsigned by signed bytes and saturates the sum of two products at 16 bits.
 * |code| times the activation with the code's sign is exact: 2 * 128 * 127 < 2^15.
 */
#if defined(__x86_64__)
#pragma GCC target("avx2,f16c,bmi")

#include "exact.h"

#include <immintrin.h>
#include <string.h>

#include "decode.h"
#include "prepare.h"
#include "scratch.h"

#define inline_always static inline __attribute__((always_inline))

#define SHUFFLE_BITS 6 /* wider windows are quicker by pairs */
#define PAIR_BITS 11
#define PAIR_STEP (Q35_EVEN_BITS + Q35_ODD_BITS)
#define PANEL_ROWS 64
#define PIECE_K 256 /* inputs decoded at a time: 16 KiB */
#define UNIT_ROWS 4
#define UNIT_N 8 /* outputs of a unit: two registers of codes, 8 of sums */

struct cut { /* of windows out of quadwords: words that hold them, and how far up they go */
	__m256i bytes, shift;
};

struct shuffler {
	unsigned int bits;
	__m256i table[2][4]; /* even, odd; for at most SHUFFLE_BITS */
	struct cut cut[2][2]; /* of a quadword's first output and second one */
};

struct panel {
	struct shuffler shuffler;
	/* As pairs; natural order of inputs, 4 pairs an output. */
	uint16_t codes[PIECE_K / Q35_TILE_K][Q35_BLOCK_N][4] __attribute__((aligned(32)));
	int32_t acc[PANEL_ROWS][Q35_BLOCK_N]; /* of a segment longer than a piece */
	float y[PANEL_ROWS][Q35_BLOCK_N];
	float scale[Q35_BLOCK_N], zero[Q35_BLOCK_N]; /* of the segment */
	uint16_t pair[1 << PAIR_BITS]; /* even code low; bit 0 of the index is the oldest */
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
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") &&
	       __builtin_cpu_supports("bmi");
}

static void init_pairs(uint16_t *pair, const int8_t *codebook)
{
	uint8_t even[256], odd[256];
	unsigned int i;

	for (i = 0; i < 256; i++) {
		even[i] = codebook[q35_reverse_window(i)];
		odd[i] = codebook[256 + q35_reverse_window(i)];
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
			codes[8 * i + j] = pair[_bextr_u64(bits, 4 + PAIR_STEP * j, PAIR_BITS)];
	}
}

/* Codes of 32 windows by shuffles of 2^(bits - 4) tables of 16; bits is a constant. */
inline_always __m256i look_up(const __m256i *table, __m256i window, int bits)
{
	__m256i low, code[4];
	int i, b;

	window = _mm256_srli_epi16(window, 8 - bits); /* drops the bits that do not matter */
	low = _mm256_and_si256(window, _mm256_set1_epi8(15));
	for (i = 0; i < 1 << (bits - 4); i++)
		code[i] = _mm256_shuffle_epi8(_mm256_load_si256(&table[i]), low);
	for (b = 4; b < bits; b++)
		for (i = 0; i < 1 << (bits - 1 - b); i++)
			code[i] = _mm256_blendv_epi8(code[2 * i], code[2 * i + 1],
						     _mm256_slli_epi16(window, 7 - b));
	return code[0];
}

/* The bytes from the one before a quadword's first bit on, of quadwords 2 q and 2 q + 1. */
inline_always __m128i load_quadwords(const uint8_t *tile, int q)
{
	if (q == 0)
		return _mm_insert_epi8(_mm_slli_si128(_mm_loadu_si128((const __m128i *)tile), 1),
				       tile[Q35_TILE_BYTES - 1], 0);
	if (q == 3) /* stays within the tile */
		return _mm_srli_si128(
			_mm_loadu_si128((const __m128i *)(tile + Q35_TILE_BYTES - 16)), 1);
	return _mm_loadu_si128((const __m128i *)(tile + 14 * q - 1));
}

/* As many bits of 32 windows: those of even quarters of the outputs, then the others, alternate. */
inline_always __m256i cut_windows(const struct cut cut[2], __m256i bits)
{
	__m256i first = _mm256_mullo_epi16(_mm256_shuffle_epi8(bits, cut[0].bytes), cut[0].shift);
	__m256i second = _mm256_mullo_epi16(_mm256_shuffle_epi8(bits, cut[1].bytes), cut[1].shift);

	return _mm256_or_si256(_mm256_srli_epi16(first, 8),
			       _mm256_andnot_si256(_mm256_set1_epi16(0xff), second));
}

inline_always void shuffle_tile(const struct shuffler *s, const uint8_t *tile, uint16_t *codes,
				int bits)
{
	const __m256i low = _mm256_set1_epi16(0xff);
	__m256i quads, even, odd, first, second, a, b;
	int half;

#pragma GCC unroll 2
	for (half = 0; half < 2; half++, codes += Q35_TILE_WEIGHTS / 4) {
		quads = _mm256_set_m128i(load_quadwords(tile, 2 * half + 1),
					 load_quadwords(tile, 2 * half));
		even = look_up(s->table[0], cut_windows(s->cut[0], quads), bits);
		odd = look_up(s->table[1], cut_windows(s->cut[1], quads), bits);
		first = _mm256_or_si256(_mm256_and_si256(even, low), _mm256_slli_epi16(odd, 8));
		second = _mm256_or_si256(_mm256_srli_epi16(even, 8), _mm256_andnot_si256(low, odd));
		a = _mm256_unpacklo_epi64(first, second);
		b = _mm256_unpackhi_epi64(first, second);
		_mm256_storeu_si256((__m256i *)codes, _mm256_permute2x128_si256(a, b, 0x20));
		_mm256_storeu_si256((__m256i *)(codes + 16), _mm256_permute2x128_si256(a, b, 0x31));
	}
}

/* How many of a window's newest bits matter, at least 4. */
static unsigned int window_bits(const int8_t *codebook)
{
	unsigned int bits = Q35_WINDOW_BITS, i, half;

	for (; bits > 4; bits--) {
		half = 1 << (bits - 1);
		for (i = 0; i < 512; i++)
			if (codebook[i] != codebook[i & ~half])
				return bits;
	}
	return bits;
}

static void init_shuffler(struct shuffler *s, const int8_t *codebook)
{
	unsigned int parity, i, j, h, offset;
	int8_t table[1 << (SHUFFLE_BITS - 4)][16];
	uint8_t bytes[32];
	uint16_t shift[16];

	s->bits = window_bits(codebook);
	if (s->bits > SHUFFLE_BITS)
		return;
	for (parity = 0; parity < 2; parity++) {
		for (i = 0; i < 1u << s->bits; i++)
			table[i / 16][i % 16] =
				codebook[256 * parity + q35_reverse_window(i << (8 - s->bits))];
		for (i = 0; i < 1u << (s->bits - 4); i++)
			s->table[parity][i] = _mm256_broadcastsi128_si256(
				_mm_loadu_si128((const __m128i *)table[i]));
		for (h = 0; h < 2; h++) {
			for (i = 0; i < 4; i++) { /* of quadwords; two share a register's half */
				for (j = 0; j < 4; j++) {
					offset = (4 * h + j) * PAIR_STEP + (parity ? 7 : 4);
					bytes[8 * i + 2 * j] = i % 2 * 7 + offset / 8;
					bytes[8 * i + 2 * j + 1] = i % 2 * 7 + offset / 8 + 1;
					shift[4 * i + j] = 1 << (8 - offset % 8);
				}
			}
			s->cut[parity][h].bytes = _mm256_loadu_si256((const __m256i *)bytes);
			s->cut[parity][h].shift = _mm256_loadu_si256((const __m256i *)shift);
		}
	}
}

inline_always void shuffle_piece(const struct job *j, struct panel *panel, uint32_t k, uint32_t end,
				 int bits)
{
	const uint8_t *tile = j->tiles + (size_t)(k / Q35_TILE_K) * Q35_BLOCK_BYTES;
	uint16_t(*codes)[Q35_BLOCK_N][4] = panel->codes;
	unsigned int t;

	for (; k < end; k += Q35_TILE_K, codes++)
		for (t = 0; t < Q35_BLOCK_TILES; t++, tile += Q35_TILE_BYTES)
			shuffle_tile(&panel->shuffler, tile, codes[0][t * Q35_TILE_N], bits);
}

static void decode_piece(const struct job *j, struct panel *panel, uint32_t k, uint32_t end)
{
	const uint8_t *tile = j->tiles + (size_t)(k / Q35_TILE_K) * Q35_BLOCK_BYTES;
	uint16_t(*codes)[Q35_BLOCK_N][4] = panel->codes;
	unsigned int t;

	switch (panel->shuffler.bits) {
	case 4:
		shuffle_piece(j, panel, k, end, 4);
		return;
	case 5:
		shuffle_piece(j, panel, k, end, 5);
		return;
	case 6:
		shuffle_piece(j, panel, k, end, 6);
		return;
	}
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
	init_shuffler(&panel.shuffler, p->codebook);
	if (panel.shuffler.bits > SHUFFLE_BITS)
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

const struct q35_kernels q35_kernels_avx2 = {"avx2", supported, prepare, gemm};

#endif /* __x86_64__ */
