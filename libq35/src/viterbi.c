// SPDX-License-Identifier: MIT
#include <string.h>

#include "kernels.h"
#include "viterbi.h"

/* Weights on either side of the seam that the first walk looks at, a multiple of 8. */
#define SEAM 32

/* In units of half a squared code; no distance counts as more than 128 codes. */
static uint16_t cost(int target, int level)
{
	int d = 2 * (target - level);

	d = d > INT16_MAX ? INT16_MAX : d < INT16_MIN ? INT16_MIN : d;
	return (d * d + 0x4000) >> 15;
}

static uint16_t add(uint16_t a, uint16_t b)
{
	unsigned int sum = a + b;

	return sum > UINT16_MAX ? UINT16_MAX : sum;
}

static void step(const int16_t *level, int target, unsigned int odd, const uint16_t *before,
		 uint16_t *after, uint16_t *from)
{
	unsigned int states = odd ? Q35_EVEN_STATES : Q35_STATES, steps = 256 / states;
	unsigned int s, i, w;
	uint16_t c;

	for (s = 0; s < states; s++) {
		for (i = 0; i < steps; i++) {
			w = i % 8 << 5 | i / 8 << 4 | s;
			c = add(before[w >> (odd ? Q35_ODD_BITS : Q35_EVEN_BITS)],
				cost(target, level[w]));
			if (i && c >= after[s])
				continue;
			after[s] = c;
			from[s] = i;
		}
	}
}

static void walk(const struct q35_trellis *trellis, const int16_t *target, unsigned int count,
		 uint16_t metric[Q35_EVEN_STATES], uint16_t (*from)[Q35_STATES])
{
	uint16_t between[Q35_STATES], min;
	unsigned int i, s;
	int any;

	for (i = 0; i < count; i++) {
		any = target[i] == Q35_TARGET_ANY;
		step(trellis->level[any ? 2 : i % 2], any ? 0 : target[i], i % 2,
		     i % 2 ? between : metric, i % 2 ? metric : between, from[i]);
		if (i % 8 != 7)
			continue;
		min = UINT16_MAX;
		for (s = 0; s < Q35_EVEN_STATES; s++)
			min = metric[s] < min ? metric[s] : min;
		for (s = 0; s < Q35_EVEN_STATES; s++)
			metric[s] -= min;
	}
}

const struct q35_walker q35_walker_ref = {"ref", walk};

void q35_trellis_init(struct q35_trellis *trellis, const int8_t codebook[Q35_CODEBOOK_BYTES])
{
	static const struct q35_walker *const walkers[] = {
		&q35_walker_ref,
#if defined(__x86_64__)
		&q35_walker_avx2,
		&q35_walker_avx512,
#endif
	};
	const struct q35_kernels *kernels = q35_kernels_get();
	unsigned int i;

	memset(trellis, 0, sizeof(*trellis));
	for (i = 0; i < Q35_CODEBOOK_BYTES; i++)
		trellis->level[i / 256][i % 256] = codebook[i] * Q35_TARGET_ONE;
	trellis->walker = &q35_walker_ref;
	for (i = 0; kernels && i < sizeof(walkers) / sizeof(walkers[0]); i++)
		if (!strcmp(walkers[i]->isa, kernels->name))
			trellis->walker = walkers[i];
}

/* The window of the best step into state. */
static unsigned int step_into(const uint16_t *from, unsigned int state)
{
	return from[state] % 8 << 5 | from[state] / 8 << 4 | state;
}

static unsigned int state_before(unsigned int window, unsigned int i)
{
	return window >> (i % 2 ? Q35_ODD_BITS : Q35_EVEN_BITS);
}

static unsigned int seam_state(const struct q35_trellis *trellis, const int16_t *target)
{
	uint16_t metric[Q35_EVEN_STATES] __attribute__((aligned(64))) = {0};
	uint16_t from[2 * SEAM][Q35_STATES] __attribute__((aligned(64)));
	int16_t around[2 * SEAM];
	unsigned int i, state = 0;

	memcpy(around, target + Q35_TILE_WEIGHTS - SEAM, SEAM * sizeof(*target));
	memcpy(around + SEAM, target, SEAM * sizeof(*target));
	trellis->walker->walk(trellis, around, 2 * SEAM, metric, from);
	for (i = 1; i < Q35_EVEN_STATES; i++)
		if (metric[i] < metric[state])
			state = i;
	for (i = 2 * SEAM; i-- > SEAM;)
		state = state_before(step_into(from[i], state), i);
	return state;
}

/* What the symbols decode to, each with the 8 bits that end with it. */
static void decode(const struct q35_trellis *trellis, const uint8_t *symbol,
		   int8_t code[Q35_TILE_WEIGHTS])
{
	unsigned int window =
		symbol[Q35_TILE_WEIGHTS - 2] << Q35_ODD_BITS | symbol[Q35_TILE_WEIGHTS - 1];
	unsigned int i;

	for (i = 0; i < Q35_TILE_WEIGHTS; i++) {
		window = (window << (i % 2 ? Q35_ODD_BITS : Q35_EVEN_BITS) | symbol[i]) & 0xff;
		code[i] = trellis->level[i % 2][window] / Q35_TARGET_ONE;
	}
}

void q35_trellis_encode(const struct q35_trellis *trellis, const int16_t target[Q35_TILE_WEIGHTS],
			uint8_t tile[Q35_TILE_BYTES], int8_t code[Q35_TILE_WEIGHTS])
{
	/* A symbol's first bit is its most significant one, the tile's first bit its least. */
	static const uint8_t reversed[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
	uint16_t metric[Q35_EVEN_STATES] __attribute__((aligned(64)));
	uint16_t from[Q35_TILE_WEIGHTS][Q35_STATES] __attribute__((aligned(64)));
	uint8_t symbol[Q35_TILE_WEIGHTS];
	unsigned int state, window, i, b;
	uint64_t bits = 0;

	state = seam_state(trellis, target);
	memset(metric, 0xff, sizeof(metric));
	metric[state] = 0;
	trellis->walker->walk(trellis, target, Q35_TILE_WEIGHTS, metric, from);
	for (i = Q35_TILE_WEIGHTS; i-- > 0;) {
		window = step_into(from[i], state);
		state = state_before(window, i);
		symbol[i] = window & (i % 2 ? 7 : 15);
		if (i % 2)
			bits = bits << Q35_ODD_BITS | reversed[symbol[i]] >> 1;
		else
			bits = bits << Q35_EVEN_BITS | reversed[symbol[i]];
		if (i % 16) /* 16 weights are 7 bytes */
			continue;
		for (b = 0; b < 7; b++)
			tile[i / 16 * 7 + b] = bits >> 8 * b;
		bits = 0;
	}
	decode(trellis, symbol, code);
}
