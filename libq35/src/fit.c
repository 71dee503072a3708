// SPDX-License-Identifier: MIT
#include "exact.h"

#include <errno.h>
#include <string.h>

#include "fit.h"
#include "kernels.h"

#define F16_MAX 65504.0f
#define F16_COARSE 0x1p-20f /* less has fewer than 5 significant bits */
#define F16_MIN 0x1p-24f

#define BINS 128 /* of the histogram that stands for more weights than that */

/* Sums run in so many interleaved parts, which vectorizes and is as good an order as any. */
#define LANES 8

/*
 * Scales are tried from 4 times the one that reaches the outermost weight downwards, so many
 * factors of sqrt(2), then on both sides of the best.
 */
#define COARSE 18
static const float fine[] = {1.1892f, 1.0905f, 1.0443f, 1.0219f}; /* 2^(1/4) … 2^(1/32) */

/* The weights' distances from zero, each count[i] times. */
struct sample {
	uint32_t size;
	float distance[BINS];
	uint32_t count[BINS];
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

/*
 * A scalar format's error is that of the nearest level. A trellis spreads the error over
 * neighbours: where its levels are sparse it pays with what it saves elsewhere, so that all
 * weights end up with the geometric mean of what each would have had; what lies beyond the codes'
 * range it must bear alone. The constants are a fit, within 3 % of the measured error of the T8
 * codebook for normal, Laplace, Student-t(5) and uniform weights at scales from 0.6 to 1.9 times the
 * best.
 */
static void fill_errors(struct q35_fit *fit, const int8_t *codebook)
{
	float inside, beyond;
	int u;

	for (u = 0; u < Q35_FIT_CODES; u++) {
		if (fit->format != Q35_T8) {
			fit->error[u] = (nearest_error(codebook, 1 << Q35_EVEN_BITS, u) +
					 nearest_error(codebook + (1 << Q35_WINDOW_BITS),
						       1 << Q35_ODD_BITS, u)) *
					0.5f;
			continue;
		}
		inside = u < 121 ? u * u : 121 * 121;
		beyond = u > 121 ? u - 121 : 0;
		fit->log_shared[u] = 1.736f + inside * (5.8e-4f + inside * 1.76e-8f);
		fit->error[u] = 1.54f * beyond * beyond;
	}
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
	fill_errors(fit, w->codebook);
}

static void take_sample(const float *weight, uint32_t count, float zero, float max,
			struct sample *s)
{
	float per_bin = BINS / max, d;
	uint32_t i, bin;

	memset(s, 0, sizeof(*s));
	if (count <= BINS) {
		s->size = count;
		for (i = 0; i < count; i++) {
			s->distance[i] = abs_float(weight[i] - zero);
			s->count[i] = 1;
		}
		return;
	}
	s->size = BINS;
	for (i = 0; i < BINS; i++)
		s->distance[i] = (i + 0.5f) * (max / BINS);
	for (i = 0; i < count; i++) {
		d = abs_float(weight[i] - zero) * per_bin;
		bin = d < BINS - 1 ? (uint32_t)d : BINS - 1; /* max may be subnormal, or 0 */
		s->count[bin]++;
	}
}

/* Mean square error to expect. */
static double expected_error(const struct q35_fit *fit, const struct sample *s, float scale)
{
	double own = 0, log_shared = 0, mse, far;
	uint32_t i, u, total = 0;
	float codes;

	for (i = 0; i < s->size; i++) {
		codes = s->distance[i] / scale + 0.5f;
		u = codes < Q35_FIT_CODES ? (uint32_t)codes : Q35_FIT_CODES - 1;
		far = codes < Q35_FIT_CODES ? 1 : codes / Q35_FIT_CODES;
		own += s->count[i] * (double)fit->error[u] * (far * far);
		log_shared += s->count[i] * (double)fit->log_shared[u];
		total += s->count[i];
	}
	mse = own / total;
	if (fit->format == Q35_T8)
		mse += exponential(log_shared / total);
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
	uint32_t i, total = 0;

	for (i = 0; i < s->size; i++) { /* the error of scale 0 */
		error += s->count[i] * ((double)s->distance[i] * s->distance[i]);
		total += s->count[i];
	}
	error /= total;
	for (i = 0; i < COARSE; i++, candidate *= 0.70710678)
		try_scale(fit, s, candidate, &error, &scale);
	for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		best = scale;
		try_scale(fit, s, best * fine[i], &error, &scale);
		try_scale(fit, s, best / fine[i], &error, &scale);
	}
	return scale;
}

/* Least and greatest weight, and the mean. */
static void survey(const float *weight, uint32_t count, float *min, float *max, double *mean)
{
	float low[LANES], high[LANES];
	double sum[LANES] = {0};
	uint32_t i, l;

	for (l = 0; l < LANES; l++)
		low[l] = high[l] = weight[0];
	for (i = 0; i + LANES <= count; i += LANES) {
		for (l = 0; l < LANES; l++) {
			low[l] = min_float(low[l], weight[i + l]);
			high[l] = max_float(high[l], weight[i + l]);
			sum[l] += weight[i + l];
		}
	}
	for (; i < count; i++) {
		low[0] = min_float(low[0], weight[i]);
		high[0] = max_float(high[0], weight[i]);
		sum[0] += weight[i];
	}
	for (l = 1; l < LANES; l++) {
		low[0] = min_float(low[0], low[l]);
		high[0] = max_float(high[0], high[l]);
		sum[0] += sum[l];
	}
	*min = low[0];
	*max = high[0];
	*mean = sum[0] / count;
}

int q35_fit(const struct q35_fit *fit, const float *weight, uint32_t count, float *scale,
	    float *zero)
{
	float min, max, reach, far;
	struct sample sample;
	double mean;

	survey(weight, count, &min, &max, &mean);
	*zero = 0;
	if (fit->has_zero)
		*zero = to_f16(fit->format == Q35_S_MINMAX ? ((double)min + max) / 2 : mean);
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

void q35_refit(const struct q35_fit *fit, const float *weight, const int8_t *code, uint32_t count,
	       float *scale, float *zero)
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
		*scale = s;
		*zero = z;
	}
}
