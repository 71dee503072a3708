// SPDX-License-Identifier: MIT
/*
 * AVX-512 with VBMI and VNNI (Ice Lake, Zen 4 and later).
 *
 * A tile is 8 quadwords of 2 outputs, 56 bits each. One vpermb lays the 8 bytes that reach from the
 * byte before a quadword's first bit into each lane, circular as the tile is; a vpmultishiftqb
 * then cuts the 8 windows of the even positions out of every lane, another those of the odd
 * ones. A window so cut has its newest bit on top, so the tables are in bit-reversed order.
 * vpermi2b looks up 128 entries at a time.
 *
 * The tables hold code + 128, because vpdpbusd multiplies unsigned by signed bytes: sums start at
 * -128 * (sum of activation codes) instead of 0. It wraps modulo 2^32, so only the final value,
 * which format.h bounds, has to fit.
 *
 * Up to 3 rows multiply as they decode. With more, a piece of the inputs is decoded into the
 * first-level cache once for a panel of rows.
 */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")

#include "exact.h"

#include <immintrin.h>
#include <string.h>

#include "prepare.h"
#include "scratch.h"

#define inline_always static inline __attribute__((always_inline))

#define TILES Q35_BLOCK_TILES
#define FUSED_ROWS 3 /* accumulators, tables and masks fill the 32 registers */
#define PREFETCH 4096 /* bytes; 2048 to 8192 are much alike */
#define PANEL_ROWS 128 /* decoding costs as much as multiplying 7 rows */
#define UNIT_ROWS 6 /* rows of a panel whose accumulators fill the registers */
#define PIECE_K 256 /* inputs decoded at a time: 16 KiB */

struct decoder {
	__m512i table[2][4]; /* even, odd */
	__m512i shift[2];
	__m512i gather[2]; /* of a block's tiles 0 … 2, and 3 */
	int wide; /* windows need all 8 bits, not 7 */
};

static int supported(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}

static unsigned int reverse(unsigned int w, unsigned int bits)
{
	unsigned int r = 0;

	while (bits--) {
		r = r << 1 | (w & 1);
		w >>= 1;
	}
	return r;
}

static void init_decoder(struct decoder *d, const int8_t *codebook)
{
	uint8_t table[2][256], shift[2][64], gather[2][64];
	unsigned int parity, i, bits, w;

	d->wide = 0;
#pragma GCC unroll 8
	for (parity = 0; parity < 2; parity++)
		for (w = 0; w < 128; w++)
			if (codebook[parity * 256 + w] != codebook[parity * 256 + 128 + w])
				d->wide = 1;
	bits = d->wide ? 8 : 7;
#pragma GCC unroll 8
	for (parity = 0; parity < 2; parity++)
		for (i = 0; i < 256; i++) {
			w = reverse(i & ((1 << bits) - 1), bits);
			table[parity][i] = codebook[parity * 256 + w] ^ 0x80;
		}
	/* Bit 8 of a lane is the first of its 56; its window i of a parity ends 7 i + 7 or + 4 later. */
	for (i = 0; i < 64; i++) {
		gather[0][i] = (i / 8 * 7 + i % 8 + Q35_TILE_BYTES - 1) % Q35_TILE_BYTES;
		gather[1][i] = gather[0][i] + 64 - Q35_TILE_BYTES;
#pragma GCC unroll 8
		for (parity = 0; parity < 2; parity++)
			shift[parity][i] = i % 8 * 7 + (parity ? 7 : 4) + 8 - bits;
	}
#pragma GCC unroll 8
	for (parity = 0; parity < 2; parity++) {
		for (i = 0; i < 4; i++)
			d->table[parity][i] = _mm512_loadu_si512(&table[parity][64 * i]);
		d->shift[parity] = _mm512_loadu_si512(shift[parity]);
		d->gather[parity] = _mm512_loadu_si512(gather[parity]);
	}
}

/* The codes of a tile's even or odd positions: lane i is output i, its bytes inputs 0 2 4 6 or 1 3 5 7. */
inline_always __m512i look_up(const struct decoder *d, __m512i bits, int parity, int wide)
{
	__m512i window = _mm512_multishift_epi64_epi8(d->shift[parity], bits);
	__m512i low = _mm512_permutex2var_epi8(d->table[parity][0], window, d->table[parity][1]);
	__m512i high;

	if (!wide)
		return low;
	high = _mm512_permutex2var_epi8(d->table[parity][2], window, d->table[parity][3]);
	return _mm512_mask_blend_epi8(_mm512_movepi8_mask(window), low, high);
}

/*
 * The last tile is loaded from 8 bytes before it, to stay within the block. (A masked load would do,
 * but the processor does not prefetch for those: a quarter of the bandwidth was left on a Zen 5.)
 */
inline_always __m512i load_tile(const struct decoder *d, const uint8_t *block, int t)
{
	int last = t == TILES - 1;

	return _mm512_permutexvar_epi8(
		d->gather[last],
		_mm512_loadu_si512(block + t * Q35_TILE_BYTES - last * (64 - Q35_TILE_BYTES)));
}

/* The bytes of a block that will be read about as much later as memory takes to answer. */
inline_always void prefetch(const uint8_t *block)
{
	int i;

#pragma GCC unroll 8
	for (i = 0; i < Q35_BLOCK_BYTES; i += 64)
		_mm_prefetch((const char *)block + PREFETCH + i, _MM_HINT_T0);
}

/* Four activation codes in every lane. */
inline_always __m512i broadcast(const int8_t *codes)
{
	int32_t four;

	memcpy(&four, codes, sizeof(four));
	return _mm512_set1_epi32(four);
}

/* Scales or zero-points of 64 outputs. */
struct column {
	__m512 v[TILES];
};

inline_always struct column load_f16(const char *at)
{
	struct column c;
	int t;

#pragma GCC unroll 8
	for (t = 0; t < TILES; t++)
		c.v[t] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(at + t * 32)));
	return c;
}

static struct column load_scales(const struct q35_product *p, uint32_t n0, uint32_t g)
{
	size_t row = (size_t)q35_div_up(p->n, Q35_BLOCK_N) * Q35_BLOCK_N;
	const char *meta = p->meta;
	struct column c;
	int t;

	if (!(p->meta_flags & Q35_META_MULTIPLIER))
		return load_f16(meta + 2 * (g * row + n0));
	c = load_f16(meta + 2 * n0);
#pragma GCC unroll 8
	for (t = 0; t < TILES; t++)
		c.v[t] = _mm512_mul_ps(
			c.v[t],
			_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(
				(const __m128i *)(meta + 2 * row + g * row + n0 + t * 16)))));
	return c;
}

static struct column load_zeros(const struct q35_product *p, uint32_t n0, uint32_t g)
{
	size_t row = (size_t)q35_div_up(p->n, Q35_BLOCK_N) * Q35_BLOCK_N;
	size_t groups = q35_format_groups(p->k, p->group);
	size_t scales =
		p->meta_flags & Q35_META_MULTIPLIER ? 2 * row + groups * row : 2 * groups * row;

	return load_f16((const char *)p->meta + scales + 2 * (g * row + n0));
}

/* Step 3 of format.h for one row: y[64] and its segment's sums. */
inline_always void scale_segment(float *y, const __m512i *acc, const struct column *scale,
				 const struct column *zero, float scale_x, int32_t sum)
{
	__m512 sx = _mm512_set1_ps(scale_x), v;
	int t;

#pragma GCC unroll 8
	for (t = 0; t < TILES; t++) {
		v = _mm512_loadu_ps(y + t * 16);
		v = _mm512_add_ps(v, _mm512_mul_ps(_mm512_cvtepi32_ps(acc[t]),
						   _mm512_mul_ps(scale->v[t], sx)));
		if (zero)
			v = _mm512_add_ps(v, _mm512_mul_ps(_mm512_set1_ps((float)sum),
							   _mm512_mul_ps(zero->v[t], sx)));
		_mm512_storeu_ps(y + t * 16, v);
	}
}

/* What is common to the segments of one product with one block. */
struct job {
	const struct q35_product *p;
	const void *scratch;
	const uint8_t *tiles; /* of the block */
	struct q35_layout l;
	struct decoder decoder;
	uint32_t n0, outputs;
};

static uint32_t segment_end(const struct job *j, uint32_t s)
{
	return j->p->k - s * j->l.segment < j->l.segment ? j->p->k : (s + 1) * j->l.segment;
}

static uint32_t segment_group(const struct job *j, uint32_t s)
{
	return j->p->group ? s * j->l.segment / j->p->group : 0;
}

/* rows and wide are constants of each caller. */
inline_always void multiply_fused(const struct job *j, uint32_t m0, int rows, int wide)
{
	float y[FUSED_ROWS][Q35_BLOCK_N] = {0};
	const int8_t *codes[FUSED_ROWS];
	const struct decoder d = j->decoder;
	const uint8_t *tiles = j->tiles;
	__m512i acc[FUSED_ROWS][TILES], even, odd, bits;
	struct column scale, zero;
	uint32_t s, k, end;
	int m, t;

#pragma GCC unroll 8
	for (m = 0; m < rows; m++)
		codes[m] = q35_row_codes(&j->l, j->scratch, m0 + m);
	for (s = 0; s < j->l.segments; s++) {
#pragma GCC unroll 8
		for (m = 0; m < rows; m++)
#pragma GCC unroll 8
			for (t = 0; t < TILES; t++)
				acc[m][t] = _mm512_set1_epi32(
					-128 * q35_row_sums(&j->l, j->scratch, m0 + m)[s]);
		end = segment_end(j, s);
		for (k = s * j->l.segment; k < end; k += Q35_TILE_K, tiles += Q35_BLOCK_BYTES) {
			prefetch(tiles);
#pragma GCC unroll 8
			for (t = 0; t < TILES; t++) {
				bits = load_tile(&d, tiles, t);
				even = look_up(&d, bits, 0, wide);
				odd = look_up(&d, bits, 1, wide);
#pragma GCC unroll 8
				for (m = 0; m < rows; m++) {
					acc[m][t] = _mm512_dpbusd_epi32(acc[m][t], even,
									broadcast(codes[m] + k));
					acc[m][t] = _mm512_dpbusd_epi32(
						acc[m][t], odd, broadcast(codes[m] + k + 4));
				}
			}
		}
		scale = load_scales(j->p, j->n0, segment_group(j, s));
		if (j->p->meta_flags & Q35_META_ZERO)
			zero = load_zeros(j->p, j->n0, segment_group(j, s));
#pragma GCC unroll 8
		for (m = 0; m < rows; m++)
			scale_segment(y[m], acc[m], &scale,
				      j->p->meta_flags & Q35_META_ZERO ? &zero : NULL,
				      q35_row_scales(&j->l, j->scratch, m0 + m)[s],
				      q35_row_sums(&j->l, j->scratch, m0 + m)[s]);
	}
#pragma GCC unroll 8
	for (m = 0; m < rows; m++)
		q35_epilogue(j->p, m0 + m, j->n0, j->outputs, y[m],
			     q35_row_nan(&j->l, j->scratch, m0 + m));
}

static void multiply_few(const struct job *j, uint32_t m0, uint32_t rows)
{
	switch (rows << 1 | j->decoder.wide) {
	case 1 << 1 | 0:
		multiply_fused(j, m0, 1, 0);
		break;
	case 1 << 1 | 1:
		multiply_fused(j, m0, 1, 1);
		break;
	case 2 << 1 | 0:
		multiply_fused(j, m0, 2, 0);
		break;
	case 2 << 1 | 1:
		multiply_fused(j, m0, 2, 1);
		break;
	case 3 << 1 | 0:
		multiply_fused(j, m0, 3, 0);
		break;
	case 3 << 1 | 1:
		multiply_fused(j, m0, 3, 1);
		break;
	}
}

struct tile_codes {
	__m512i of[2][TILES]; /* even, odd */
};

struct panel {
	struct tile_codes codes[PIECE_K / Q35_TILE_K];
	__m512i acc[PANEL_ROWS][TILES]; /* of a segment longer than a piece */
	float y[PANEL_ROWS][Q35_BLOCK_N];
};

inline_always void decode_piece(const struct job *j, struct panel *panel, uint32_t k, uint32_t end,
				int wide)
{
	const struct decoder d = j->decoder;
	const uint8_t *tiles = j->tiles + (size_t)(k / Q35_TILE_K) * Q35_BLOCK_BYTES;
	struct tile_codes *codes = panel->codes;
	__m512i bits;
	int t;

	for (; k < end; k += Q35_TILE_K, tiles += Q35_BLOCK_BYTES, codes++) {
		prefetch(tiles);
#pragma GCC unroll 8
		for (t = 0; t < TILES; t++) {
			bits = load_tile(&d, tiles, t);
			codes->of[0][t] = look_up(&d, bits, 0, wide);
			codes->of[1][t] = look_up(&d, bits, 1, wide);
		}
	}
}

/* Inputs k … end - 1, within one segment, of the rows from m0 + first on; rows is a constant. */
inline_always void multiply_unit(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
				 uint32_t end, uint32_t m0, uint32_t first, int rows)
{
	const int8_t *codes[UNIT_ROWS];
	__m512i acc[UNIT_ROWS][TILES], x;
	struct column scale, zero;
	const __m512i *w;
	int m, t, parity;

#pragma GCC unroll 8
	for (m = 0; m < rows; m++) {
		codes[m] = q35_row_codes(&j->l, j->scratch, m0 + first + m);
#pragma GCC unroll 8
		for (t = 0; t < TILES; t++)
			acc[m][t] =
				k == s * j->l.segment
					? _mm512_set1_epi32(-128 * q35_row_sums(&j->l, j->scratch,
										m0 + first + m)[s])
					: panel->acc[first + m][t];
	}
	w = panel->codes[0].of[0];
	for (uint32_t i = k; i < end; i += Q35_TILE_K) {
#pragma GCC unroll 8
		for (parity = 0; parity < 2; parity++, w += TILES) {
#pragma GCC unroll 8
			for (m = 0; m < rows; m++) {
				x = broadcast(codes[m] + i + 4 * parity);
#pragma GCC unroll 8
				for (t = 0; t < TILES; t++)
					acc[m][t] = _mm512_dpbusd_epi32(acc[m][t], w[t], x);
			}
		}
	}
	if (end < segment_end(j, s)) {
#pragma GCC unroll 8
		for (m = 0; m < rows; m++)
#pragma GCC unroll 8
			for (t = 0; t < TILES; t++)
				panel->acc[first + m][t] = acc[m][t];
		return;
	}
	scale = load_scales(j->p, j->n0, segment_group(j, s));
	if (j->p->meta_flags & Q35_META_ZERO)
		zero = load_zeros(j->p, j->n0, segment_group(j, s));
#pragma GCC unroll 8
	for (m = 0; m < rows; m++)
		scale_segment(panel->y[first + m], acc[m], &scale,
			      j->p->meta_flags & Q35_META_ZERO ? &zero : NULL,
			      q35_row_scales(&j->l, j->scratch, m0 + first + m)[s],
			      q35_row_sums(&j->l, j->scratch, m0 + first + m)[s]);
}

static void multiply_piece(const struct job *j, struct panel *panel, uint32_t s, uint32_t k,
			   uint32_t end, uint32_t m0, uint32_t rows)
{
	uint32_t first, unit;

	for (first = 0; first < rows; first += unit) {
		/* Units of equal size: the last one should not be much smaller. */
		unit = q35_div_up(rows - first, q35_div_up(rows - first, UNIT_ROWS));
		switch (unit) {
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
		case 6:
			multiply_unit(j, panel, s, k, end, m0, first, 6);
			break;
		}
	}
}

static void multiply_panel(const struct job *j, uint32_t m0, uint32_t rows)
{
	uint32_t s, k, end, m;
	struct panel panel;

	memset(panel.y, 0, sizeof(panel.y[0]) * rows);
	for (s = 0; s < j->l.segments; s++) {
		for (k = s * j->l.segment; k < segment_end(j, s); k = end) {
			end = segment_end(j, s) - k < PIECE_K ? segment_end(j, s) : k + PIECE_K;
			if (j->decoder.wide)
				decode_piece(j, &panel, k, end, 1);
			else
				decode_piece(j, &panel, k, end, 0);
			multiply_piece(j, &panel, s, k, end, m0, rows);
		}
	}
#pragma GCC unroll 8
	for (m = 0; m < rows; m++)
		q35_epilogue(j->p, m0 + m, j->n0, j->outputs, panel.y[m],
			     q35_row_nan(&j->l, j->scratch, m0 + m));
}

static void gemm(const struct q35_product *p, const void *scratch, const uint8_t *tiles,
		 uint32_t b0, uint32_t b1)
{
	size_t block = (size_t)q35_div_up(p->k, Q35_TILE_K) * Q35_BLOCK_BYTES;
	struct job j = {.p = p, .scratch = scratch, .tiles = tiles, .l = q35_layout(p)};
	uint32_t b, m, rows;

	init_decoder(&j.decoder, p->codebook);
	for (b = b0; b < b1; b++, j.tiles += block) {
		j.n0 = b * Q35_BLOCK_N;
		j.outputs = p->n - j.n0 < Q35_BLOCK_N ? p->n - j.n0 : Q35_BLOCK_N;
		for (m = 0; m < p->m; m += rows) {
			rows = p->m - m < PANEL_ROWS ? p->m - m : PANEL_ROWS;
			if (rows <= FUSED_ROWS)
				multiply_few(&j, m, rows);
			else
				multiply_panel(&j, m, rows);
		}
	}
}

const struct q35_kernels q35_kernels_avx512 = {"avx512", supported, prepare, gemm};

#endif /* __x86_64__ */
