// SPDX-License-Identifier: MIT
/*
 * The walk with 16-bit lanes. Window w is lane w % 32 (AVX-512) or w % 16 (AVX2) of register w / 32
 * or w / 16, so that the ways into one state meet in one lane and only a choice between registers is
 * left, except for the two halves of AVX-512's after odd steps. Choices keep the earlier one of
 * equals, in the order of q35_walker.
 */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "viterbi.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define AVX2 __attribute__((target("avx2")))

/* ---- AVX-512 ------------------------------------------------------------------------------- */

struct choice512 {
	__m512i metric, from;
};

/*
 * The cheapest of 8 ways into each lane: register r of level belongs to windows 32 r … 32 r + 31,
 * index + r * stride are the states before them.
 */
static inline __attribute__((always_inline)) AVX512 struct choice512
choose512(const int16_t *level, __m512i target, __m512i before, __m512i index, __m512i stride)
{
	struct choice512 best;
	__m512i d, c;
	__mmask32 less;
	int r;

#pragma GCC unroll 8
	for (r = 0; r < 8; r++) {
		d = _mm512_subs_epi16(target, _mm512_load_si512(level + 32 * r));
		d = _mm512_adds_epi16(d, d);
		c = _mm512_adds_epu16(_mm512_permutexvar_epi16(index, before),
				      _mm512_mulhrs_epi16(d, d));
		index = _mm512_add_epi16(index, stride);
		if (r == 0) {
			best.metric = c;
			best.from = _mm512_setzero_si512();
			continue;
		}
		less = _mm512_cmplt_epu16_mask(c, best.metric);
		best.metric = _mm512_min_epu16(c, best.metric);
		best.from = _mm512_mask_mov_epi16(best.from, less, _mm512_set1_epi16(r));
	}
	return best;
}

static AVX512 void walk512(const struct q35_trellis *trellis, const int16_t *target,
			   unsigned int count, uint16_t metric[Q35_EVEN_STATES],
			   uint16_t (*from)[Q35_STATES])
{
	const __m512i lane =
		_mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,
				 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	const __m512i even_index = _mm512_srli_epi16(lane, Q35_EVEN_BITS);
	const __m512i odd_index = _mm512_srli_epi16(lane, Q35_ODD_BITS);
	__m256i m = _mm256_load_si256((const __m256i *)metric), low, high, low_from, high_from;
	struct choice512 best;
	__mmask16 less;
	__m128i half;
	unsigned int i;
	int any;

	for (i = 0; i < count; i += 2) {
		any = target[i] == Q35_TARGET_ANY;
		best = choose512(trellis->level[any ? 2 : 0],
				 _mm512_set1_epi16(any ? 0 : target[i]), _mm512_castsi256_si512(m),
				 even_index, _mm512_set1_epi16(2));
		_mm512_store_si512(from[i], best.from);

		any = target[i + 1] == Q35_TARGET_ANY;
		best = choose512(trellis->level[any ? 2 : 1],
				 _mm512_set1_epi16(any ? 0 : target[i + 1]), best.metric, odd_index,
				 _mm512_set1_epi16(4));
		low = _mm512_castsi512_si256(best.metric);
		high = _mm512_extracti64x4_epi64(best.metric, 1);
		low_from = _mm512_castsi512_si256(best.from);
		high_from = _mm256_add_epi16(_mm512_extracti64x4_epi64(best.from, 1),
					     _mm256_set1_epi16(8));
		less = _mm256_cmplt_epu16_mask(high, low);
		m = _mm256_min_epu16(high, low);
		_mm256_store_si256((__m256i *)from[i + 1],
				   _mm256_mask_mov_epi16(low_from, less, high_from));
		if (i % 8 != 6)
			continue;
		half = _mm_minpos_epu16(
			_mm_min_epu16(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1)));
		m = _mm256_sub_epi16(m, _mm256_broadcastw_epi16(half));
	}
	_mm256_store_si256((__m256i *)metric, m);
}

const struct q35_walker q35_walker_avx512 = {"avx512", walk512};

/* ---- AVX2 ---------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) AVX2 __m256i cost256(const int16_t *level,
								  __m256i target, __m256i before)
{
	__m256i d = _mm256_subs_epi16(target, _mm256_load_si256((const __m256i *)level));

	d = _mm256_adds_epi16(d, d);
	return _mm256_adds_epu16(before, _mm256_mulhrs_epi16(d, d));
}

static inline __attribute__((always_inline)) AVX2 void choose256(__m256i c, int r, __m256i *best,
								 __m256i *from)
{
	__m256i min = _mm256_min_epu16(c, *best);

	*from = _mm256_blendv_epi8(_mm256_set1_epi16(r), *from, _mm256_cmpeq_epi16(min, *best));
	*best = min;
}

/* Of all 16 lanes the state before is the same. */
static inline __attribute__((always_inline)) AVX2 void even256(const int16_t *level, int16_t target,
							       const uint16_t *before,
							       uint16_t *after, uint16_t *from)
{
	__m256i t = _mm256_set1_epi16(target), best, best_from, c;
	int half, r;

	for (half = 0; half < 2; half++) {
		best = cost256(level + 16 * half, t, _mm256_set1_epi16(before[half]));
		best_from = _mm256_setzero_si256();
#pragma GCC unroll 8
		for (r = 1; r < 8; r++) {
			c = cost256(level + 32 * r + 16 * half, t,
				    _mm256_set1_epi16(before[2 * r + half]));
			choose256(c, r, &best, &best_from);
		}
		_mm256_store_si256((__m256i *)(after + 16 * half), best);
		_mm256_store_si256((__m256i *)(from + 16 * half), best_from);
	}
}

/* The lower 8 lanes come from one state, the upper 8 from the next. */
static inline __attribute__((always_inline)) AVX2 __m256i pair256(const uint16_t *before)
{
	const __m256i spread = _mm256_set_epi64x(0x0302030203020302, 0x0302030203020302,
						 0x0100010001000100, 0x0100010001000100);
	int32_t pair;

	memcpy(&pair, before, sizeof(pair));
	return _mm256_shuffle_epi8(_mm256_set1_epi32(pair), spread);
}

static inline __attribute__((always_inline)) AVX2 void odd256(const int16_t *level, int16_t target,
							      const uint16_t *before,
							      uint16_t *after, uint16_t *from)
{
	__m256i t = _mm256_set1_epi16(target), c;
	__m256i best = cost256(level, t, pair256(before)), best_from = _mm256_setzero_si256();
	int i, r;

#pragma GCC unroll 16
	for (i = 1; i < 16; i++) {
		r = i % 8 * 2 + i / 8; /* register of the i-th way in order */
		c = cost256(level + 16 * r, t, pair256(before + 2 * r));
		choose256(c, i, &best, &best_from);
	}
	_mm256_store_si256((__m256i *)after, best);
	_mm256_store_si256((__m256i *)from, best_from);
}

static AVX2 void walk256(const struct q35_trellis *trellis, const int16_t *target,
			 unsigned int count, uint16_t metric[Q35_EVEN_STATES],
			 uint16_t (*from)[Q35_STATES])
{
	uint16_t between[Q35_STATES] __attribute__((aligned(32)));
	unsigned int i;
	__m128i half;
	__m256i m;
	int any;

	for (i = 0; i < count; i += 2) {
		any = target[i] == Q35_TARGET_ANY;
		even256(trellis->level[any ? 2 : 0], any ? 0 : target[i], metric, between, from[i]);
		any = target[i + 1] == Q35_TARGET_ANY;
		odd256(trellis->level[any ? 2 : 1], any ? 0 : target[i + 1], between, metric,
		       from[i + 1]);
		if (i % 8 != 6)
			continue;
		m = _mm256_load_si256((const __m256i *)metric);
		half = _mm_minpos_epu16(
			_mm_min_epu16(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1)));
		m = _mm256_sub_epi16(m, _mm256_broadcastw_epi16(half));
		_mm256_store_si256((__m256i *)metric, m);
	}
}

const struct q35_walker q35_walker_avx2 = {"avx2", walk256};

#endif /* __x86_64__ */
