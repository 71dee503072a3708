// SPDX-License-Identifier: MIT
#include "int4_quality.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

#define GROUP 128
#define F16_BITS 16
#define SAMPLE_ROWS 64 /* that levels are fitted to */
#define FIT_ROUNDS 60
#define SCALE_ROUNDS 8

static const struct {
	const char *name;
	int numbers; /* fp16 a row, or of INT4_G128 a group */
} kinds[INT4_KINDS] = {
	[INT4_ABSMAX] = {"INT4 absmax, per column", 1},
	[INT4_MINMAX] = {"INT4 min-max asymmetric, per column", 2},
	[INT4_CLIPPED] = {"INT4 MSE-clipped, per column", 2},
	[INT4_LLOYD] = {"INT4 Lloyd-Max, per column", 1},
	[INT4_G128] = {"INT4 min-max asymmetric, groups of 128", 2},
};

const char *int4_name(enum int4_kind kind)
{
	return kinds[kind].name;
}

double int4_bits(enum int4_kind kind, size_t n, size_t k)
{
	size_t groups = kind == INT4_G128 ? (k + GROUP - 1) / GROUP : 1;
	double bits = 4.0 * (double)(n * k) + (double)(n * groups) * kinds[kind].numbers * F16_BITS;

	return kind == INT4_LLOYD ? bits + INT4_LEVELS * F16_BITS : bits;
}

static float to_f16(double x)
{
	return q35_f16_to_f32(q35_f32_to_f16((float)x));
}

/* Of codes low … high, a code standing for zero + scale * code. out NULL: the error alone. */
static double grid_error(const float *row, size_t k, float scale, float zero, float low, float high,
			 float *out)
{
	float per_weight = scale > 0 ? 1 / scale : 0, code, error;
	double sum = 0;
	size_t i;

	for (i = 0; i < k; i++) {
		code = rintf((row[i] - zero) * per_weight);
		code = code < low ? low : code > high ? high : code;
		error = row[i] - (zero + scale * code);
		sum += (double)error * error;
		if (out)
			out[i] = zero + scale * code;
	}
	return sum;
}

static void range(const float *row, size_t k, float *min, float *max)
{
	size_t i;

	*min = *max = row[0];
	for (i = 1; i < k; i++) {
		*min = row[i] < *min ? row[i] : *min;
		*max = row[i] > *max ? row[i] : *max;
	}
}

static double absmax_error(const float *row, size_t k, float *out)
{
	float min, max;

	range(row, k, &min, &max);
	return grid_error(row, k, to_f16(fmaxf(-min, max) / 7), 0, -7, 7, out);
}

static double minmax_error(const float *row, size_t k, float *out)
{
	float min, max;

	range(row, k, &min, &max);
	return grid_error(row, k, to_f16(((double)max - min) / 15), to_f16(min), 0, 15, out);
}

static double mean(const float *row, size_t k)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < k; i++)
		sum += row[i];
	return sum / (double)k;
}

/* Tries distances from that of min-max down to a 10th, 4 % apart, then finer round the best. */
static double clipped_error(const float *row, size_t k, float *out)
{
	float min, max, scale, center = (float)mean(row, k), best, coarse;
	double error, least = INFINITY;
	int i;

	range(row, k, &min, &max);
	scale = best = fmaxf(max - center, center - min) * 2 / 15;
	for (i = 0; i < 60; i++, scale *= 0.9615f) {
		error = grid_error(row, k, to_f16(scale), to_f16(center - 7.5 * scale), 0, 15,
				   NULL);
		if (error < least) {
			least = error;
			best = scale;
		}
	}
	coarse = best;
	for (i = -6; i <= 6; i++) {
		scale = coarse * (1 + 0.006f * (float)i);
		error = grid_error(row, k, to_f16(scale), to_f16(center - 7.5 * scale), 0, 15,
				   NULL);
		if (error < least) {
			least = error;
			best = scale;
		}
	}
	return grid_error(row, k, to_f16(best), to_f16(center - 7.5 * best), 0, 15, out);
}

static double grouped_error(const float *row, size_t k, float *out)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < k; i += GROUP)
		sum += minmax_error(row + i, k - i < GROUP ? k - i : GROUP, out ? out + i : NULL);
	return sum;
}

/* Of rising levels. */
static int nearest(const float *levels, float x)
{
	int i, code = 0;

	for (i = 0; i < INT4_LEVELS - 1; i++)
		code += 2 * x > levels[i] + levels[i + 1];
	return code;
}

static double deviation(const float *row, size_t k)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < k; i++)
		sum += (double)row[i] * row[i];
	return sqrt(sum / (double)k);
}

/* Alternates between the best codes for the scale and the best scale for the codes. */
static double levels_error(const float *row, size_t k, const float *levels, float *out)
{
	float scale = to_f16(deviation(row, k)), level, error;
	double wl, ll, sum = 0;
	size_t i;
	int round;

	for (round = 0; round < SCALE_ROUNDS && scale > 0; round++) {
		wl = ll = 0;
		for (i = 0; i < k; i++) {
			level = levels[nearest(levels, row[i] / scale)];
			wl += (double)row[i] * level;
			ll += (double)level * level;
		}
		scale = ll > 0 ? to_f16(wl / ll) : 0;
	}
	for (i = 0; i < k; i++) {
		level = scale > 0 ? levels[nearest(levels, row[i] / scale)] : 0;
		error = row[i] - scale * level;
		sum += (double)error * error;
		if (out)
			out[i] = scale * level;
	}
	return sum;
}

double int4_error(enum int4_kind kind, const float *row, size_t k, const float levels[INT4_LEVELS],
		  float *out)
{
	switch (kind) {
	case INT4_ABSMAX:
		return absmax_error(row, k, out);
	case INT4_MINMAX:
		return minmax_error(row, k, out);
	case INT4_CLIPPED:
		return clipped_error(row, k, out);
	case INT4_LLOYD:
		return levels_error(row, k, levels, out);
	default:
		return grouped_error(row, k, out);
	}
}

void int4_fit_levels(const float *w, size_t n, size_t k, float levels[INT4_LEVELS])
{
	size_t rows = n < SAMPLE_ROWS ? n : SAMPLE_ROWS, r, i, count[INT4_LEVELS];
	double sum[INT4_LEVELS], scale;
	const float *row;
	int round, l;

	for (l = 0; l < INT4_LEVELS; l++)
		levels[l] = 0.35f * ((float)l - 7.5f);
	for (round = 0; round < FIT_ROUNDS; round++) {
		memset(sum, 0, sizeof(sum));
		memset(count, 0, sizeof(count));
		for (r = 0; r < rows; r++) {
			row = w + n * r / rows * k;
			scale = deviation(row, k);
			for (i = 0; i < k && scale > 0; i++) {
				l = nearest(levels, (float)(row[i] / scale));
				sum[l] += row[i] / scale;
				count[l]++;
			}
		}
		for (l = 0; l < INT4_LEVELS; l++)
			if (count[l])
				levels[l] = (float)(sum[l] / (double)count[l]);
	}
	for (l = 0; l < INT4_LEVELS; l++)
		levels[l] = to_f16(levels[l]);
}
