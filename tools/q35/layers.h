/* SPDX-License-Identifier: MIT */
/*
 * What a llama layer does between its matrix products, on the host in f32. Every sum has one fixed
 * order, so that the same input gives the same bits whichever device made the products.
 */
#ifndef LAYERS_H
#define LAYERS_H

#include <stddef.h>
#include <stdint.h>

/* y = x / sqrt(mean(x^2) + epsilon) * weight, for n elements. */
void rmsnorm(const float *x, const float *weight, uint32_t n, float epsilon, float *y);

/* cos and sin for each of positions: table[position][dims / 2][2]. */
void rope_table(float *table, uint32_t positions, uint32_t dims, double base);

/*
 * Rotates the neighbours 2i and 2i + 1 of the first dims elements of each head, as llama.cpp's
 * "normal" order has it; row is that position's of the table.
 */
void rope(float *x, uint32_t heads, uint32_t head_dim, const float *row, uint32_t dims);

/* y[m][n] = x[m][k] * w[n][k]^T; rows of y are stride apart. */
void matmul(const float *x, const float *w, uint32_t m, uint32_t n, uint32_t k, float *y,
	    size_t stride);

struct attention {
	uint32_t heads, kv_heads, head_dim;
	const float *keys, *values; /* [positions][kv_heads][head_dim] */
};

/*
 * One head of a query of [heads][head_dim] over the positions before count, into y of the same shape.
 * scores[count] is scratch.
 */
void attend(const struct attention *a, uint32_t head, uint32_t count, const float *query, float *y,
	    float *scores);

#endif /* LAYERS_H */
