/* SPDX-License-Identifier: MIT */
/*
 * What the library's selftests have in common: the device under test with the CPU backend beside
 * it, random numbers, and products in double precision. On the host, where Q35_DEVICE=cpu, the
 * device under test is the CPU backend as well; otherwise it has to be a card.
 */
#ifndef Q35_BACKENDS_H
#define Q35_BACKENDS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "q35.h"

struct backends {
	struct q35 *dev, *cpu;
	int is_card;
};

/* NULL, or why not. */
static inline const char *backends_open(struct backends *b)
{
	const char *name = getenv("Q35_DEVICE");
	struct q35_info info;

	if (q35_open(NULL, &b->dev) || q35_open("cpu", &b->cpu))
		return q35_error(NULL);
	if (q35_get_info(b->dev, &info))
		return q35_error(b->dev);
	b->is_card = info.is_card;
	if (!b->is_card && (!name || strcmp(name, "cpu")))
		return "the CPU backend was opened instead of a card, and not by Q35_DEVICE=cpu";
	return NULL;
}

static inline void backends_close(struct backends *b)
{
	q35_close(b->cpu);
	q35_close(b->dev);
}

/* xorshift64*: the same numbers everywhere. */
static inline uint32_t random_u32(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (uint32_t)(*seed * 0x2545f4914f6cdd1dull >> 32);
}

static inline uint32_t random_below(uint64_t *seed, uint32_t limit)
{
	return (uint32_t)((uint64_t)random_u32(seed) * limit >> 32);
}

/* Gaussian enough: the sum of 12 uniform ones, less 6. */
static inline float random_normal(uint64_t *seed)
{
	double sum = 0;
	int i;

	for (i = 0; i < 12; i++)
		sum += random_u32(seed) / 4294967296.0;
	return (float)(sum - 6);
}

static inline float *random_normals(uint64_t seed, size_t count)
{
	float *values = malloc(count * sizeof(*values));
	size_t i;

	for (i = 0; values && i < count; i++)
		values[i] = random_normal(&seed);
	return values;
}

/* y[m][n] = x[m][k] * w[n][k]^T */
static inline double *exact_product(uint32_t m, uint32_t n, uint32_t k, const float *w,
				    const float *x)
{
	double *y = calloc((size_t)m * n, sizeof(*y));
	size_t i, j, l;

	for (i = 0; y && i < m; i++) {
		for (j = 0; j < n; j++) {
			for (l = 0; l < k; l++)
				y[i * n + j] += (double)x[i * k + l] * w[j * k + l];
		}
	}
	return y;
}

/* ||y - exact|| / ||exact||; not a number if y has one that is none. */
static inline double relative_error(const float *y, const double *exact, size_t count)
{
	double error = 0, total = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		error += (y[i] - exact[i]) * (y[i] - exact[i]);
		total += exact[i] * exact[i];
	}
	return sqrt(error / total);
}

#endif /* Q35_BACKENDS_H */
