// SPDX-License-Identifier: MIT
#include <string.h>

#include "kernels.h"
#include "viterbi.h"

/* Steps after which walks back from any state have met, but for one in a thousand. */
#define MEETING 64

/* In squared codes; no distance counts as more than 181 of them. */
static uint16_t cost(int target, int level)
{
	int d = target - level;

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
			from[s] = w - s;
		}
	}
}

static void walk_one(const struct q35_trellis *trellis, struct q35_walk *w, unsigned int first)
{
	uint16_t between[Q35_STATES], *metric = w->metric, min;
	unsigned int i, s;
	int any;

	for (i = first; i < Q35_WALK; i++) {
		any = w->target[i] == Q35_TARGET_ANY;
		/* first is even, so that each step's input has been written */
		step(any ? trellis->none : trellis->level[i & trellis->last_level],
		     any ? 0 : w->target[i], i % 2,
		     /* cppcheck-suppress legacyUninitvar */
		     i % 2 ? between : metric, i % 2 ? metric : between, w->from[i]);
		if (i % 8 != 7)
			continue;
		min = UINT16_MAX;
		for (s = 0; s < Q35_EVEN_STATES; s++)
			min = metric[s] < min ? metric[s] : min;
		for (s = 0; s < Q35_EVEN_STATES; s++)
			metric[s] -= min;
	}
}

static void walk(const struct q35_trellis *trellis, struct q35_walk walk[Q35_PAIR],
		 unsigned int first)
{
	unsigned int t;

	for (t = 0; t < Q35_PAIR; t++)
		walk_one(trellis, &walk[t], first);
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
	trellis->last_level = 1;
	memcpy(trellis->codebook, codebook, sizeof(trellis->codebook));
	trellis->walker = &q35_walker_ref;
	for (i = 0; kernels && i < sizeof(walkers) / sizeof(walkers[0]); i++)
		if (!strcmp(walkers[i]->isa, kernels->name))
			trellis->walker = walkers[i];
}

void q35_trellis_weigh(struct q35_trellis *trellis, const float root[Q35_TILE_K])
{
	const int8_t *codebook;
	unsigned int j, w;
	float l;

	for (j = 0; j < Q35_TILE_K; j++) {
		codebook = trellis->codebook + (j % 2 << Q35_WINDOW_BITS);
		for (w = 0; w < 1 << Q35_WINDOW_BITS; w++) {
			l = codebook[w] * (Q35_TARGET_ONE * root[j]);
			trellis->level[j][w] = l < 0 ? l - 0.5f : l + 0.5f;
		}
	}
	trellis->last_level = Q35_TILE_K - 1;
}

/*
 * Where the best walks to state[t] after count steps of each tile were at the seam; window[t] is
 * their steps since then. Both tiles in one loop, as a step back waits for memory.
 */
static void trace(const struct q35_walk walk[Q35_PAIR], unsigned int count,
		  unsigned int state[Q35_PAIR], uint8_t window[Q35_PAIR][Q35_TILE_WEIGHTS])
{
	unsigned int i, t;

	for (i = count; i-- > 0;) {
		for (t = 0; t < Q35_PAIR; t++) {
			state[t] |= walk[t].from[Q35_SEAM + i][state[t]];
			window[t][i] = state[t];
			state[t] >>= i % 2 ? Q35_ODD_BITS : Q35_EVEN_BITS;
		}
	}
}

/* A symbol's first bit is its most significant one, the tile's first bit its least. */
static void pack(const uint8_t window[Q35_TILE_WEIGHTS], uint8_t tile[Q35_TILE_BYTES])
{
	static const uint8_t reversed[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
	unsigned int i, j, b;
	uint64_t bits;

	for (i = 0; i < Q35_TILE_WEIGHTS; i += 16, tile += 7) { /* 16 weights are 7 bytes */
		bits = 0;
		for (j = 16; j > 0; j -= 2)
			bits = bits << 7 | reversed[window[i + j - 1] & 7] >> 1 << 4 |
			       reversed[window[i + j - 2] & 15];
		for (b = 0; b < 7; b++)
			tile[b] = bits >> 8 * b;
	}
}

/* Of a walk that did not close: the windows that the decoder will see, of the same symbols. */
static void close_windows(uint8_t window[Q35_TILE_WEIGHTS])
{
	unsigned int w =
		(window[Q35_TILE_WEIGHTS - 2] << Q35_ODD_BITS) | (window[Q35_TILE_WEIGHTS - 1] & 7);
	unsigned int i;

	for (i = 0; i < Q35_TILE_WEIGHTS; i++) {
		w = i % 2 ? w << Q35_ODD_BITS | (window[i] & 7)
			  : w << Q35_EVEN_BITS | (window[i] & 15);
		window[i] = w;
	}
}

/* The cheapest walk through the tile from state to state. */
static void walk_again(const struct q35_trellis *trellis, const struct q35_walk *first,
		       unsigned int state, uint8_t window[Q35_TILE_WEIGHTS])
{
	unsigned int start[Q35_PAIR] = {state, state};
	uint8_t windows[Q35_PAIR][Q35_TILE_WEIGHTS];
	struct q35_walk walk[Q35_PAIR];
	unsigned int t;

	for (t = 0; t < Q35_PAIR; t++) {
		memcpy(walk[t].target, first->target, sizeof(first->target));
		memset(walk[t].metric, 0xff, sizeof(walk[t].metric));
		walk[t].metric[state] = 0;
	}
	trellis->walker->walk(trellis, walk, Q35_SEAM);
	trace(walk, Q35_TILE_WEIGHTS, start, windows);
	memcpy(window, windows[0], sizeof(windows[0]));
	if (start[0] != state) /* costs that reach the limit of 16 bits can lead astray */
		close_windows(window);
}

void q35_trellis_encode(const struct q35_trellis *trellis,
			const int16_t target[Q35_PAIR][Q35_TILE_WEIGHTS],
			uint8_t *const tile[Q35_PAIR], int8_t code[Q35_PAIR][Q35_TILE_WEIGHTS])
{
	struct q35_walk walk[Q35_PAIR];
	uint8_t window[Q35_PAIR][Q35_TILE_WEIGHTS];
	unsigned int seam[Q35_PAIR] = {0}, start[Q35_PAIR], t, i;

	for (t = 0; t < Q35_PAIR; t++) {
		memcpy(walk[t].target, target[t] + Q35_TILE_WEIGHTS - Q35_SEAM,
		       Q35_SEAM * sizeof(target[t][0]));
		memcpy(walk[t].target + Q35_SEAM, target[t], sizeof(target[t]));
		memset(walk[t].metric, 0, sizeof(walk[t].metric));
	}
	trellis->walker->walk(trellis, walk, 0);
	trace(walk, MEETING, seam, window);
	memcpy(start, seam, sizeof(start));
	trace(walk, Q35_TILE_WEIGHTS, start, window);
	for (t = 0; t < Q35_PAIR; t++)
		if (start[t] != seam[t])
			walk_again(trellis, &walk[t], seam[t], window[t]);
	for (t = 0; t < Q35_PAIR; t++) {
		pack(window[t], tile[t]);
		for (i = 0; i < Q35_TILE_WEIGHTS; i++)
			code[t][i] = trellis->codebook[i % 2 << Q35_WINDOW_BITS | window[t][i]];
	}
}
