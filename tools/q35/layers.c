// SPDX-License-Identifier: MIT
#include "layers.h"

#include <math.h>
#include <string.h>

#define LANES 16 /* partial sums, so that the compiler can use vectors without reordering */

static float dot(const float *a, const float *b, uint32_t n)
{
	float lanes[LANES] = {0}, sum = 0;
	uint32_t i, j;

	for (i = 0; i + LANES <= n; i += LANES)
		for (j = 0; j < LANES; j++)
			lanes[j] += a[i + j] * b[i + j];
	for (j = 0; j < LANES; j++)
		sum += lanes[j];
	for (; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

void rmsnorm(const float *x, const float *weight, uint32_t n, float epsilon, float *y)
{
	float scale = 1 / sqrtf(dot(x, x, n) / (float)n + epsilon);
	uint32_t i;

	for (i = 0; i < n; i++)
		y[i] = x[i] * scale * weight[i];
}

void rope_table(float *table, uint32_t positions, uint32_t dims, double base)
{
	uint32_t p, i;

	for (i = 0; i < dims / 2; i++) {
		double frequency = pow(base, -2.0 * i / dims);

		for (p = 0; p < positions; p++) {
			float *entry = table + ((size_t)p * (dims / 2) + i) * 2;

			entry[0] = (float)cos(p * frequency);
			entry[1] = (float)sin(p * frequency);
		}
	}
}

void rope(float *x, uint32_t heads, uint32_t head_dim, const float *row, uint32_t dims)
{
	uint32_t h, i;

	for (h = 0; h < heads; h++, x += head_dim)
		for (i = 0; i < dims; i += 2) {
			float a = x[i], b = x[i + 1], c = row[i], s = row[i + 1];

			x[i] = a * c - b * s;
			x[i + 1] = a * s + b * c;
		}
}

#define VECTOR __attribute__((vector_size(LANES * sizeof(float)))) float
#define ROWS 4 /* of w, that share the reading of x */

/* The processor's widest vectors, with sums in the same order whatever it is. */
#if defined(__x86_64__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST
#endif

static WIDEST void dots(const float *x, const float *w, uint32_t k, float y[ROWS])
{
	VECTOR lanes[ROWS] = {{0}}, left, right;
	uint32_t i, j, r;

	for (i = 0; i + LANES <= k; i += LANES) {
		memcpy(&left, x + i, sizeof(left));
#pragma GCC unroll 4
		for (r = 0; r < ROWS; r++) {
			memcpy(&right, w + (size_t)r * k + i, sizeof(right));
			lanes[r] += left * right;
		}
	}
	for (r = 0; r < ROWS; r++) {
		y[r] = 0;
		for (j = 0; j < LANES; j++)
			y[r] += lanes[r][j];
		for (j = i; j < k; j++)
			y[r] += x[j] * w[(size_t)r * k + j];
	}
}

void matmul(const float *x, const float *w, uint32_t m, uint32_t n, uint32_t k, float *y,
	    size_t stride)
{
	size_t i, j;

	for (j = 0; j + ROWS <= n; j += ROWS)
		for (i = 0; i < m; i++)
			dots(x + i * k, w + j * k, k, y + i * stride + j);
	for (; j < n; j++)
		for (i = 0; i < m; i++)
			y[i * stride + j] = dot(x + i * k, w + j * k, k);
}

static void softmax(float *x, uint32_t n)
{
	float most = x[0], sum = 0;
	uint32_t i;

	for (i = 1; i < n; i++)
		if (x[i] > most)
			most = x[i];
	for (i = 0; i < n; i++) {
		x[i] = expf(x[i] - most);
		sum += x[i];
	}
	for (i = 0; i < n; i++)
		x[i] /= sum;
}

void attend(const struct attention *a, uint32_t head, uint32_t count, const float *query, float *y,
	    float *scores)
{
	const float scale = 1 / sqrtf((float)a->head_dim);
	const size_t row = (size_t)a->kv_heads * a->head_dim;
	const size_t at = (size_t)(head / (a->heads / a->kv_heads)) * a->head_dim;
	const float *q = query + (size_t)head * a->head_dim, *v;
	float *out = y + (size_t)head * a->head_dim;
	uint32_t p, i;

	for (p = 0; p < count; p++)
		scores[p] = dot(q, a->keys + p * row + at, a->head_dim) * scale;
	softmax(scores, count);
	memset(out, 0, a->head_dim * sizeof(*out));
	for (p = 0; p < count; p++) {
		v = a->values + p * row + at;
		for (i = 0; i < a->head_dim; i++)
			out[i] += scores[p] * v[i];
	}
}
