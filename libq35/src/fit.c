// SPDX-License-Identifier: MIT
#include "exact.h"

#ifndef __clang__
#pragma GCC optimize("no-trapping-math") /* changes no result; min and max vectorize */
#endif

#include <errno.h>
#include <string.h>

#include "fit.h"
#include "kernels.h"

#define F16_MAX 65504.0f
#define F16_COARSE 0x1p-20f /* less has fewer than 5 significant bits */
#define F16_MIN 0x1p-24f

#define BINS 128 /* of the histogram that stands for more weights than that */

/* Sums run in so many interleaved parts, which vectorizes and is as good an order as any. */
#define LANES 16

/*
 * Scales are tried from 4 times the one that reaches the outermost weight downwards, so many
 * factors of sqrt(2), then on both sides of the best.
 */
#define COARSE 18
static const float fine[] = {1.1892f, 1.0905f, 1.0443f, 1.0219f}; /* 2^(1/4) … 2^(1/32) */

/* Fitted as is said at trellis_error(). */
static const struct q35_fit_trellis trellis[] = {
	[Q35_T8] = {1.72f, 116}, [Q35_T7] = {1.80f, 118}, [Q35_T6] = {1.90f, 107},
	[Q35_T5] = {2.05f, 100}, [Q35_T4] = {2.24f, 96},
};

/* The weights' distances from zero, each count[i] times. */
struct sample {
	uint32_t size; /* the rest is 0 */
	float distance[BINS], count[BINS];
	double total;
};

static float abs_float(float x)
{
	return x < 0 ? -x : x;
}

static float min_float(float a, float b)
{
	return a < b ? a : b;
}

static float max_float(float a, float b)
{
	return a > b ? a : b;
}

static float to_f16(double x)
{
	return q35_f16_to_f32(q35_f32_to_f16(x > F16_MAX ? F16_MAX : x < -F16_MAX ? -F16_MAX : x));
}

static int square(int x)
{
	return x * x;
}

/* Of the nearest of levels. */
static int nearest_error(const int8_t *level, unsigned int levels, int u)
{
	int best = square(u - level[0]);
	unsigned int i;

	for (i = 1; i < levels; i++)
		if (square(u - level[i]) < best)
			best = square(u - level[i]);
	return best;
}

static int is_trellis(const struct q35_fit *fit)
{
	return fit->format != Q35_S_MINMAX && fit->format != Q35_S_LLOYD;
}

static void fill_errors(struct q35_fit *fit, const int8_t *codebook)
{
	int u;

	for (u = 0; u < Q35_FIT_CODES; u++)
		fit->error[u] =
			(nearest_error(codebook, 1 << Q35_EVEN_BITS, u) +
			 nearest_error(codebook + (1 << Q35_WINDOW_BITS), 1 << Q35_ODD_BITS, u)) *
			0.5f;
}

/* e^x to about 1e-5, without the libm whose results differ from processor to processor. */
static double exponential(double x)
{
	double e = 1 + x / 1024 * (1 + x / 2048);
	int i;

	for (i = 0; i < 10; i++)
		e *= e;
	return e;
}

void q35_fit_init(struct q35_fit *fit, enum q35_format format, const struct q35_weights *w)
{
	unsigned int i;

	memset(fit, 0, sizeof(*fit));
	fit->format = format;
	fit->has_zero = w->meta_flags & Q35_META_ZERO;
	for (i = 0; i < Q35_CODEBOOK_SIZE; i++)
		if (fit->max_code < w->codebook[i] || fit->max_code < -w->codebook[i])
			fit->max_code = w->codebook[i] < 0 ? -w->codebook[i] : w->codebook[i];
	/* Its scale may be negative, which a multiplied one cannot. */
	if (w->codebook[0] == w->codebook[1 << Q35_WINDOW_BITS] &&
	    !(w->meta_flags & Q35_META_MULTIPLIER))
		fit->constant_code = w->codebook[0];
	if (is_trellis(fit))
		fit->trellis = trellis[format];
	else
		fill_errors(fit, w->codebook);
}

static void take_sample(const float *weight, uint32_t count, float zero, float max,
			struct sample *s)
{
	uint32_t tally[LANES][BINS] = {0}, i, j, l, part;
	float per_bin = BINS / max, d;
	uint8_t bin[BINS];

	memset(s, 0, sizeof(*s));
	s->total = count;
	if (count <= BINS) {
		s->size = count;
		for (i = 0; i < count; i++) {
			s->distance[i] = abs_float(weight[i] - zero);
			s->count[i] = 1;
		}
		return;
	}
	s->size = BINS;
	for (i = 0; i < count; i += part) {
		part = count - i < BINS ? count - i : BINS;
		for (j = 0; j < part; j++) {
			/* The last one too for a NaN, of 0 times infinity if all weights are equal. */
			d = min_float(abs_float(weight[i + j] - zero) * per_bin, BINS - 1);
			bin[j] = (int32_t)d;
		}
		/* Neighbours in different tallies, for the same one would wait for the other. */
		for (j = 0; j < part; j++)
			tally[j % LANES][bin[j]]++;
	}
	for (i = 0; i < BINS; i++) {
		s->distance[i] = (i + 0.5f) * (max / BINS);
		for (l = 0; l < LANES; l++)
			s->count[i] += tally[l][i];
	}
}

static double scalar_error(const struct q35_fit *fit, const struct sample *s, float scale)
{
	double sum = 0, far;
	float codes;
	uint32_t i, u;

	for (i = 0; i < s->size; i++) {
		codes = s->distance[i] / scale + 0.5f;
		u = codes < Q35_FIT_CODES ? (uint32_t)codes : Q35_FIT_CODES - 1;
		far = codes < Q35_FIT_CODES ? 1 : codes / Q35_FIT_CODES;
		sum += s->count[i] * (double)fit->error[u] * (far * far);
	}
	return sum / s->total;
}

/*
 * A trellis spreads the error over neighbours: where its levels are sparse it pays with what it
 * saves elsewhere, so that all weights end up with the geometric mean of what each would have had;
 * what lies beyond the codes' range it must bear alone. The constants are a fit to measured errors,
 * within a fifth for normal and uniform weights at scales from 0.6 to 1.9 times the best; of Laplace and
 * Student-t(5) ones far beyond the codes' range it expects up to 1.4 times what they have.
 */
static double trellis_error(const struct q35_fit *fit, const struct sample *s, float scale)
{
	float own[BINS], shared[BINS], per_scale = 1 / scale, reach = fit->trellis.reach;
	float codes, inside, beyond;
	uint32_t i, half;

	for (i = 0; i < BINS; i++) {
		codes = s->distance[i] * per_scale;
		inside = min_float(codes, reach);
		inside *= inside;
		beyond = max_float(codes - reach, 0);
		shared[i] = s->count[i] * (inside * (5.8e-4f + inside * 1.76e-8f));
		own[i] = s->count[i] * (beyond * beyond);
	}
	for (half = BINS / 2; half > 0; half /= 2) {
		for (i = 0; i < half; i++) {
			shared[i] += shared[half + i];
			own[i] += own[half + i];
		}
	}
	return 1.54 * own[0] / s->total +
	       exponential(fit->trellis.log_error + shared[0] / s->total);
}

/* Mean square error to expect. */
static double expected_error(const struct q35_fit *fit, const struct sample *s, float scale)
{
	double mse = is_trellis(fit) ? trellis_error(fit, s, scale) : scalar_error(fit, s, scale);

	return mse * ((double)scale * scale);
}

static void try_scale(const struct q35_fit *fit, const struct sample *s, double candidate,
		      double *error, float *scale)
{
	float c = max_float(to_f16(candidate), F16_MIN);
	double e = expected_error(fit, s, c);

	if (e < *error) {
		*error = e;
		*scale = c;
	}
}

static float best_scale(const struct q35_fit *fit, const struct sample *s, float reach)
{
	double error = 0, candidate = 4.0 * reach;
	float scale = 0, best;
	uint32_t i;

	for (i = 0; i < s->size; i++) /* the error of scale 0 */
		error += s->count[i] * ((double)s->distance[i] * s->distance[i]);
	error /= s->total;
	for (i = 0; i < COARSE; i++, candidate *= 0.70710678)
		try_scale(fit, s, candidate, &error, &scale);
	for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		best = scale;
		try_scale(fit, s, best * fine[i], &error, &scale);
		try_scale(fit, s, best / fine[i], &error, &scale);
	}
	return scale;
}

static void find_range(const float *weight, uint32_t count, float *min, float *max)
{
	float low[LANES], high[LANES];
	uint32_t i, l;

	for (l = 0; l < LANES; l++)
		low[l] = high[l] = weight[0];
	for (i = 0; i + LANES <= count; i += LANES) {
#pragma GCC unroll 1
		for (l = 0; l < LANES; l++) {
			low[l] = min_float(low[l], weight[i + l]);
			high[l] = max_float(high[l], weight[i + l]);
		}
	}
	for (; i < count; i++) {
		low[0] = min_float(low[0], weight[i]);
		high[0] = max_float(high[0], weight[i]);
	}
	for (l = 1; l < LANES; l++) {
		low[0] = min_float(low[0], low[l]);
		high[0] = max_float(high[0], high[l]);
	}
	*min = low[0];
	*max = high[0];
}

static double mean_of(const float *weight, uint32_t count)
{
	double sum[LANES] = {0};
	uint32_t i, l;

	for (i = 0; i + LANES <= count; i += LANES)
#pragma GCC unroll 1
		for (l = 0; l < LANES; l++)
			sum[l] += weight[i + l];
	for (; i < count; i++)
		sum[0] += weight[i];
	for (l = 1; l < LANES; l++)
		sum[0] += sum[l];
	return sum[0] / count;
}

int q35_fit(const struct q35_fit *fit, const float *weight, uint32_t count, float *scale,
	    float *zero)
{
	float min, max, reach, far;
	struct sample sample;

	find_range(weight, count, &min, &max);
	*zero = 0;
	if (fit->has_zero)
		*zero = to_f16(fit->format == Q35_S_MINMAX ? ((double)min + max) / 2
							   : mean_of(weight, count));
	far = max_float(abs_float(max - *zero), abs_float(min - *zero));
	reach = far / fit->max_code;
	if (!(reach <= F16_MAX))
		return -ERANGE;
	if (fit->format == Q35_S_MINMAX) {
		/* Too wide a grid is better than none, as long as the weights span a step of it. */
		*scale = to_f16(reach >= F16_MIN / 8 && reach < F16_MIN ? F16_MIN : reach);
	} else if (min == max && fit->constant_code && reach >= F16_COARSE) {
		*scale = to_f16((max - *zero) / fit->constant_code);
	} else {
		take_sample(weight, count, *zero, far, &sample);
		*scale = best_scale(fit, &sample, reach);
	}
	return 0;
}

/* Sums over weights w and codes c; those of codes alone are exact. */
struct moments {
	double w, wc;
	int64_t c, cc;
};

static struct moments take_moments(const float *weight, const int8_t *code, uint32_t count)
{
	double w[LANES] = {0}, wc[LANES] = {0};
	struct moments m = {0};
	uint32_t i, l;

	for (i = 0; i < count; i++) {
		m.c += code[i];
		m.cc += code[i] * code[i];
	}
	for (i = 0; i + LANES <= count; i += LANES) {
#pragma GCC unroll 1
		for (l = 0; l < LANES; l++) {
			w[l] += weight[i + l];
			wc[l] += (double)weight[i + l] * code[i + l];
		}
	}
	for (; i < count; i++) {
		w[0] += weight[i];
		wc[0] += (double)weight[i] * code[i];
	}
	for (l = 0; l < LANES; l++) {
		m.w += w[l];
		m.wc += wc[l];
	}
	return m;
}

/* How much worse than the best scale and zero-point those are that differ from it so much. */
static double excess(const struct moments *m, uint32_t count, double scale, double zero)
{
	return scale * scale * m->cc + 2 * scale * zero * m->c + zero * zero * count;
}

/* So many times the way from one to the other, but not beyond half or twice the latter. */
static double overshoot(double from, double to, uint32_t times)
{
	double far = from + times * (to - from);

	if (abs_float(far / to - 1.25) < 0.75)
		return far;
	return to;
}

void q35_refit(const struct q35_fit *fit, const float *weight, const int8_t *code, uint32_t count,
	       uint32_t times, float *scale, float *zero)
{
	double best_scale, best_zero = 0, determinant;
	struct moments m;
	float s, z = 0;

	if (fit->format == Q35_S_MINMAX)
		return;
	m = take_moments(weight, code, count);
	if (fit->has_zero) {
		determinant = (double)m.cc * count - (double)m.c * m.c;
		if (determinant <= 0) /* all codes are equal */
			return;
		best_scale = (m.wc * count - m.w * m.c) / determinant;
		best_zero = (m.w - best_scale * m.c) / count;
		z = to_f16(best_zero);
	} else {
		if (!m.cc)
			return;
		best_scale = m.wc / m.cc;
	}
	s = to_f16(best_scale);
	if (excess(&m, count, s - best_scale, z - best_zero) <
	    excess(&m, count, *scale - best_scale, *zero - best_zero)) {
		*scale = to_f16(overshoot(*scale, s, times));
		*zero = z;
	}
}
