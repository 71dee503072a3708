/* SPDX-License-Identifier: MIT */
/* Random numbers that are the same in every run. */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <stddef.h>
#include <stdint.h>

/* One generator a row, so that rows can be made in any order. */
struct numbers {
	uint64_t state;
};

enum distribution {
	NORMAL,
	LAPLACE,
	STUDENT_T5, /* 5 degrees of freedom: heavy tails */
	DISTRIBUTIONS
};

void numbers_seed(struct numbers *r, uint64_t seed, uint64_t stream);
uint64_t numbers_next(struct numbers *r);
void numbers_fill(struct numbers *r, enum distribution kind, float *out, size_t count);

void fill_floats(float *out, size_t count, uint64_t seed); /* evenly from -1 to 1 */

#endif /* NUMBERS_H */
