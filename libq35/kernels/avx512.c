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
 */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")

#include "exact.h"

#include <immintrin.h>
#include <string.h>

#include "decode.h"
#include "prepare.h"
#include "scratch.h"

#define inline_always static inline __attribute__((always_inline))

#define BLOCK_BYTES Q35_BLOCK_BYTES
#define BIAS 128

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

static void init_decoder(struct decoder *d, const int8_t *codebook)
{
	uint8_t table[2][256], shift[2][64], gather[2][64];
	unsigned int parity, i, bits;

	d->wide = memcmp(codebook, codebook + 128, 128) ||
		  memcmp(codebook + 256, codebook + 384, 128);
	bits = d->wide ? 8 : 7;
	for (i = 0; i < 256; i++) {
		table[0][i] = codebook[q35_reverse_window(i) >> (8 - bits)] ^ 0x80;
		table[1][i] = codebook[256 + (q35_reverse_window(i) >> (8 - bits))] ^ 0x80;
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
	int last = t == Q35_BLOCK_TILES - 1;

	return _mm512_permutexvar_epi8(
		d->gather[last],
		_mm512_loadu_si512(block + t * Q35_TILE_BYTES - last * (64 - Q35_TILE_BYTES)));
}

inline_always void decode(const struct decoder *d, const uint8_t *block, int t, int wide,
			  __m512i code[2])
{
	__m512i bits = load_tile(d, block, t);

	code[0] = look_up(d, bits, 0, wide);
	code[1] = look_up(d, bits, 1, wide);
}

#include "avx512_gemm.h"

static void gemm(const struct q35_product *p, const void *scratch, const uint8_t *tiles,
		 uint32_t b0, uint32_t b1)
{
	struct decoder decoder;

	init_decoder(&decoder, p->codebook);
	multiply_blocks(p, scratch, tiles, &decoder, b0, b1);
}

const struct q35_kernels q35_kernels_avx512 = {"avx512", supported, prepare, gemm};

#endif /* __x86_64__ */
