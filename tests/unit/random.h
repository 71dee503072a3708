/* SPDX-License-Identifier: MIT */
/*
 * Random numbers for tests: the same ones every time, on every machine.
 */
#ifndef Q35_TEST_RANDOM_H
#define Q35_TEST_RANDOM_H

#include <math.h>
#include <stdint.h>

struct random {
	uint64_t state; /* not 0 */
};

static inline uint64_t random_bits(struct random *r) /* xorshift64* */
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1dull;
}

static inline uint32_t random_below(struct random *r, uint32_t bound)
{
	return (random_bits(r) >> 32) * bound >> 32;
}

/* In (0, 1). */
static inline double random_uniform(struct random *r)
{
	return ((double)(random_bits(r) >> 12) + 0.5) * 0x1p-52;
}

static inline double random_normal(struct random *r)
{
	double radius = sqrt(-2 * log(random_uniform(r)));

	return radius * cos(6.283185307179586 * random_uniform(r));
}

#endif /* Q35_TEST_RANDOM_H */
