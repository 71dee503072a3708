// SPDX-License-Identifier: MIT
/*
 * AVX2 (Haswell, Zen 1 and later; QEMU without KVM).
 *
 * Without VBMI a table of 256 bytes takes 16 shuffles and as much again to choose among them. It is
 * quicker to look up two codes at a time by scalar loads: an even position's window and the following
 * odd one's overlap and make 11 bits, so a table of 2048 pairs, 4 KiB, holds the whole codebook.
 * What bounds it are these 64 loads a tile, 2 a cycle: a Zen 5 does 4 into general registers, but to put
 * the codes together there costs more than that saves. Codebooks of which only 4 to 6 bits of the window
 * matter take 1 to 4 shuffles for 32 codes; those are quicker. Rows then multiply from the decoded
 * piece in the first-level cache, but a single one multiplies pairs as they are decoded.
 *
 * vpmaddubsw multiplies unsigned by signed bytes and saturates the sum of two products at 16 bits.
 * |code| times the activation with the code's sign is exact: 2 * 128 * 127 < 2^15.
 */
#if defined(__x86_64__)
#pragma GCC target("avx2,f16c,bmi")

#include "exact.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#include "decode.h"
#include "prepare.h"
#include "scratch.h"

#define inline_always static inline __attribute__((always_inline))

#define SHUFFLE_BITS 6 /* wider windows are quicker by pairs */
#define PAIRS 0
#define PAIR_BITS 11
#define PAIR_STEP (Q35_EVEN_BITS + Q35_ODD_BITS)
#define PREFETCH 4096 /* bytes: more than a segment of 128 inputs */
#define PANEL_ROWS 64
#define PIECE_K 256 /* inputs decoded at a time: 16 KiB */
#define UNIT_ROWS 4
#define UNIT_N 8 /* outputs of a unit: two registers of codes, 4 of sums */

/* How 32 windows of one parity come out of four outputs' bits in each half of a register. */
struct cut {
	__m256i first, second; /* bytes that hold those of inputs 0, 1, 4, 5, and of the others */
	__m256i low, high; /* factors that bring a window to a word's low byte, to its high one */
};

struct shuffler {
	unsigned int bits;
	__m256i table[2][1 << (SHUFFLE_BITS - 4)]; /* even, odd; see look_up() */
	struct cut cut[2];
};

struct panel {
	struct shuffler shuffler;
	__m256i codes[PIECE_K / Q35_TILE_K][Q35_BLOCK_N / 4];
	int32_t acc[PANEL_ROWS][Q35_BLOCK_N]; /* of a segment longer than a piece */
	float y[PANEL_ROWS][Q35_BLOCK_N];
	float scale[Q35_BLOCK_N], zero[Q35_BLOCK_N]; /* of the segment */
	uint16_t pair[(1 << PAIR_BITS) + 1]; /* even code low; bit 0 of the index is the oldest */
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
	unsigned int eax, ebx, ecx, edx;

	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	       /* clang has no name for this one */
	       __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
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

/* How bextr takes the pairs' windows out of an output's bits, 4 bits before its own first one. */
struct output_cut {
	uint64_t pair[4];
};

inline_always struct output_cut output_cut(void)
{
	struct output_cut c;
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		c.pair[i] = PAIR_BITS << 8 | (4 + PAIR_STEP * i);
		__asm__("" : "+r"(c.pair[i])); /* keeps it in a register, instead of at every use */
	}
	return c;
}

/* Two outputs of a tile: bits are the 4 before them and their 56. */
inline_always __m128i decode_quadword(const uint16_t *pair, const struct output_cut *cut,
				      uint64_t bits)
{
	uint64_t second = bits >> 4 * PAIR_STEP;
	__m128i codes;

	codes = _mm_loadu_si32(&pair[__bextr_u64(bits, cut->pair[0])]);
	codes = _mm_insert_epi16(codes, pair[__bextr_u64(bits, cut->pair[1])], 1);
	codes = _mm_insert_epi16(codes, pair[__bextr_u64(bits, cut->pair[2])], 2);
	codes = _mm_insert_epi16(codes, pair[__bextr_u64(bits, cut->pair[3])], 3);
	codes = _mm_insert_epi16(codes, pair[__bextr_u64(second, cut->pair[0])], 4);
	codes = _mm_insert_epi16(codes, pair[__bextr_u64(second, cut->pair[1])], 5);
	codes = _mm_insert_epi16(codes, pair[__bextr_u64(second, cut->pair[2])], 6);
	return _mm_insert_epi16(codes, pair[__bextr_u64(second, cut->pair[3])], 7);
}

/* A tile that will be read about as much later as memory takes to answer. */
inline_always void prefetch(const uint8_t *tile)
{
	_mm_prefetch((const char *)tile + PREFETCH, _MM_HINT_T0);
}

/* A tile's codes in natural order, 2 outputs a register. */
inline_always void decode_by_pairs(const uint16_t *pair, const struct output_cut *cut,
				   const uint8_t *tile, __m128i codes[Q35_TILE_N / 2])
{
	uint64_t bits;
	int i;

#pragma GCC unroll 8
	for (i = 0; i < Q35_TILE_N / 2; i++) {
		if (i) {
			memcpy(&bits, tile + 7 * i - 1, sizeof(bits));
		} else {
			memcpy(&bits, tile, sizeof(bits));
			bits = bits << 8 | tile[Q35_TILE_BYTES - 1];
		}
		codes[i] = decode_quadword(pair, cut, bits);
	}
}

/* In natural order to even inputs of 8 outputs and odd ones of the same, twice. */
inline_always void split(const __m128i natural[Q35_TILE_N / 2], __m256i codes[4])
{
	const __m256i even_odd =
		_mm256_broadcastsi128_si256(_mm_set_epi64x(0x0f0d0b090e0c0a08, 0x0705030106040200));
	__m256 pairs[2];
	int h, i;

#pragma GCC unroll 2
	for (h = 0; h < 2; h++) {
#pragma GCC unroll 2
		for (i = 0; i < 2; i++)
			pairs[i] = _mm256_castsi256_ps(_mm256_shuffle_epi8(
				_mm256_set_m128i(natural[4 * h + i + 2], natural[4 * h + i]),
				even_odd));
		codes[2 * h] = _mm256_castps_si256(_mm256_shuffle_ps(pairs[0], pairs[1], 0x88));
		codes[2 * h + 1] = _mm256_castps_si256(_mm256_shuffle_ps(pairs[0], pairs[1], 0xdd));
	}
}

/*
 * Codes of 2 x 32 windows of as many bits, a constant. A shuffle gives 0 where its index is negative: of
 * the window, the window less 16, less 32 … those count that have not passed the entry wanted, and
 * each table is the difference from the one before.
 */
inline_always void look_up(const __m256i *table, __m256i window[2], int bits, __m256i code[2])
{
	int i, v;

#pragma GCC unroll 2
	for (v = 0; v < 2; v++)
		code[v] = _mm256_shuffle_epi8(table[0], window[v]);
	for (i = 1; i < 1 << (bits - 4); i++) {
#pragma GCC unroll 2
		for (v = 0; v < 2; v++) {
			window[v] = _mm256_sub_epi8(window[v], _mm256_set1_epi8(16));
			code[v] =
				_mm256_xor_si256(code[v], _mm256_shuffle_epi8(table[i], window[v]));
		}
	}
}

/* Four outputs' bits in each half, from the byte before on. */
inline_always void load_outputs(const uint8_t *tile, __m256i bits[2])
{
	const __m128i *const at = (const __m128i *)tile;
	const __m128i last = _mm_loadu_si128((const __m128i *)(tile + Q35_TILE_BYTES - 16));

	bits[0] = _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(tile + 13)),
				   _mm_alignr_epi8(_mm_loadu_si128(at), last, 15));
	bits[1] = _mm256_set_m128i(_mm_srli_si128(last, 1),
				   _mm_loadu_si128((const __m128i *)(tile + 27)));
}

/* Windows of as many bits, an output's four side by side. */
inline_always __m256i cut_windows(const struct cut *cut, __m256i outputs, int bits)
{
	const __m256i low = _mm256_set1_epi16((1 << bits) - 1);
	__m256i first = _mm256_mulhi_epu16(_mm256_shuffle_epi8(outputs, cut->first), cut->low);
	__m256i second = _mm256_mullo_epi16(_mm256_shuffle_epi8(outputs, cut->second), cut->high);

	return _mm256_or_si256(_mm256_and_si256(first, low),
			       _mm256_and_si256(second, _mm256_slli_epi16(low, 8)));
}

/* Even inputs of 8 outputs and odd ones of the same, twice. */
inline_always void decode_by_shuffles(const struct shuffler *s, const uint8_t *tile, int bits,
				      __m256i codes[4])
{
	__m256i outputs[2], window[2], code[2];
	int parity, h;

	load_outputs(tile, outputs);
#pragma GCC unroll 2
	for (parity = 0; parity < 2; parity++) {
#pragma GCC unroll 2
		for (h = 0; h < 2; h++)
			window[h] = cut_windows(&s->cut[parity], outputs[h], bits);
		look_up(s->table[parity], window, bits, code);
#pragma GCC unroll 2
		for (h = 0; h < 2; h++)
			codes[2 * h + parity] = code[h];
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

static void init_cut(struct cut *c, unsigned int parity, unsigned int bits)
{
	uint8_t first[32], second[32];
	uint16_t low[16], high[16];
	unsigned int i, offset, byte;

	/* A word has 1 to 8 bits below its window. */
	for (i = 0; i < 16; i++) {
		offset = i % 8 * 2 * PAIR_STEP + Q35_WINDOW_BITS - bits;
		offset += parity ? PAIR_STEP : Q35_EVEN_BITS;
		byte = (offset - 1) / 8;
		first[2 * i] = byte;
		first[2 * i + 1] = byte + 1;
		low[i] = 1 << (16 - (offset - 8 * byte));
		offset += PAIR_STEP;
		byte = (offset - 1) / 8;
		second[2 * i] = byte;
		second[2 * i + 1] = byte + 1;
		high[i] = 1 << (8 - (offset - 8 * byte));
	}
	c->first = _mm256_loadu_si256((const __m256i *)first);
	c->second = _mm256_loadu_si256((const __m256i *)second);
	c->low = _mm256_loadu_si256((const __m256i *)low);
	c->high = _mm256_loadu_si256((const __m256i *)high);
}

static void init_shuffler(struct shuffler *s, const int8_t *codebook)
{
	uint8_t table[1 << SHUFFLE_BITS];
	unsigned int parity, i;

	s->bits = window_bits(codebook);
	if (s->bits > SHUFFLE_BITS)
		return;
	for (parity = 0; parity < 2; parity++, codebook += 1 << Q35_WINDOW_BITS) {
		for (i = 0; i < 1u << s->bits; i++) {
			table[i] = codebook[q35_reverse_window(i << (8 - s->bits))];
			if (i >= 16)
				table[i] ^= codebook[q35_reverse_window((i - 16) << (8 - s->bits))];
		}
		for (i = 0; i < 1u << s->bits; i += 16)
			s->table[parity][i / 16] = _mm256_broadcastsi128_si256(
				_mm_loadu_si128((const __m128i *)&table[i]));
		init_cut(&s->cut[parity], parity, s->bits);
	}
}

/* bits is a constant; PAIRS stands for more than the shuffles are for. */
inline_always void decode_tile(const struct panel *panel, const struct output_cut *cut,
			       const uint8_t *tile, int bits, __m256i codes[4])
{
	__m128i natural[Q35_TILE_N / 2];

	if (bits == PAIRS) {
		decode_by_pairs(panel->pair, cut, tile, natural);
		split(natural, codes);
	} else {
		decode_by_shuffles(&panel->shuffler, tile, bits, codes);
	}
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

/* Of the piece of segment s that begins with input k. */
static uint32_t piece_end(const struct job *j, uint32_t s, uint32_t k)
{
	return segment_end(j, s) - k < PIECE_K ? segment_end(j, s) : k + PIECE_K;
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

/* Adds the products of four outputs' codes with 8 activations, by pairs. */
inline_always __m256i add_products(__m256i acc, __m256i codes, __m256i x)
{
	__m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));

	return _mm256_add_epi32(acc, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
}

/* 8 activations, which scratch has even before odd, in every quarter. */
inline_always __m256i broadcast(const int8_t *codes)
{
	int64_t eight;

	memcpy(&eight, codes, sizeof(eight));
	return _mm256_shuffle_epi8(_mm256_set1_epi64x(eight),
				   _mm256_set1_epi64x(0x0703060205010400));
}

/* Segment s of row m, multiplied as it is decoded by pairs, which leaves the multipliers idle. */
static void multiply_row(const struct job *j, struct panel *panel, uint32_t s, uint32_t m)
{
	const int8_t *x = q35_row_codes(&j->l, j->scratch, m);
	const struct output_cut cut = output_cut();
	__m256i acc[Q35_BLOCK_TILES][4] = {0}, sum[4];
	__m128i codes[Q35_TILE_N / 2];
	uint32_t k, end, i, t;
	const uint8_t *tile;
	int h;

	for (k = s * j->l.segment; k < segment_end(j, s); k = end) {
		end = piece_end(j, s, k);
		for (t = 0; t * Q35_TILE_N < j->outputs; t++) {
			tile = j->tiles + (size_t)(k / Q35_TILE_K) * Q35_BLOCK_BYTES +
			       t * Q35_TILE_BYTES;
#pragma GCC unroll 4
			for (h = 0; h < 4; h++)
				sum[h] = acc[t][h];
			for (i = k; i < end; i += Q35_TILE_K, tile += Q35_BLOCK_BYTES) {
				prefetch(tile);
				decode_by_pairs(panel->pair, &cut, tile, codes);
#pragma GCC unroll 4
				for (h = 0; h < 4; h++)
					sum[h] = add_products(
						sum[h],
						_mm256_set_m128i(codes[2 * h + 1], codes[2 * h]),
						broadcast(x + i));
			}
#pragma GCC unroll 4
			for (h = 0; h < 4; h++)
				acc[t][h] = sum[h];
		}
	}
	for (t = 0; t * Q35_TILE_N < j->outputs; t++)
		for (h = 0; h < 2; h++)
			scale_segment(j, panel, 0, t * Q35_TILE_N + h * UNIT_N,
				      add_pairs(acc[t][2 * h], acc[t][2 * h + 1]),
				      q35_row_scales(&j->l, j->scratch, m)[s],
				      q35_row_sums(&j->l, j->scratch, m)[s]);
}

inline_always void decode_piece(const struct job *j, struct panel *panel, uint32_t k, uint32_t end,
				int bits)
{
	const uint8_t *tile = j->tiles + (size_t)(k / Q35_TILE_K) * Q35_BLOCK_BYTES;
	const struct output_cut cut = output_cut();
	__m256i *codes = panel->codes[0];
	unsigned int t;

	for (; k < end; k += Q35_TILE_K)
		for (t = 0; t < Q35_BLOCK_TILES; t++, tile += Q35_TILE_BYTES, codes += 4) {
			prefetch(tile);
			decode_tile(panel, &cut, tile, bits, codes);
		}
}

/*
 * Inputs k … end - 1, within segment s, of outputs n … n + 7 and the rows from m0 + first on; rows
 * is a constant.
 */
inline_always void multiply_unit(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
				 uint32_t end, uint32_t n, uint32_t m0, uint32_t first, int rows)
{
	const __m256i *w = &panel->codes[0][n / 4];
	const int8_t *codes[UNIT_ROWS];
	__m256i acc[UNIT_ROWS];
	uint32_t i, row;
	int32_t x[2];
	int m, p;

#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		codes[m] = q35_row_codes(&j->l, j->scratch, m0 + first + m);
		acc[m] = _mm256_setzero_si256();
	}
	for (i = k; i < end; i += Q35_TILE_K, w += Q35_BLOCK_N / 4) {
#pragma GCC unroll 8
		for (m = 0; m < rows; m++) {
			memcpy(x, codes[m] + i, sizeof(x)); /* 4 even, 4 odd */
#pragma GCC unroll 2
			for (p = 0; p < 2; p++)
				acc[m] = add_products(acc[m], w[p], _mm256_set1_epi32(x[p]));
		}
	}
#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		row = first + m;
		if (k > s * j->l.segment)
			acc[m] = _mm256_add_epi32(
				acc[m], _mm256_loadu_si256((const __m256i *)&panel->acc[row][n]));
		if (end < segment_end(j, s))
			_mm256_storeu_si256((__m256i *)&panel->acc[row][n], acc[m]);
		else
			scale_segment(j, panel, row, n, acc[m],
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

/* Segment s of rows m0 …; bits as for decode_tile(). */
inline_always void multiply_segment(const struct job *j, struct panel *panel, uint32_t s,
				    uint32_t m0, uint32_t rows, int bits)
{
	uint32_t k, end;

	if (rows == 1 && bits == PAIRS) {
		multiply_row(j, panel, s, m0);
		return;
	}
	for (k = s * j->l.segment; k < segment_end(j, s); k = end) {
		end = piece_end(j, s, k);
		decode_piece(j, panel, k, end, bits);
		multiply_piece(j, panel, s, k, end, m0, rows);
	}
}

static void multiply_panel(const struct job *j, struct panel *panel, uint32_t m0, uint32_t rows)
{
	uint32_t s, m, g, loaded = UINT32_MAX;

	memset(panel->y, 0, sizeof(panel->y[0]) * rows);
	for (s = 0; s < j->l.segments; s++) {
		g = j->p->group ? s * j->l.segment / j->p->group : 0;
		if (g != loaded)
			load_meta(j, panel, g);
		loaded = g;
		switch (panel->shuffler.bits) {
		case 4:
			multiply_segment(j, panel, s, m0, rows, 4);
			break;
		case 5:
			multiply_segment(j, panel, s, m0, rows, 5);
			break;
		case 6:
			multiply_segment(j, panel, s, m0, rows, 6);
			break;
		default:
			multiply_segment(j, panel, s, m0, rows, PAIRS);
			break;
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
