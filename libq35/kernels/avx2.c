// SPDX-License-Identifier: MIT
/*
 * AVX2 (Haswell, Zen 1 and later; QEMU without KVM).
 *
 * Without VBMI a table of 256 bytes takes 16 shuffles and as much again to choose among them. What is
 * quicker depends on the codebook, whose contents decide, not its name:
 * - Only 4 to 6 bits of the window matter: 1 to 4 shuffles for 32 codes.
 * - It is made of cells, as T8 and T7 are: 6 shuffles. Its codes are even; their halves and 64 are 7 bits without
 *   sign, which vpmaddubsw multiplies by any activation: 2 * 127 * 127 < 2^15. The 64s are subtracted later.
 * - Any other: two codes at a time by scalar loads. An even position's window and the following odd one's
 *   overlap and make 11 bits, so a table of 2048 pairs, 4 KiB, holds the whole codebook. What bounds it
 *   are these 64 loads a tile, 2 a cycle: a Zen 5 does 4 into general registers, but to put the codes
 *   together there costs more than that saves.
 *
 * The shuffles of a code wait for one another, and a processor does not look far enough ahead to find
 * others meanwhile. So windows are cut for several tiles, and then looked up for all of them. Rows
 * multiply from the decoded piece in the first-level cache, but a single one multiplies codes as they
 * are decoded.
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

#define SHUFFLE_BITS 6 /* wider windows are quicker by cells or by pairs */
#define PAIRS 0 /* decoders: this, CELLS or as many bits by shuffles */
#define CELLS Q35_WINDOW_BITS
#define PAIR_BITS 11
#define PAIR_STEP (Q35_EVEN_BITS + Q35_ODD_BITS)
#define PREFETCH 8192 /* bytes: more than two segments of 128 inputs */
#define PANEL_ROWS 64
#define PIECE_K 256 /* inputs decoded at a time: 16 KiB */
#define BATCH 16 /* tiles whose windows are cut before the first of them is looked up */
#define UNIT_ROWS 4
#define UNIT_N 8 /* outputs of a unit: two registers of codes, 4 of sums */

/* How 32 windows of one parity come out of four outputs' bits in each half of a register. */
struct cut {
	__m256i first, second; /* bytes that hold those of inputs 0, 1, 4, 5, and of the others */
	__m256i low, high; /* factors that bring a window to a word's low byte, to its high one */
};

/* 32 windows of each parity, twice, or their halves: newer and older bits. */
struct windows {
	__m256i older[2][2], newer[2][2]; /* [parity][outputs] */
};

/* Of one parity; see look_up_cells(). */
struct cells {
	__m256i newer, older, base, fine, lowest, highest;
};

struct shuffler {
	struct cut cut[2]; /* even, odd */
	__m256i table[2][1 << (SHUFFLE_BITS - 4)]; /* see look_up() */
	struct cells cells[2];
};

struct panel {
	int decoder;
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

/*
 * Halves of the codes of 2 x 32 windows, and 64 more. The two halves of a window add up to one of 16 cells;
 * a code is its cell's base and what the newer half adds. Levels of the lowest and the highest cell lie
 * farther apart: each has a table more, by the newer half. Their shuffles give 0 in other cells, whose base
 * is from 0x90 to 0xff, where the lowest one's is 0x80 and the highest one's 0.
 */
inline_always void look_up_cells(const struct cells *c, const __m256i newer[2],
				 const __m256i older[2], __m256i code[2])
{
	__m256i cell, base, fine, lowest, highest;
	int v;

#pragma GCC unroll 2
	for (v = 0; v < 2; v++) {
		cell = _mm256_add_epi8(_mm256_shuffle_epi8(c->newer, newer[v]),
				       _mm256_shuffle_epi8(c->older, older[v]));
		base = _mm256_shuffle_epi8(c->base, cell);
		fine = _mm256_shuffle_epi8(c->fine, newer[v]);
		lowest = _mm256_shuffle_epi8(c->lowest, _mm256_sub_epi8(base, newer[v]));
		highest = _mm256_shuffle_epi8(c->highest, _mm256_xor_si256(base, newer[v]));
		code[v] = _mm256_add_epi8(_mm256_add_epi8(base, fine),
					  _mm256_add_epi8(lowest, highest));
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

	if (bits == 8)
		return _mm256_blendv_epi8(first, second, _mm256_set1_epi16((short)0xff00));
	return _mm256_or_si256(_mm256_and_si256(first, low),
			       _mm256_and_si256(second, _mm256_slli_epi16(low, 8)));
}

/*
 * Halves of a tile's windows, of which only the odd positions' are cut: an even one has the newer half of
 * the odd one before it, and 4 bits more.
 */
inline_always void cut_halves(const struct cut *odd, const __m256i outputs[2], struct windows *w)
{
	const __m256i low = _mm256_set1_epi8(15);
	__m256i window, *before = w->newer[1];
	int h;

#pragma GCC unroll 2
	for (h = 0; h < 2; h++) {
		window = cut_windows(odd, outputs[h], Q35_WINDOW_BITS);
		w->older[1][h] = _mm256_and_si256(window, low);
		w->newer[1][h] = _mm256_and_si256(_mm256_srli_epi16(window, 4), low);
		w->newer[0][h] = _mm256_and_si256(_mm256_srli_epi16(window, 1), low);
	}
	w->older[0][0] = _mm256_alignr_epi8(
		before[0], _mm256_permute2x128_si256(before[0], before[1], 0x03), 15);
	w->older[0][1] = _mm256_alignr_epi8(
		before[1], _mm256_permute2x128_si256(before[0], before[1], 0x21), 15);
}

inline_always void cut_tile(const struct shuffler *s, const uint8_t *tile, int decoder,
			    struct windows *w)
{
	__m256i outputs[2];
	int parity, h;

	load_outputs(tile, outputs);
	if (decoder == CELLS) {
		cut_halves(&s->cut[1], outputs, w);
		return;
	}
#pragma GCC unroll 2
	for (parity = 0; parity < 2; parity++)
#pragma GCC unroll 2
		for (h = 0; h < 2; h++)
			w->older[parity][h] = cut_windows(&s->cut[parity], outputs[h], decoder);
}

/* Codes of one parity, of 8 outputs each; by cells their halves, and 64 more. */
inline_always void look_up_windows(const struct shuffler *s, const struct windows *w, int parity,
				   int decoder, __m256i code[2])
{
	__m256i window[2] = {w->older[parity][0], w->older[parity][1]};

	if (decoder == CELLS)
		look_up_cells(&s->cells[parity], w->newer[parity], window, code);
	else
		look_up(s->table[parity], window, decoder, code);
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

inline_always __m256i broadcast_table(const uint8_t *table)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

static void init_tables(struct shuffler *s, const int8_t *codebook, unsigned int bits)
{
	uint8_t table[1 << SHUFFLE_BITS];
	unsigned int parity, i;

	for (parity = 0; parity < 2; parity++, codebook += 1 << Q35_WINDOW_BITS) {
		for (i = 0; i < 1u << bits; i++) {
			table[i] = codebook[q35_reverse_window(i << (8 - bits))];
			if (i >= 16)
				table[i] ^= codebook[q35_reverse_window((i - 16) << (8 - bits))];
		}
		for (i = 0; i < 1u << bits; i += 16)
			s->table[parity][i / 16] = broadcast_table(&table[i]);
		init_cut(&s->cut[parity], parity, bits);
	}
}

/* The codes of one parity, halved and 64 more, by newer and older half. False: some are odd. */
static int halve(const int8_t *codebook, uint8_t row[16][16])
{
	unsigned int i;
	int8_t code;

	for (i = 0; i < 256; i++) {
		code = codebook[q35_reverse_window(i)];
		if (code & 1)
			return 0;
		row[i / 16][i % 16] = code / 2 + 64;
	}
	return 1;
}

/* How many levels of a row are below the one of this older half. */
static unsigned int rank(const uint8_t row[16], unsigned int older)
{
	unsigned int i, below = 0;

	for (i = 0; i < 16; i++)
		below += row[i] < row[older];
	return below;
}

/* Whether the cells are the codebook. */
static int are_cells(const struct cells *c, const uint8_t row[16][16])
{
	uint8_t all[16];
	__m256i newer[2], older[2], code[2];
	unsigned int i;

	for (i = 0; i < 16; i++)
		all[i] = i;
	older[0] = older[1] = broadcast_table(all);
	for (i = 0; i < 16; i++) {
		newer[0] = newer[1] = _mm256_set1_epi8(i);
		look_up_cells(c, newer, older, code);
		code[0] = _mm256_cmpeq_epi8(code[0], broadcast_table(row[i]));
		if (_mm256_movemask_epi8(code[0]) != -1)
			return 0;
	}
	return 1;
}

/*
 * Of one parity. False: the codebook is not made of cells. In a row, that of a newer half, levels ascend
 * with the cells, so a level's rank is its cell. If the oldest bit does not matter, a row has 8 levels, twice,
 * in cells that are all even, as those of row 0, or all odd: that is where distances are not those of row 0.
 */
static int init_cells(struct cells *c, const int8_t *codebook, unsigned int bits)
{
	uint8_t row[16][16], by_cell[16][16] = {0}; /* a row's levels, by its cells */
	uint8_t newer[16], older[16], base[16] = {0x80}, fine[16], lowest[16] = {0}, highest[16];
	unsigned int n, o, cell, first = 0, odd, odd_row = 0;

	if (!halve(codebook, row))
		return 0;
	for (o = 0; o < 16; o++) {
		older[o] = rank(row[0], o);
		first = older[o] ? first : o;
	}
	for (n = 0; n < 16; n++) {
		newer[n] = rank(row[n], first);
		for (o = 0; o < 16; o++)
			by_cell[n][(newer[n] + older[o]) % 16] = row[n][o];
		for (cell = 2, odd = 0; bits < Q35_WINDOW_BITS && cell < 14; cell += 2)
			odd |= by_cell[n][cell + 2] - by_cell[n][cell] !=
			       by_cell[0][cell + 2] - by_cell[0][cell];
		if (odd) {
			newer[n]++;
			odd_row = n;
			memmove(by_cell[n] + 1, by_cell[n], 15);
		}
	}
	for (cell = 1; cell < 15; cell++)
		base[cell] = 0x80 + by_cell[cell % 2 ? odd_row : 0][cell] - by_cell[0][0];
	for (n = 0; n < 16; n++) {
		cell = 8 + newer[n] % 2;
		fine[n] = by_cell[n][cell] - base[cell];
		lowest[(16 - n) % 16] = by_cell[n][0] - fine[n] - 0x80;
		highest[n] = by_cell[n][15] - fine[n];
	}
	*c = (struct cells){broadcast_table(newer),  broadcast_table(older),
			    broadcast_table(base),   broadcast_table(fine),
			    broadcast_table(lowest), broadcast_table(highest)};
	return are_cells(c, row);
}

static int init_shuffler(struct shuffler *s, const int8_t *codebook)
{
	unsigned int bits = window_bits(codebook);

	if (bits <= SHUFFLE_BITS) {
		init_tables(s, codebook, bits);
		return bits;
	}
	if (!init_cells(&s->cells[0], codebook, bits) ||
	    !init_cells(&s->cells[1], codebook + (1 << Q35_WINDOW_BITS), bits))
		return PAIRS;
	init_cut(&s->cut[1], 1, Q35_WINDOW_BITS);
	return CELLS;
}

int q35_avx2_shuffles(const int8_t codebook[Q35_CODEBOOK_BYTES])
{
	struct shuffler s;

	return init_shuffler(&s, codebook) != PAIRS;
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

/* Adds the products of codes, as the decoder gives them, with activations, four and four. */
inline_always __m256i add_products(__m256i acc, __m256i codes, __m256i x, int decoder)
{
	__m256i products;

	if (decoder == CELLS)
		products = _mm256_maddubs_epi16(codes, x);
	else
		products = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
	return _mm256_add_epi32(acc, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
}

/*
 * The sums of products with codes, from those with what the decoder gives; sum is that of activations. None
 * overflows: 127 * 127 * 131072 < 2^31.
 */
inline_always __m256i sum_products(__m256i acc, int32_t sum, int decoder)
{
	if (decoder != CELLS)
		return acc;
	acc = _mm256_sub_epi32(acc, _mm256_set1_epi32(64 * sum));
	return _mm256_add_epi32(acc, acc);
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
static void multiply_by_pairs(const struct job *j, struct panel *panel, uint32_t s, uint32_t m)
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
						broadcast(x + i), PAIRS);
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

/* The same by shuffles, a batch of tiles after the other, as every step waits for the one before it. */
inline_always void multiply_by_shuffles(const struct job *j, struct panel *panel, uint32_t s,
					uint32_t m, int decoder)
{
	const int8_t *codes = q35_row_codes(&j->l, j->scratch, m);
	int32_t sum = q35_row_sums(&j->l, j->scratch, m)[s], x;
	uint32_t start = s * j->l.segment, end = segment_end(j, s), k, t, i, batch;
	struct windows windows[BATCH];
	__m256i acc[2], code[2];
	const uint8_t *tile;
	int parity, h;

	for (t = 0; t * Q35_TILE_N < j->outputs; t++) {
		tile = j->tiles + (size_t)(start / Q35_TILE_K) * Q35_BLOCK_BYTES +
		       t * Q35_TILE_BYTES;
		acc[0] = acc[1] = _mm256_setzero_si256();
		for (k = start; k < end; k += batch * Q35_TILE_K) {
			batch = q35_div_up(end - k, Q35_TILE_K);
			batch = batch < BATCH ? batch : BATCH;
			for (i = 0; i < batch; i++, tile += Q35_BLOCK_BYTES) {
				prefetch(tile);
				cut_tile(&panel->shuffler, tile, decoder, &windows[i]);
			}
			for (parity = 0; parity < 2; parity++) {
#pragma GCC unroll 2
				for (i = 0; i < batch; i++) {
					memcpy(&x, codes + k + i * Q35_TILE_K + 4 * parity,
					       sizeof(x));
					look_up_windows(&panel->shuffler, &windows[i], parity,
							decoder, code);
#pragma GCC unroll 2
					for (h = 0; h < 2; h++)
						acc[h] =
							add_products(acc[h], code[h],
								     _mm256_set1_epi32(x), decoder);
				}
			}
		}
		for (h = 0; h < 2; h++)
			scale_segment(j, panel, 0, t * Q35_TILE_N + h * UNIT_N,
				      sum_products(acc[h], sum, decoder),
				      q35_row_scales(&j->l, j->scratch, m)[s], sum);
	}
}

inline_always void decode_piece(const struct job *j, struct panel *panel, uint32_t k, uint32_t end,
				int decoder)
{
	const uint8_t *tile = j->tiles + (size_t)(k / Q35_TILE_K) * Q35_BLOCK_BYTES;
	const struct output_cut cut = output_cut();
	struct windows windows[Q35_BLOCK_TILES];
	__m128i natural[Q35_TILE_N / 2];
	__m256i *codes = panel->codes[0], code[2];
	unsigned int t;
	int parity;

	for (; k < end; k += Q35_TILE_K, codes += 4 * Q35_BLOCK_TILES) {
		for (t = 0; t < Q35_BLOCK_TILES; t++, tile += Q35_TILE_BYTES) {
			prefetch(tile);
			if (decoder == PAIRS) {
				decode_by_pairs(panel->pair, &cut, tile, natural);
				split(natural, codes + 4 * t);
			} else {
				cut_tile(&panel->shuffler, tile, decoder, &windows[t]);
			}
		}
		if (decoder == PAIRS)
			continue;
		for (parity = 0; parity < 2; parity++) {
			for (t = 0; t < Q35_BLOCK_TILES; t++) {
				look_up_windows(&panel->shuffler, &windows[t], parity, decoder,
						code);
				codes[4 * t + parity] = code[0];
				codes[4 * t + 2 + parity] = code[1];
			}
		}
	}
}

/*
 * Inputs k … end - 1, within segment s, of outputs n … n + 7 and the rows from m0 + first on; rows
 * and decoder are constants.
 */
inline_always void multiply_unit(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
				 uint32_t end, uint32_t n, uint32_t m0, uint32_t first, int rows,
				 int decoder)
{
	const __m256i *w = &panel->codes[0][n / 4];
	const int8_t *codes[UNIT_ROWS];
	__m256i acc[UNIT_ROWS];
	uint32_t i, row;
	int32_t x[2], sum;
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
				acc[m] = add_products(acc[m], w[p], _mm256_set1_epi32(x[p]),
						      decoder);
		}
	}
#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		row = first + m;
		if (k > s * j->l.segment)
			acc[m] = _mm256_add_epi32(
				acc[m], _mm256_loadu_si256((const __m256i *)&panel->acc[row][n]));
		sum = q35_row_sums(&j->l, j->scratch, m0 + row)[s];
		if (end < segment_end(j, s))
			_mm256_storeu_si256((__m256i *)&panel->acc[row][n], acc[m]);
		else
			scale_segment(j, panel, row, n, sum_products(acc[m], sum, decoder),
				      q35_row_scales(&j->l, j->scratch, m0 + row)[s], sum);
	}
}

inline_always void multiply_piece(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
				  uint32_t end, uint32_t m0, uint32_t rows, int decoder)
{
	uint32_t first, unit, n;

	for (first = 0; first < rows; first += unit) {
		unit = rows - first < UNIT_ROWS ? rows - first : UNIT_ROWS;
		for (n = 0; n < j->outputs; n += UNIT_N) {
			switch (unit) {
			case 1:
				multiply_unit(j, panel, s, k, end, n, m0, first, 1, decoder);
				break;
			case 2:
				multiply_unit(j, panel, s, k, end, n, m0, first, 2, decoder);
				break;
			case 3:
				multiply_unit(j, panel, s, k, end, n, m0, first, 3, decoder);
				break;
			case 4:
				multiply_unit(j, panel, s, k, end, n, m0, first, 4, decoder);
				break;
			}
		}
	}
}

/* Segment s of rows m0 …; decoder is a constant. */
inline_always void multiply_segment(const struct job *j, struct panel *panel, uint32_t s,
				    uint32_t m0, uint32_t rows, int decoder)
{
	uint32_t k, end;

	if (rows == 1) {
		if (decoder == PAIRS)
			multiply_by_pairs(j, panel, s, m0);
		else
			multiply_by_shuffles(j, panel, s, m0, decoder);
		return;
	}
	for (k = s * j->l.segment; k < segment_end(j, s); k = end) {
		end = piece_end(j, s, k);
		decode_piece(j, panel, k, end, decoder);
		multiply_piece(j, panel, s, k, end, m0, rows, decoder);
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
		switch (panel->decoder) {
		case 4:
			multiply_segment(j, panel, s, m0, rows, 4);
			break;
		case 5:
			multiply_segment(j, panel, s, m0, rows, 5);
			break;
		case 6:
			multiply_segment(j, panel, s, m0, rows, 6);
			break;
		case CELLS:
			multiply_segment(j, panel, s, m0, rows, CELLS);
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
	panel.decoder = init_shuffler(&panel.shuffler, p->codebook);
	if (panel.decoder == PAIRS)
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
