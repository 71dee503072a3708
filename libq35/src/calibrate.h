/* SPDX-License-Identifier: MIT */
/*
 * Quantization for the inputs that a matrix will meet.
 *
 * With H the second moments of the inputs, an error e of a row of weights costs e H e^T. Cholesky's
 * H = R R^T, R upper triangular, makes a sum of squares of it:
 *
 *	e H e^T = sum over j of R_jj^2 (e_j + sum over i < j of e_i F_ij)^2,  F_ij = R_ij / R_jj
 *
 * so inputs are quantized in ascending order, eight at a time as a tile has them: each towards its
 * weight plus what F feeds back of the errors before it, and with R_jj^2 as the price of what is
 * left, since a trellis can choose where in a tile errors fall. (E. Frantar et al., "GPTQ", 2022,
 * is this for scalars, where prices do not matter.)
 */
#ifndef Q35_CALIBRATE_H
#define Q35_CALIBRATE_H

#include "format.h"
#include "q35.h"
#include "threads.h"

struct q35_calibration {
	uint32_t k;
	double *moments; /* [k][k], of which the upper triangle is in use; NULL once finished */
	float *feedback; /* F, [k][k], above the diagonal; NULL until finished */
	float *root; /* prices as q35_trellis_weigh() has them, of k inputs rounded up to 8 */
	const struct q35_loops *loops;
	struct q35_pool *pool;
};

/*
 * Inputs k … k + 7 are done, with errors of so much (past the matrix 0): feeds that back to the
 * targets [rows][k] of all later inputs.
 */
void q35_feed_back(const struct q35_calibration *cal, uint32_t k, uint32_t rows,
		   const float error[][Q35_TILE_K], float *target);

/*
 * The loops that take the time, in vectors across columns, so that every processor adds up in the
 * same order.
 */
#define Q35_LOOP_SIDE 64

struct q35_loops {
	const char *isa; /* of the kernels that run on the same processors */
	/* sum[j] = sum over i of a[i][column] * b[i][j] */
	void (*moments)(const float a[Q35_LOOP_SIDE][Q35_LOOP_SIDE],
			const float b[Q35_LOOP_SIDE][Q35_LOOP_SIDE], uint32_t column,
			float sum[Q35_LOOP_SIDE]);
	/* y[j] += sum over the 8 of a[i] * b[i * stride + j] */
	void (*add)(const float *a, const float *b, size_t stride, uint32_t count, float *y);
	/* y[j] -= sum over the 8 of a[i] * b[i * stride + j] */
	void (*subtract)(const double *a, const double *b, size_t stride, uint32_t count,
			 double *y);
};

/* For the kernels that q35_kernels_get() chooses. */
const struct q35_loops *q35_loops_get(void);

#endif /* Q35_CALIBRATE_H */
