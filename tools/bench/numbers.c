// SPDX-License-Identifier: MIT
#include "numbers.h"

#include <math.h>

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t numbers_next(struct numbers *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void numbers_seed(struct numbers *r, uint64_t seed, uint64_t stream)
{
	r->state = seed;
	r->state = numbers_next(r) ^ stream;
	r->state = numbers_next(r);
}

/* Within (0, 1). */
static double uniform(struct numbers *r)
{
	return ((double)(numbers_next(r) >> 11) + 0.5) * 0x1p-53;
}

/* Two at a time (Box, Muller 1958). */
static void normal(struct numbers *r, double out[2])
{
	double radius = sqrt(-2 * log(uniform(r))), angle = 2 * M_PI * uniform(r);

	out[0] = radius * cos(angle);
	out[1] = radius * sin(angle);
}

static double laplace(struct numbers *r)
{
	double u = uniform(r) - 0.5;

	return copysign(log(1 - 2 * fabs(u)), u) * M_SQRT1_2;
}

/* Bailey's polar method (1994), in the form without rejection. */
static double student(struct numbers *r, double freedom)
{
	double radius = sqrt(freedom * (pow(uniform(r), -2 / freedom) - 1));

	return radius * cos(2 * M_PI * uniform(r));
}

void numbers_fill(struct numbers *r, enum distribution kind, float *out, size_t count)
{
	double pair[2];
	size_t i;

	for (i = 0; i < count; i++) {
		switch (kind) {
		case LAPLACE:
			out[i] = (float)laplace(r);
			break;
		case STUDENT_T5:
			out[i] = (float)student(r, 5);
			break;
		default:
			if (i % 2 == 0)
				normal(r, pair);
			out[i] = (float)pair[i % 2];
		}
	}
}

void fill_floats(float *out, size_t count, uint64_t seed)
{
	struct numbers r = {seed};
	size_t i;

	for (i = 0; i < count; i++)
		out[i] = (float)(numbers_next(&r) >> 40) * 0x1p-23f - 1;
}
