// SPDX-License-Identifier: MIT
/* Multiplies by a matrix of 3.5-bit weights and compares with the product of the original ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "q35.h"

#define M 3
#define N 1000
#define K 768

static int fail(const struct q35 *dev, const char *what)
{
	fprintf(stderr, "example: %s: %s\n", what, q35_error(dev));
	return 1;
}

static float normal(void) /* Box–Muller */
{
	double radius = sqrt(-2 * log((rand() + 1.0) / (RAND_MAX + 1.0)));

	return (float)(radius * cos(6.283185307179586 * rand() / RAND_MAX));
}

int main(void)
{
	static float w[N][K], x[M][K], y[M][N];
	double error = 0, total = 0;
	struct q35_matrix *mat;
	struct q35_info info;
	struct q35 *dev;

	for (int i = 0; i < N * K; i++)
		w[i / K][i % K] = normal();
	for (int i = 0; i < M * K; i++)
		x[i / K][i % K] = normal();

	if (q35_open(NULL, &dev))
		return fail(NULL, "no device");
	if (q35_get_info(dev, &info) || q35_matrix_from_f32(dev, Q35_T8, N, K, w[0], &mat) ||
	    q35_matmul(dev, mat, M, x[0], y[0]))
		return fail(dev, "no product");

	for (int i = 0; i < M * N; i++) {
		double exact = 0;

		for (int k = 0; k < K; k++)
			exact += (double)x[i / N][k] * w[i % N][k];
		error += (exact - y[i / N][i % N]) * (exact - y[i / N][i % N]);
		total += exact * exact;
	}
	printf("%s (%s): a product with 3.5-bit weights is off by %.1f %%\n", info.name, info.isa,
	       100 * sqrt(error / total));
	q35_matrix_destroy(mat);
	q35_close(dev);
	return 0;
}
