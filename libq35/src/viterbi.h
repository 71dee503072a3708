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
 * Costs are integers, so that every implementation finds the same walk.
 */
#ifndef Q35_VITERBI_H
#define Q35_VITERBI_H

#include "format.h"

#define Q35_TARGET_ONE 128 /* a code of 1 as a target */
#define Q35_TARGET_ANY INT16_MIN /* padding: every code is as good as any other */
#define Q35_STATES 32

struct q35_trellis {
	/* level[parity][window]: its code times Q35_TARGET_ONE */
	int16_t level[2][1 << Q35_WINDOW_BITS] __attribute__((aligned(64)));
	/* The same by state after the step, then by the window's older bits. */
	int16_t into[2][1 << Q35_WINDOW_BITS] __attribute__((aligned(64)));
	/* For Q35_TARGET_ANY: every window costs nothing. */
	int16_t any[1 << Q35_WINDOW_BITS] __attribute__((aligned(64)));
};

void q35_trellis_init(struct q35_trellis *trellis, const int8_t codebook[Q35_CODEBOOK_BYTES]);

/* target[i * 8 + j] is for output i, input j of the tile. */
void q35_trellis_encode(const struct q35_trellis *trellis, const int16_t target[Q35_TILE_WEIGHTS],
			uint8_t tile[Q35_TILE_BYTES]);

#endif /* Q35_VITERBI_H */
