/* SPDX-License-Identifier: MIT */
/*
 * ggml as a peer, behind an interface of our own, since Q35 neither contains it nor is built against it:
 * ggml/build.sh builds it, and ggml/peer.c against its headers, into a shared object that
 * q35-bench loads if it is told to.
 */
#ifndef GGML_PEER_H
#define GGML_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GGML_PEER_KINDS 5

struct ggml_product; /* y[m][n] = x[m][k] * w[n][k]^T on so many threads */

struct ggml_peer {
	struct {
		const char *name; /* as ggml calls it */
		uint32_t block; /* k must be a multiple of it */
		uint32_t act_block; /* activations that share a scale */
		double bits; /* a weight, scales and all */
	} kinds[GGML_PEER_KINDS];

	/* Sum of the squared errors of w[rows][k]; room has rows * k floats. May run in threads. */
	double (*error)(int kind, const float *w, size_t rows, size_t k, void *packed, float *room);

	/*
	 * The weights come with each run, so many bytes. repacked: in the order that ggml prefers on
	 * this processor. NULL: not for this kind or shape, or no memory.
	 */
	struct ggml_product *(*open)(int kind, bool repacked, uint32_t m, uint32_t n, uint32_t k,
				     unsigned int threads, const float *x);
	size_t (*weights_size)(const struct ggml_product *product);
	bool (*run)(struct ggml_product *product, const void *weights);
	void (*close)(struct ggml_product *product);
};

/* What the shared object exports. */
#define GGML_PEER_SYMBOL "q35_ggml_peer"
const struct ggml_peer *q35_ggml_peer(void);

/* Loads it, once; NULL, with a line on stderr: it cannot be loaded, or path is NULL. */
const struct ggml_peer *ggml_peer_load(const char *path);

#endif /* GGML_PEER_H */
