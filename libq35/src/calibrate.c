// SPDX-License-Identifier: MIT
#include "exact.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate.h"
#include "error.h"
#include "viterbi.h"

#define SIDE Q35_LOOP_SIDE
#define PANEL 32 /* columns that are eliminated at a time; a multiple of the 8 of q35_loops */
#define STRIP 16 /* rows of a thread's piece of work */
#define COLUMNS 512 /* of F that stay in the first-level cache while rows pass */
/*
 * An input that is worth this much less than its dearest neighbour in a tile is priced higher:
 * 16-bit costs would not tell its codes apart.
 */
#define ROOT_RATIO 16

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- Second moments ------------------------------------------------------------------------ */

int q35_calibration_create(uint32_t k, unsigned int threads, struct q35_calibration **cal)
{
	uint32_t max = 1u << Q35_DIM_ORDER_MAX;
	struct q35_calibration *c;
	int ret;

	if (!k || k > max)
		return q35_fail(NULL, -EINVAL, "%u inputs, not 1 to %u", k, max);
	c = calloc(1, sizeof(*c));
	if (c)
		c->moments = calloc((size_t)k * k, sizeof(*c->moments));
	if (!c || !c->moments) {
		free(c);
		return q35_fail(NULL, -ENOMEM, "no memory for the second moments of %u inputs", k);
	}
	ret = q35_pool_create(threads, &c->pool);
	if (ret) {
		q35_calibration_destroy(c);
		return q35_fail(NULL, ret, "cannot start %u threads", threads);
	}
	c->k = k;
	c->loops = q35_loops_get();
	*cal = c;
	return 0;
}

void q35_calibration_destroy(struct q35_calibration *c)
{
	if (!c)
		return;
	q35_pool_destroy(c->pool);
	free(c->moments);
	free(c->feedback);
	free(c->root);
	free(c);
}

double *q35_calibration_moments(struct q35_calibration *c)
{
	return c->moments;
}

struct addition {
	struct q35_calibration *calibration;
	const float *x; /* [m][k] */
	uint32_t m, sides; /* sides: squares of moments from side to side */
};

/* Rows m … of columns k … of x, zeros past its ends. */
static void copy_square(const struct addition *a, uint32_t m, uint32_t k, float out[SIDE][SIDE])
{
	uint32_t rows = min_u32(SIDE, a->m - m), columns = min_u32(SIDE, a->calibration->k - k), i;

	memset(out, 0, sizeof(*out) * SIDE);
	for (i = 0; i < rows; i++)
		memcpy(out[i], a->x + (size_t)(m + i) * a->calibration->k + k,
		       columns * sizeof(float));
}

/* Adds to the moments of inputs i … with inputs j …, a square of them. */
static void add_square(void *context, size_t index)
{
	const struct addition *a = context;
	const struct q35_calibration *c = a->calibration;
	uint32_t i = index / a->sides * SIDE, j = index % a->sides * SIDE, m, row, l;
	float left[SIDE][SIDE], right[SIDE][SIDE], sum[SIDE];
	double *to;

	if (j < i)
		return;
	for (m = 0; m < a->m; m += SIDE) {
		copy_square(a, m, i, left);
		copy_square(a, m, j, right);
		for (row = 0; row < min_u32(SIDE, c->k - i); row++) {
			c->loops->moments(left, right, row, sum);
			to = c->moments + (size_t)(i + row) * c->k + j;
			for (l = 0; l < min_u32(SIDE, c->k - j); l++)
				to[l] += sum[l];
		}
	}
}

int q35_calibration_add(struct q35_calibration *c, uint32_t m, const float *x)
{
	struct addition a = {c, x, m, q35_div_up(c->k, SIDE)};

	if (!c->moments)
		return q35_fail(NULL, -EBUSY, "the calibration is finished");
	q35_parallel(c->pool, (size_t)a.sides * a.sides, add_square, &a);
	return 0;
}

/* ---- Cholesky's decomposition, from the last column to the first -------------------------------- */

struct factor {
	struct q35_calibration *calibration;
	uint32_t first, count; /* columns of the panel */
	double *panel; /* [PANEL][k]: its rows above, transposed */
};

/* The square on the diagonal. Returns the column that is not positive, or k. */
static uint32_t factor_square(const struct factor *f)
{
	uint32_t k = f->calibration->k, i, j, l;
	double *h = f->calibration->moments, root;

	for (j = f->first + f->count; j-- > f->first;) {
		double *diagonal = &h[(size_t)j * k + j];

		if (!(*diagonal > 0 && *diagonal < INFINITY))
			return j;
		root = sqrt(*diagonal);
		*diagonal = root;
		for (i = f->first; i < j; i++)
			h[(size_t)i * k + j] /= root;
		for (i = f->first; i < j; i++)
			for (l = i; l < j; l++)
				h[(size_t)i * k + l] -= h[(size_t)i * k + j] * h[(size_t)l * k + j];
	}
	return k;
}

/* The panel's part of a strip of rows above the square. */
static void factor_rows(void *context, size_t index)
{
	const struct factor *f = context;
	uint32_t k = f->calibration->k, i, j, l;
	const double *h = f->calibration->moments;
	double *row, sum;

	for (i = index * STRIP; i < min_u32(f->first, (index + 1) * STRIP); i++) {
		row = f->calibration->moments + (size_t)i * k + f->first;
		for (j = f->count; j-- > 0;) {
			const double *other = h + (size_t)(f->first + j) * k + f->first;

			sum = row[j];
			for (l = j + 1; l < f->count; l++)
				sum -= row[l] * other[l];
			row[j] = sum / other[j];
			f->panel[(size_t)j * k + i] = row[j];
		}
	}
}

/* What the panel's columns take from the columns before it, in a strip of rows. */
static void subtract_panel(void *context, size_t index)
{
	const struct factor *f = context;
	const struct q35_calibration *c = f->calibration;
	double *row, a[PANEL];
	uint32_t i, j;

	for (i = index * STRIP; i < min_u32(f->first, (index + 1) * STRIP); i++) {
		row = c->moments + (size_t)i * c->k;
		memset(a, 0, sizeof(a));
		memcpy(a, row + f->first, f->count * sizeof(*a));
		for (j = 0; j < f->count; j += 8)
			c->loops->subtract(a + j, f->panel + (size_t)j * c->k + i, c->k,
					   f->first - i, row + i);
	}
}

static int factor(struct q35_calibration *c)
{
	struct factor f = {.calibration = c};
	uint32_t end = c->k, bad = c->k;

	f.panel = calloc((size_t)PANEL * c->k, sizeof(*f.panel));
	if (!f.panel)
		return q35_fail(NULL, -ENOMEM, "no memory to calibrate %u inputs", c->k);
	while (end && bad == c->k) {
		f.first = (end - 1) / PANEL * PANEL;
		f.count = end - f.first;
		bad = factor_square(&f);
		if (bad == c->k) {
			q35_parallel(c->pool, q35_div_up(f.first, STRIP), factor_rows, &f);
			q35_parallel(c->pool, q35_div_up(f.first, STRIP), subtract_panel, &f);
		}
		end = f.first;
	}
	free(f.panel);
	if (bad != c->k)
		return q35_fail(NULL, -EDOM,
				"the second moments are not positive definite at input %u", bad);
	return 0;
}

/* ---- Finishing ----------------------------------------------------------------------------- */

/* Scales the moments to a mean square of 1 and adds damping to each input's. */
static int damp(struct q35_calibration *c, double damping)
{
	double mean = 0, d;
	size_t i;

	for (i = 0; i < c->k; i++) {
		d = c->moments[i * c->k + i];
		if (!(d >= 0 && d < INFINITY))
			return q35_fail(NULL, -EDOM, "the mean square of input %zu is %g", i, d);
		mean += d / c->k;
	}
	if (!(mean > 0))
		return q35_fail(NULL, -EDOM, "there were no inputs but zeros");
	for (i = 0; i < (size_t)c->k * c->k; i++)
		c->moments[i] /= mean;
	for (i = 0; i < c->k; i++)
		c->moments[i * c->k + i] += damping;
	return 0;
}

static void set_roots(struct q35_calibration *c)
{
	uint32_t k, j, count;
	double most, r;

	for (k = 0; k < c->k; k += Q35_TILE_K) {
		count = min_u32(Q35_TILE_K, c->k - k);
		most = 0;
		for (j = k; j < k + count; j++)
			most = fmax(most, c->moments[(size_t)j * c->k + j]);
		for (j = k; j < k + count; j++) {
			r = c->moments[(size_t)j * c->k + j] / most;
			c->root[j] = (float)fmax(r, 1.0 / ROOT_RATIO) * Q35_ROOT_MAX;
		}
	}
}

static void set_feedback(struct q35_calibration *c)
{
	size_t i, j;

	for (i = 0; i < c->k; i++)
		for (j = i + 1; j < c->k; j++)
			c->feedback[i * c->k + j] =
				(float)(c->moments[i * c->k + j] / c->moments[j * c->k + j]);
}

int q35_calibration_finish(struct q35_calibration *c, double damping)
{
	int ret;

	if (!c->moments)
		return q35_fail(NULL, -EBUSY, "the calibration is finished");
	if (!(damping >= 0 && damping < INFINITY))
		return q35_fail(NULL, -EINVAL, "damping of %g", damping);
	ret = damp(c, damping);
	if (!ret)
		ret = factor(c);
	if (ret)
		return ret;
	c->feedback = calloc((size_t)c->k * c->k, sizeof(*c->feedback));
	c->root = calloc((size_t)q35_div_up(c->k, Q35_TILE_K) * Q35_TILE_K, sizeof(*c->root));
	if (!c->feedback || !c->root)
		return q35_fail(NULL, -ENOMEM, "no memory to calibrate %u inputs", c->k);
	set_roots(c);
	set_feedback(c);
	free(c->moments);
	c->moments = NULL;
	return 0;
}

/* ---- Use ----------------------------------------------------------------------------------- */

void q35_feed_back(const struct q35_calibration *c, uint32_t k, uint32_t rows,
		   const float error[][Q35_TILE_K], float *target)
{
	uint32_t j, row, count;

	for (j = k + Q35_TILE_K; j < c->k; j += count) {
		count = min_u32(COLUMNS, c->k - j);
		for (row = 0; row < rows; row++)
			c->loops->add(error[row], c->feedback + (size_t)k * c->k + j, c->k, count,
				      target + (size_t)row * c->k + j);
	}
}
