/* SPDX-License-Identifier: MIT */
/*
 * The encoder: finds the stream of a tile whose codes come nearest to given targets.
 *
 * Between two weights the decoder remembers only the bits of the window that it will still look
 * at: 4 before an even position, 5 before an odd one. A stream is a closed walk through those 16 or
 * 32 states; a step is a window, of 256, and costs the square of its code's distance from the
 * target. Viterbi's algorithm finds the cheapest walk from anywhere to anywhere, over the tile with
 * its last weights once more before it. Backwards all walks soon meet, and so lead from one state at
 * the seam, where the tile's end meets its beginning; the one that ends there is closed. In one
 * tile of a thousand they do not; then a second walk, from that state, is.
 *
 * Two tiles are encoded at a time: a step waits for the one before it, but not for the other tile's.
 *
 * Costs are 16-bit integers and ties have a rule, so that every implementation finds the same walk.
 */
#ifndef Q35_VITERBI_H
#define Q35_VITERBI_H

#include "format.h"

/* A code of 1 as a target. 181^2 = 2^15: the upper half of a product is in squared codes. */
#define Q35_TARGET_ONE 181
#define Q35_TARGET_ANY INT16_MIN /* padding: every code is as good as any other */

#define Q35_STATES 32 /* before an odd step, after an even one */
#define Q35_EVEN_STATES 16 /* before an even step, after an odd one */

#define Q35_SEAM 32 /* weights that are walked twice */
#define Q35_WALK (Q35_SEAM + Q35_TILE_WEIGHTS)
#define Q35_PAIR 2

/*
 * The square of an input's root is what its errors cost. Roots are at most this: an int16 holds what
 * any code of a codebook is as a target then.
 */
#define Q35_ROOT_MAX ((float)INT16_MAX / (128 * Q35_TARGET_ONE))

struct q35_trellis {
	/* By window, times Q35_TARGET_ONE and root: of step i, level[i & last_level]. */
	int16_t level[Q35_TILE_K][1 << Q35_WINDOW_BITS] __attribute__((aligned(64)));
	int16_t none[1 << Q35_WINDOW_BITS]; /* 0: padding */
	unsigned int last_level; /* 1: all inputs are alike, 7: each has its own root */
	int8_t codebook[Q35_CODEBOOK_BYTES];
	const struct q35_walker *walker;
};

/*
 * metric holds the 16 states' costs at the beginning and then at the end, less the smallest one.
 * from[i][state] is the window of the best step i into state, less state's own bits. Of equal steps
 * the one with the smallest bits from 5 up, in odd steps after those with bit 4 clear, is taken.
 */
struct q35_walk {
	uint16_t from[Q35_WALK][Q35_STATES] __attribute__((aligned(64)));
	uint16_t metric[Q35_EVEN_STATES] __attribute__((aligned(64)));
	int16_t target[Q35_WALK];
};

struct q35_walker {
	const char *isa; /* of the kernels that run on the same processors */
	/* Steps first … Q35_WALK - 1; first is a multiple of 8. */
	void (*walk)(const struct q35_trellis *trellis, struct q35_walk walk[Q35_PAIR],
		     unsigned int first);
};

extern const struct q35_walker q35_walker_ref, q35_walker_avx2, q35_walker_avx512;

/* For the kernels that q35_kernels_get() chooses. */
void q35_trellis_init(struct q35_trellis *trellis, const int8_t codebook[Q35_CODEBOOK_BYTES]);

/* From then on inputs differ: targets of input j are in codes times Q35_TARGET_ONE times root[j]. */
void q35_trellis_weigh(struct q35_trellis *trellis, const float root[Q35_TILE_K]);

/* target[t][i * 8 + j] is for output i, input j of tile t; code is what it decodes to. */
void q35_trellis_encode(const struct q35_trellis *trellis,
			const int16_t target[Q35_PAIR][Q35_TILE_WEIGHTS],
			uint8_t *const tile[Q35_PAIR], int8_t code[Q35_PAIR][Q35_TILE_WEIGHTS]);

#endif /* Q35_VITERBI_H */
