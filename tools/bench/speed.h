/* SPDX-License-Identifier: MIT */
/*
 * Contestants of the products y[m][n] = x[m][k] * w^T, from f32 activations to f32 results, and the two
 * limits that no product can pass.
 *
 * All walk through the same memory, one matrix further at every run, so that none finds its weights
 * in a cache, and none has better pages than another (which made a factor of two in a virtual
 * machine). What lies there are random numbers: any bits are weights to all of them, and none takes
 * longer for some than for others.
 */
#ifndef SPEED_H
#define SPEED_H

#include "formats.h"
#include "kernels.h"
#include "race.h"
#include "threads.h"

#define ACT_BLOCK 128 /* inputs that share an activation scale */

/*
 * The bytes of weights that a benchmark walks through. Twice the last-level cache, of which a virtual
 * machine may see more than is its own; but no more than an 8th of the memory.
 */
uint64_t working_set(const struct options *options);

struct setting {
	uint32_t m, n, k;
	unsigned int threads;
};

struct ground {
	char *memory; /* of all weights */
	size_t size;
	void *meta; /* scales, multipliers and zero-points of all formats, mostly 1 / 16 */
	size_t meta_size;
	bool has_openblas;

	/* Of the setting. */
	struct setting setting;
	struct q35_pool *pool;
	float *x, *y;
	void *scratch;
};

/* The largest matrix is to have at most so many weights, k inputs, n outputs: all in largest. */
int ground_open(struct ground *g, uint64_t working_set, const struct shape *largest);
void ground_close(struct ground *g);
int ground_set(struct ground *g, const struct setting *s);
void ground_clear(struct ground *g);

/* Of weights of so many bytes, those whose turn it is; on a cache line, as any real ones. */
const void *ground_weights(const struct ground *g, size_t bytes, size_t turn);

size_t q35_weights_bytes(uint32_t n, uint32_t k); /* of T8: tiles and meta */

/* One of libq35's formats with some of its kernels. */
struct q35_contestant {
	const struct ground *ground;
	const struct q35_kernels *kernels;
	const struct format *format;
	uint32_t outputs; /* at most; with some hundred as fast as with all of them */
};

/* What follows runs a product of the setting each; context is the ground, if not said otherwise. */
int run_q35(void *contestant, size_t turn);
int run_int4(void *ground, size_t turn);
int run_openblas(void *ground, size_t turn);

/* Reads as many bytes as T8 has, the second with prefetching. */
int run_read(void *ground, size_t turn);
int run_read_ahead(void *ground, size_t turn);
int run_multiply(void *ground, size_t turn); /* machine_multiply() on every thread */

#endif /* SPEED_H */
