/* SPDX-License-Identifier: MIT */
/*
 * What the library's selftests have in common: the device under test with the CPU backend beside
 * it, random numbers and matrices, products in double precision, and work that takes a while. On the host, where Q35_DEVICE=cpu, the
 * device under test is the CPU backend as well; otherwise it has to be a card.
 */
#ifndef Q35_BACKENDS_H
#define Q35_BACKENDS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "q35.h"
#include "q35_hw.h"

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

/* Gaussian, by Box and Muller. */
static inline float random_normal(uint64_t *seed)
{
	double radius = sqrt(-2 * log((random_u32(seed) + 1.0) / 4294967296.0));

	return (float)(radius * cos(random_u32(seed) * (2 * M_PI / 4294967296.0)));
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

static inline int run(struct q35_queue *queue, const struct q35_job *jobs, size_t count)
{
	struct q35_point done;
	int ret = q35_submit(queue, jobs, count, NULL, 0, &done);

	return ret ? ret : q35_wait(done, Q35_FOREVER);
}

/* Random f16 numbers of about gain / 64, of either sign if signs. */
static inline void random_halves(uint64_t *seed, uint16_t *out, size_t count, int signs)
{
	size_t i;

	for (i = 0; i < count; i++)
		out[i] = (uint16_t)(0x2400 + random_below(seed, 0x400) +
				    (signs ? random_below(seed, 2) << 15 : 0));
}

/* Random tiles, scales, multipliers and zero-points: any are valid, and no quantizer is needed. */
static inline int random_matrix(struct q35 *dev, uint64_t seed, uint32_t n, uint32_t k,
				uint16_t group, uint8_t flags, struct q35_matrix **mat)
{
	size_t tiles_size = q35_tiles_size(n, k), meta_size = q35_meta_size(n, k, group, flags), i;
	uint32_t padded = (n + 63) / 64 * 64, groups = group ? (k + group - 1) / group : 1, g;
	uint8_t *tiles = malloc(tiles_size), *meta = calloc(1, meta_size), *at = meta;
	struct q35_weights w;
	int ret;

	q35_weights_init(&w, Q35_T8, n, k);
	w.group = group;
	w.meta_flags = flags;
	w.tiles = tiles;
	w.meta = meta;
	for (i = 0; i < tiles_size; i++)
		tiles[i] = (uint8_t)random_u32(&seed);
	if (flags & Q35_META_MULTIPLIER) {
		random_halves(&seed, (uint16_t *)at, n, 0);
		at += 2 * padded;
		for (g = 0; g < groups; g++, at += padded) {
			for (i = 0; i < n; i++)
				at[i] = (uint8_t)random_u32(&seed);
		}
	} else {
		for (g = 0; g < groups; g++, at += 2 * padded)
			random_halves(&seed, (uint16_t *)at, n, 0);
	}
	for (g = 0; flags & Q35_META_ZERO && g < groups; g++, at += 2 * padded)
		random_halves(&seed, (uint16_t *)at, n, 1);

	ret = q35_matrix_create(dev, &w, mat);
	free(meta);
	free(tiles);
	return ret;
}

#define BIG_M 512
#define BIG_DIM 1024
#define BIG_JOBS 16 /* 8.6e9 multiply-accumulates: the card is busy when q35_submit() returns */

/*
 * Products of zeros, which take as long as any. Only one of them where q35_submit() waits for the
 * last, on the CPU backend.
 */
struct big {
	struct q35_matrix *mat;
	struct q35_buffer *x, *y;
	struct q35_job jobs[BIG_JOBS];
	unsigned int count;
};

static inline int big_create(struct q35 *dev, struct big *big)
{
	struct q35_info info;
	unsigned int i;
	int ret = q35_get_info(dev, &info);

	big->count = info.is_card ? BIG_JOBS : 1;
	ret = ret ? ret : random_matrix(dev, 3, BIG_DIM, BIG_DIM, 0, 0, &big->mat);
	ret = ret ? ret : q35_buffer_create(dev, Q35_HOST, BIG_M * BIG_DIM * 4, &big->x);
	ret = ret ? ret : q35_buffer_create(dev, Q35_HOST, BIG_M * BIG_DIM * 4, &big->y);
	for (i = 0; i < BIG_JOBS; i++)
		big->jobs[i] = (struct q35_job){.kind = Q35_JOB_GEMM,
						.gemm = {.w = big->mat,
							 .m = BIG_M,
							 .x = {.buffer = big->x},
							 .y = {.buffer = big->y}}};
	return ret;
}

static inline void big_destroy(struct big *big)
{
	q35_buffer_destroy(big->y);
	q35_buffer_destroy(big->x);
	q35_matrix_destroy(big->mat);
}

#endif /* Q35_BACKENDS_H */
