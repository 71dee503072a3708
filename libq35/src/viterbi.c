// SPDX-License-Identifier: MIT
#include <string.h>

#include "viterbi.h"

/* Weights on either side of the seam that the first walk looks at, a multiple of 8. */
#define SEAM 32

#define EVEN_STATES 16 /* before an even step, after an odd one */
#define ODD_STATES 32

typedef uint16_t metrics[Q35_STATES];

void q35_trellis_init(struct q35_trellis *trellis, const int8_t codebook[Q35_CODEBOOK_BYTES])
{
	unsigned int parity, states, w;
	int level;

	memset(trellis->any, 0, sizeof(trellis->any));
	for (parity = 0; parity < 2; parity++) {
		states = parity ? EVEN_STATES : ODD_STATES;
		for (w = 0; w < 1 << Q35_WINDOW_BITS; w++) {
			level = codebook[parity << Q35_WINDOW_BITS | w] * Q35_TARGET_ONE;
			trellis->level[parity][w] = level;
			trellis->into[parity][w % states * (256 / states) + w / states] = level;
		}
	}
}

/* In units of half a squared code; no distance counts as more than 128 codes. */
static uint16_t cost(int target, int level)
{
	int d = 2 * (target - level);

	d = d > 32767 ? 32767 : d < -32768 ? -32768 : d;
	return (d * d + 0x4000) >> 15;
}

static uint16_t add(uint16_t a, uint16_t b)
{
	unsigned int sum = a + b;

	return sum > UINT16_MAX ? UINT16_MAX : sum;
}

static void step(const struct q35_trellis *trellis, unsigned int parity, int target,
		 const uint16_t *before, uint16_t *after)
{
	const int16_t *level = trellis->level[parity];
	unsigned int states = parity ? EVEN_STATES : ODD_STATES;
	unsigned int drop = parity ? Q35_ODD_BITS : Q35_EVEN_BITS;
	unsigned int w;
	uint16_t c;

	if (target == Q35_TARGET_ANY) {
		level = trellis->any;
		target = 0;
	}
	memset(after, 0xff, states * sizeof(*after));
	for (w = 0; w < 1 << Q35_WINDOW_BITS; w++) {
		c = add(before[w >> drop], cost(target, level[w]));
		if (c < after[w % states])
			after[w % states] = c;
	}
}

static void normalize(uint16_t *m)
{
	uint16_t min = UINT16_MAX;
	unsigned int s;

	for (s = 0; s < EVEN_STATES; s++)
		min = m[s] < min ? m[s] : min;
	for (s = 0; s < EVEN_STATES; s++)
		m[s] -= min;
}

/*
 * Walks count weights, a multiple of 8, from position first on, round the seam if need be.
 * before[i] are the metrics before step i; before[0] is given.
 */
static void walk(const struct q35_trellis *trellis, const int16_t *target, unsigned int first,
		 unsigned int count, metrics *before)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		step(trellis, i % 2, target[(first + i) % Q35_TILE_WEIGHTS], before[i],
		     before[i + 1]);
		if (i % Q35_TILE_K == Q35_TILE_K - 1)
			normalize(before[i + 1]);
	}
}

/* The window of the cheapest step into state; of equals, the one with the lowest older bits. */
static unsigned int step_into(const struct q35_trellis *trellis, unsigned int parity, int target,
			      const uint16_t *before, unsigned int state)
{
	const int16_t *level = trellis->level[parity];
	unsigned int states = parity ? EVEN_STATES : ODD_STATES;
	unsigned int drop = parity ? Q35_ODD_BITS : Q35_EVEN_BITS;
	unsigned int w, best = state;
	uint16_t c, min = UINT16_MAX;

	if (target == Q35_TARGET_ANY) {
		level = trellis->any;
		target = 0;
	}
	for (w = state; w < 1 << Q35_WINDOW_BITS; w += states) {
		c = add(before[w >> drop], cost(target, level[w]));
		if (c < min) {
			min = c;
			best = w;
		}
	}
	return best;
}

static unsigned int seam_state(const struct q35_trellis *trellis, const int16_t *target)
{
	metrics before[2 * SEAM + 1];
	unsigned int i, state = 0;

	memset(before[0], 0, sizeof(before[0]));
	walk(trellis, target, Q35_TILE_WEIGHTS - SEAM, 2 * SEAM, before);
	for (i = 1; i < EVEN_STATES; i++)
		if (before[2 * SEAM][i] < before[2 * SEAM][state])
			state = i;
	for (i = 2 * SEAM; i-- > SEAM;)
		state = step_into(trellis, i % 2, target[i - SEAM], before[i], state) >>
			(i % 2 ? Q35_ODD_BITS : Q35_EVEN_BITS);
	return state;
}

void q35_trellis_encode(const struct q35_trellis *trellis, const int16_t target[Q35_TILE_WEIGHTS],
			uint8_t tile[Q35_TILE_BYTES])
{
	unsigned int state, window, i, n, bit = Q35_TILE_BITS;
	metrics before[Q35_TILE_WEIGHTS + 1];

	state = seam_state(trellis, target);
	memset(before[0], 0xff, sizeof(before[0]));
	before[0][state] = 0;
	walk(trellis, target, 0, Q35_TILE_WEIGHTS, before);

	memset(tile, 0, Q35_TILE_BYTES);
	for (i = Q35_TILE_WEIGHTS; i-- > 0;) {
		window = step_into(trellis, i % 2, target[i], before[i], state);
		for (n = 0; n < (i % 2 ? Q35_ODD_BITS : Q35_EVEN_BITS); n++) {
			bit--;
			tile[bit / 8] |= (window >> n & 1) << bit % 8;
		}
		state = window >> n;
	}
}
