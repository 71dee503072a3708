/* SPDX-License-Identifier: MIT */
/*
 * The encoder: finds the stream of a tile whose codes come nearest to given targets.
 *
 * Between two weights the decoder remembers only the bits of the window that it will still look
 * at: 4 before an even position, 5 before an odd one. A stream is a closed walk through those 16 or
 * 32 states; a step is a window, of 256, and costs the square of its code's distance from the
 * target. Viterbi's algorithm finds the cheapest walk between two given states; the state where the
 * tile's end meets its beginning is found first, by a shorter walk across that seam from anywhere
 * to anywhere.
 *
 * Costs are 16-bit integers and ties have a rule, so that every implementation finds the same walk.
 */
#ifndef Q35_VITERBI_H
#define Q35_VITERBI_H

#include "format.h"

#define Q35_TARGET_ONE 128 /* a code of 1 as a target */
#define Q35_TARGET_ANY INT16_MIN /* padding: every code is as good as any other */

#define Q35_STATES 32 /* before an odd step, after an even one */
#define Q35_EVEN_STATES 16 /* before an even step, after an odd one */

struct q35_trellis {
	/* By window, times Q35_TARGET_ONE: those of even steps, of odd ones, and for padding. */
	int16_t level[3][1 << Q35_WINDOW_BITS] __attribute__((aligned(64)));
	const struct q35_walker *walker;
};

/*
 * A walk of count steps, a multiple of 8, along targets; the first is at an even position. metric
 * holds the 16 states' costs at its beginning and then at its end, less the smallest one.
 * from[i][state] tells by which step i the state was reached best: the window's bits from 5 up after
 * even steps; after odd ones likewise, plus 8 times its bit 4. Of equals the smallest is taken.
 */
struct q35_walker {
	const char *isa; /* of the kernels that run on the same processors */
	void (*walk)(const struct q35_trellis *trellis, const int16_t *target, unsigned int count,
		     uint16_t metric[Q35_EVEN_STATES], uint16_t (*from)[Q35_STATES]);
};

extern const struct q35_walker q35_walker_ref, q35_walker_avx2, q35_walker_avx512;

/* For the kernels that q35_kernels_get() chooses. */
void q35_trellis_init(struct q35_trellis *trellis, const int8_t codebook[Q35_CODEBOOK_BYTES]);

/* target[i * 8 + j] is for output i, input j of the tile; code is what the tile decodes to. */
void q35_trellis_encode(const struct q35_trellis *trellis, const int16_t target[Q35_TILE_WEIGHTS],
			uint8_t tile[Q35_TILE_BYTES], int8_t code[Q35_TILE_WEIGHTS]);

#endif /* Q35_VITERBI_H */
