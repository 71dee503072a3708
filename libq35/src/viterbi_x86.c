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

/* Of a step; what is padding then has a target like any other. */
static inline const int16_t *level_of(const struct q35_trellis *trellis, unsigned int step,
				      int16_t *target)
{
	if (*target != Q35_TARGET_ANY)
		return trellis->level[step & trellis->last_level];
	*target = 0;
	return trellis->none;
}

/* ---- AVX-512 ------------------------------------------------------------------------------- */

struct choice512 {
	__m512i metric, from;
};

static inline __attribute__((always_inline)) AVX512 struct choice512 less512(struct choice512 a,
									     struct choice512 b)
{
	__mmask32 less = _mm512_cmplt_epu16_mask(b.metric, a.metric);

	return (struct choice512){_mm512_min_epu16(a.metric, b.metric),
				  _mm512_mask_mov_epi16(a.from, less, b.from)};
}

/*
 * The cheapest of 8 ways into each lane: register r of level belongs to windows 32 r … 32 r + 31,
 * index + r * stride are the states before them.
 */
static inline __attribute__((always_inline)) AVX512 struct choice512
choose512(const int16_t *level, __m512i target, __m512i before, __m512i index, int stride)
{
	struct choice512 way[8];
	__m512i d, state;
	int r;

#pragma GCC unroll 8
	for (r = 0; r < 8; r++) {
		d = _mm512_subs_epi16(target, _mm512_load_si512(level + 32 * r));
		state = _mm512_add_epi16(index, _mm512_set1_epi16(r * stride));
		way[r].metric = _mm512_adds_epu16(_mm512_permutexvar_epi16(state, before),
						  _mm512_mulhrs_epi16(d, d));
		way[r].from = _mm512_set1_epi16(r << 5);
	}
	return less512(less512(less512(way[0], way[1]), less512(way[2], way[3])),
		       less512(less512(way[4], way[5]), less512(way[6], way[7])));
}

static inline __attribute__((always_inline)) AVX512 struct choice512
step512(const struct q35_trellis *trellis, const struct q35_walk *walk, unsigned int step, int odd,
	__m512i before, __m512i index)
{
	int16_t target = walk->target[step];
	const int16_t *level = level_of(trellis, step, &target);

	return choose512(level, _mm512_set1_epi16(target), before, index, odd ? 4 : 2);
}

/* The two halves of what leads to the odd states: the upper one's windows have bit 4. */
static inline __attribute__((always_inline)) AVX512 __m256i fold512(struct choice512 c,
								    uint16_t *from)
{
	__m256i low = _mm512_castsi512_si256(c.metric);
	__m256i high = _mm512_extracti64x4_epi64(c.metric, 1);
	__m256i high_from = _mm256_add_epi16(_mm512_extracti64x4_epi64(c.from, 1),
					     _mm256_set1_epi16(Q35_EVEN_STATES));
	__mmask16 less = _mm256_cmplt_epu16_mask(high, low);

	_mm256_store_si256((__m256i *)from,
			   _mm256_mask_mov_epi16(_mm512_castsi512_si256(c.from), less, high_from));
	return _mm256_min_epu16(high, low);
}

static AVX512 void walk512(const struct q35_trellis *trellis, struct q35_walk walk[Q35_PAIR],
			   unsigned int first)
{
	const __m512i lane =
		_mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,
				 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	const __m512i even_index = _mm512_srli_epi16(lane, Q35_EVEN_BITS);
	const __m512i odd_index = _mm512_srli_epi16(lane, Q35_ODD_BITS);
	struct choice512 best[Q35_PAIR];
	__m256i m[Q35_PAIR];
	__m128i half;
	unsigned int i, t;

	for (t = 0; t < Q35_PAIR; t++)
		m[t] = _mm256_load_si256((const __m256i *)walk[t].metric);
	for (i = first; i < Q35_WALK; i += 2) {
#pragma GCC unroll 2
		for (t = 0; t < Q35_PAIR; t++) {
			best[t] = step512(trellis, &walk[t], i, 0, _mm512_castsi256_si512(m[t]),
					  even_index);
			_mm512_store_si512(walk[t].from[i], best[t].from);
		}
#pragma GCC unroll 2
		for (t = 0; t < Q35_PAIR; t++) {
			best[t] = step512(trellis, &walk[t], i + 1, 1, best[t].metric, odd_index);
			m[t] = fold512(best[t], walk[t].from[i + 1]);
			if (i % 8 != 6)
				continue;
			half = _mm_minpos_epu16(_mm_min_epu16(_mm256_castsi256_si128(m[t]),
							      _mm256_extracti128_si256(m[t], 1)));
			m[t] = _mm256_sub_epi16(m[t], _mm256_broadcastw_epi16(half));
		}
	}
	for (t = 0; t < Q35_PAIR; t++)
		_mm256_store_si256((__m256i *)walk[t].metric, m[t]);
}

const struct q35_walker q35_walker_avx512 = {"avx512", walk512};

/* ---- AVX2 ---------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) AVX2 __m256i cost256(const int16_t *level,
								  __m256i target, __m256i before)
{
	__m256i d = _mm256_subs_epi16(target, _mm256_load_si256((const __m256i *)level));

	return _mm256_adds_epu16(before, _mm256_mulhrs_epi16(d, d));
}

static inline __attribute__((always_inline)) AVX2 void choose256(__m256i c, int way, __m256i *best,
								 __m256i *from)
{
	__m256i min = _mm256_min_epu16(c, *best);

	*from = _mm256_blendv_epi8(_mm256_set1_epi16(way), *from, _mm256_cmpeq_epi16(min, *best));
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
			choose256(c, r << 5, &best, &best_from);
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
		choose256(c, r << 4, &best, &best_from);
	}
	_mm256_store_si256((__m256i *)after, best);
	_mm256_store_si256((__m256i *)from, best_from);
}

static AVX2 void walk256(const struct q35_trellis *trellis, struct q35_walk walk[Q35_PAIR],
			 unsigned int first)
{
	uint16_t between[Q35_PAIR][Q35_STATES] __attribute__((aligned(32)));
	const int16_t *level;
	struct q35_walk *w;
	unsigned int i, t;
	int16_t target;
	__m128i half;
	__m256i m;

	for (i = first; i < Q35_WALK; i += 2) {
		for (t = 0; t < Q35_PAIR; t++) {
			w = &walk[t];
			target = w->target[i];
			level = level_of(trellis, i, &target);
			even256(level, target, w->metric, between[t], w->from[i]);
		}
		for (t = 0; t < Q35_PAIR; t++) {
			w = &walk[t];
			target = w->target[i + 1];
			level = level_of(trellis, i + 1, &target);
			odd256(level, target, between[t], w->metric, w->from[i + 1]);
			if (i % 8 != 6)
				continue;
			m = _mm256_load_si256((const __m256i *)w->metric);
			half = _mm_minpos_epu16(_mm_min_epu16(_mm256_castsi256_si128(m),
							      _mm256_extracti128_si256(m, 1)));
			m = _mm256_sub_epi16(m, _mm256_broadcastw_epi16(half));
			_mm256_store_si256((__m256i *)w->metric, m);
		}
	}
}

const struct q35_walker q35_walker_avx2 = {"avx2", walk256};

#endif /* __x86_64__ */
