// SPDX-License-Identifier: MIT
/*
 * Quantization: 64 rows at a time, by as many threads as there are buffers for. Rows are read in
 * order under a lock; what a thread makes of them depends on nothing else.
 */
#include "exact.h"

#ifndef __clang__
#pragma GCC optimize("no-trapping-math") /* changes no result; min and max vectorize */
#endif

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate.h"
#include "decode.h"
#include "error.h"
#include "fit.h"
#include "kernels.h"
#include "q35.h"
#include "threads.h"
#include "viterbi.h"

/*
 * With the scale that is best for its codes a group is encoded better still. A group of 128 gains
 * 1.8 % by four passes, a column of 4096, whose scale was good from the beginning, 0.1 %.
 */
#define GROUP_PASSES 4

struct row_scales { /* of a row in a group */
	float scale, zero;
};

/* One thread's memory. */
struct workspace {
	float *rows; /* [64][k] */
	float *targets; /* [64][k], if there is a calibration: what rows are to become */
	int8_t *codes; /* [64][k] */
	struct row_scales *scales; /* [64][groups] */
};

struct strip { /* of 16 rows, one tile high */
	uint32_t n, count; /* its first row, how many there are */
	const float *rows; /* [count][k] */
	int8_t *codes; /* [count][k] */
	struct row_scales *scales; /* [count][groups] */
	uint8_t *tiles; /* of its first inputs; the next are Q35_BLOCK_BYTES further */
};

struct quantizer {
	const struct q35_quantize_options *options;
	const struct q35_weights *w;
	const struct q35_calibration *calibration; /* or NULL */
	uint8_t *tiles, *meta;
	uint32_t groups, group; /* group: inputs in one */
	uint32_t blocks;
	struct q35_fit fit;
	struct q35_trellis trellis;
	struct workspace *workspace;
	struct q35_quantize_stats *stats; /* [blocks], added up in order at the end */

	pthread_mutex_t lock; /* protects what follows, and the calls of read and progress */
	uint32_t next_block;
	uint32_t rows_done;
	int error;
	uint32_t bad_row, bad_column; /* the first row in error, if error is EDOM or ERANGE */
};

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static int is_finite(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	return (u & 0x7f800000) != 0x7f800000;
}

/* Threads fail in any order; the lowest row is the one to report. */
static void fail(struct quantizer *q, int error, uint32_t row, uint32_t column)
{
	pthread_mutex_lock(&q->lock);
	if (!q->error || row < q->bad_row) {
		q->error = error;
		q->bad_row = row;
		q->bad_column = column;
	}
	pthread_mutex_unlock(&q->lock);
}

static int check_finite(struct quantizer *q, const float *rows, uint32_t row, uint32_t count)
{
	uint32_t k = q->w->k, i, j;

	for (i = 0; i < count; i++) {
		for (j = 0; j < k; j++) {
			if (!is_finite(rows[(size_t)i * k + j])) {
				fail(q, -EDOM, row + i, j);
				return 0;
			}
		}
	}
	return 1;
}

static void put_f16(uint8_t *at, size_t index, float value)
{
	uint16_t h = q35_f32_to_f16(value);

	memcpy(at + index * sizeof(h), &h, sizeof(h));
}

/* Writes a row's scales to meta in the form it has, and leaves in s what they read back as. */
static void store_scales(const struct quantizer *q, uint32_t n, struct row_scales *s)
{
	size_t row = (size_t)q35_div_up(q->w->n, Q35_BLOCK_N) * Q35_BLOCK_N;
	int multiplier = q->w->meta_flags & Q35_META_MULTIPLIER;
	uint8_t *zeros = q->meta + (multiplier ? 2 : 2 * q->groups) * row +
			 (multiplier ? q->groups * row : 0);
	float column = 0, m;
	uint32_t g;

	if (multiplier) {
		for (g = 0; g < q->groups; g++)
			column = s[g].scale > column ? s[g].scale : column;
		put_f16(q->meta, n, column / 255);
		column = q35_meta_f16(q->meta, n);
	}
	for (g = 0; g < q->groups; g++) {
		if (multiplier) {
			m = column > 0 ? s[g].scale / column + 0.5f : 0;
			q->meta[2 * row + g * row + n] = m < 0 ? 0 : m < 255 ? m : 255;
		} else {
			put_f16(q->meta, g * row + n, s[g].scale);
		}
		s[g].scale = q35_meta_scale(q->meta, q->w->meta_flags, q->w->n, n, g);
		if (q->w->meta_flags & Q35_META_ZERO)
			put_f16(zeros, g * row + n, s[g].zero);
	}
}

/* Rounded by adding what leaves no place for a fraction, which vectorizes. */
static int16_t target_of(float weight, float zero, float per_weight)
{
	const float round = 0x1.8p23f;
	float t = (weight - zero) * per_weight;
	int32_t bits, base;

	t = t < 32767 ? t : 32767;
	t = t > -32767 ? t : -32767;
	t += round;
	memcpy(&bits, &t, sizeof(bits));
	memcpy(&base, &round, sizeof(base));
	return (int16_t)(bits - base);
}

/* Targets of inputs k … k + 7 of the strip's rows; none from column q->w->k on. */
static void set_targets(const struct quantizer *q, const struct strip *strip, uint32_t k,
			int16_t target[Q35_TILE_WEIGHTS])
{
	uint32_t width = k < q->w->k ? min_u32(Q35_TILE_K, q->w->k - k) : 0, i, j;
	const struct row_scales *s;
	const float *weight;
	float per_weight;

	if (strip->count < Q35_TILE_N || width < Q35_TILE_K)
		for (i = 0; i < Q35_TILE_WEIGHTS; i++)
			target[i] = Q35_TARGET_ANY;
	for (i = 0; width && i < strip->count; i++, target += Q35_TILE_K) {
		weight = strip->rows + (size_t)i * q->w->k + k;
		s = &strip->scales[i * q->groups + k / q->group];
		per_weight = s->scale == 0 ? 0 : Q35_TARGET_ONE / s->scale;
		if (width == Q35_TILE_K) /* a constant, which vectorizes */
			for (j = 0; j < Q35_TILE_K; j++)
				target[j] = target_of(weight[j], s->zero, per_weight);
		else
			for (j = 0; j < width; j++)
				target[j] = target_of(weight[j], s->zero, per_weight);
	}
}

static void put_codes(const struct quantizer *q, const struct strip *strip, uint32_t k,
		      const int8_t code[Q35_TILE_WEIGHTS])
{
	uint32_t width = min_u32(Q35_TILE_K, q->w->k - k), i;

	for (i = 0; i < strip->count; i++)
		memcpy(&strip->codes[(size_t)i * q->w->k + k], &code[i * Q35_TILE_K], width);
}

/* Encodes the tiles of inputs k … k + 15 of the strip's rows, and puts what they decode to into codes. */
static void encode_tiles(const struct quantizer *q, const struct strip *strip, uint32_t k)
{
	uint8_t *tile = strip->tiles + (size_t)(k / Q35_TILE_K) * Q35_BLOCK_BYTES;
	uint8_t unused[Q35_TILE_BYTES], *tiles[Q35_PAIR] = {tile, tile + Q35_BLOCK_BYTES};
	int16_t target[Q35_PAIR][Q35_TILE_WEIGHTS];
	int8_t code[Q35_PAIR][Q35_TILE_WEIGHTS];
	uint32_t t;

	if (q->w->k - k <= Q35_TILE_K)
		tiles[1] = unused;
	for (t = 0; t < Q35_PAIR; t++)
		set_targets(q, strip, k + t * Q35_TILE_K, target[t]);
	q35_trellis_encode(&q->trellis, target, tiles, code);
	for (t = 0; t < Q35_PAIR && k < q->w->k; t++, k += Q35_TILE_K)
		put_codes(q, strip, k, code[t]);
}

static int fit_row(struct quantizer *q, const float *row, uint32_t n, struct row_scales *s)
{
	uint32_t k = q->w->k, g, k0;

	for (g = 0; g < q->groups; g++) {
		k0 = g * q->group;
		if (q35_fit(&q->fit, row + k0, min_u32(q->group, k - k0), &s[g].scale,
			    &s[g].zero)) {
			fail(q, -ERANGE, n, k0);
			return 0;
		}
	}
	store_scales(q, n, s);
	return 1;
}

#define LANES 16

/* Sums run in interleaved parts, which vectorizes and is as good an order as any. */
static void add_stats(const float *weight, const int8_t *code, uint32_t count,
		      const struct row_scales *s, struct q35_quantize_stats *stats)
{
	double sum[LANES] = {0}, squares[LANES] = {0}, errors[LANES] = {0}, w, error;
	double scale = s->scale, zero = s->zero;
	uint32_t i, l, part;

	for (i = 0; i < count; i += part) {
		part = min_u32(LANES, count - i);
#pragma GCC unroll 1
		for (l = 0; l < part; l++) {
			w = weight[i + l];
			error = w - (scale * code[i + l] + zero);
			sum[l] += w;
			squares[l] += w * w;
			errors[l] += error * error;
		}
	}
	for (l = 0; l < LANES; l++) {
		stats->sum += sum[l];
		stats->sum_squares += squares[l];
		stats->error_squares += errors[l];
	}
	stats->count += count;
}

static void refit_row(struct quantizer *q, const float *row, const int8_t *code, uint32_t n,
		      uint32_t times, struct row_scales *s)
{
	uint32_t k = q->w->k, g, k0;

	for (g = 0; g < q->groups; g++) {
		k0 = g * q->group;
		q35_refit(&q->fit, row + k0, code + k0, min_u32(q->group, k - k0), times,
			  &s[g].scale, &s[g].zero);
	}
	store_scales(q, n, s);
}

static void add_row_stats(const struct quantizer *q, const float *row, const int8_t *code,
			  const struct row_scales *s, struct q35_quantize_stats *stats)
{
	uint32_t k = q->w->k, g, k0;

	for (g = 0; g < q->groups; g++) {
		k0 = g * q->group;
		add_stats(row + k0, code + k0, min_u32(q->group, k - k0), &s[g], stats);
	}
}

/* The scales of least error, and the codes for them. */
static int quantize_strip(struct quantizer *q, const struct strip *strip)
{
	uint32_t passes, i, input;
	size_t k = q->w->k;

	for (i = 0; i < strip->count; i++)
		if (!fit_row(q, strip->rows + i * k, strip->n + i, &strip->scales[i * q->groups]))
			return 0;
	for (passes = q->w->group ? GROUP_PASSES : 1; passes > 0; passes--) {
		for (input = 0; input < k; input += Q35_PAIR * Q35_TILE_K)
			encode_tiles(q, strip, input);
		for (i = 0; i < strip->count; i++)
			refit_row(q, strip->rows + i * k, strip->codes + i * k, strip->n + i,
				  passes, &strip->scales[i * q->groups]);
	}
	return 1;
}

/* ---- With a calibration: see calibrate.h ------------------------------------------------------ */

/* As set_targets(), of what errors so far have made of the weights. */
static void set_fed_targets(const struct quantizer *q, const struct strip *strip,
			    const float *wanted, uint32_t k, int16_t target[Q35_TILE_WEIGHTS])
{
	uint32_t width = min_u32(Q35_TILE_K, q->w->k - k), row, i, j;
	const float *root = q->calibration->root + k, *feedback, *weight;
	float tile[Q35_TILE_K], per_weight;
	const struct row_scales *s;

	for (i = 0; i < Q35_TILE_WEIGHTS; i++)
		target[i] = Q35_TARGET_ANY;
	for (row = 0; row < strip->count; row++) {
		weight = strip->rows + (size_t)row * q->w->k + k;
		s = &strip->scales[row * q->groups + k / q->group];
		per_weight = s->scale == 0 ? 0 : Q35_TARGET_ONE / s->scale;
		/* Within the tile each input has the others' targets for granted. */
		for (j = 0; j < width; j++) {
			tile[j] = wanted[(size_t)row * q->w->k + k + j];
			for (i = 0; i < j; i++) {
				feedback = q->calibration->feedback + (size_t)(k + i) * q->w->k + k;
				tile[j] += (weight[i] - tile[i]) * feedback[j];
			}
			target[row * Q35_TILE_K + j] =
				target_of(tile[j], s->zero, per_weight * root[j]);
		}
	}
}

/* What is left of the weights of inputs k … k + 7. */
static void set_errors(const struct quantizer *q, const struct strip *strip, uint32_t k,
		       float (*error)[Q35_TILE_K])
{
	uint32_t width = min_u32(Q35_TILE_K, q->w->k - k), row, j;
	const struct row_scales *s;
	size_t at;

	for (row = 0; row < strip->count; row++) {
		s = &strip->scales[row * q->groups + k / q->group];
		for (j = 0; j < width; j++) {
			at = (size_t)row * q->w->k + k + j;
			error[row][j] = strip->rows[at] - (s->scale * strip->codes[at] + s->zero);
		}
	}
}

/* The codes of all strips again, with their scales as they are. */
static void calibrate_strips(const struct quantizer *q, const struct workspace *ws,
			     const struct strip *strip, uint32_t strips)
{
	uint32_t k = q->w->k, last = strips - 1, rows = last * Q35_TILE_N + strip[last].count;
	struct q35_trellis trellis = q->trellis;
	uint32_t input, i, t;

	memcpy(ws->targets, ws->rows, sizeof(float) * rows * k);
	for (input = 0; input < k; input += Q35_TILE_K) {
		float error[Q35_BLOCK_N][Q35_TILE_K] = {0};

		q35_trellis_weigh(&trellis, q->calibration->root + input);
		for (i = 0; i < strips; i += Q35_PAIR) {
			int16_t target[Q35_PAIR][Q35_TILE_WEIGHTS];
			int8_t code[Q35_PAIR][Q35_TILE_WEIGHTS];
			uint8_t *tiles[Q35_PAIR];

			for (t = 0; t < Q35_PAIR; t++) { /* past the last strip: that one again */
				const struct strip *s = &strip[min_u32(i + t, last)];

				set_fed_targets(q, s, ws->targets + (s->rows - ws->rows), input,
						target[t]);
				tiles[t] =
					s->tiles + (size_t)(input / Q35_TILE_K) * Q35_BLOCK_BYTES;
			}
			q35_trellis_encode(&trellis, target, tiles, code);
			for (t = 0; t < Q35_PAIR && i + t < strips; t++) {
				put_codes(q, &strip[i + t], input, code[t]);
				set_errors(q, &strip[i + t], input, error + (i + t) * Q35_TILE_N);
			}
		}
		q35_feed_back(q->calibration, input, rows, error, ws->targets);
	}
}

/* ---- Blocks of 64 rows, by several threads ------------------------------------------------------ */

static uint32_t cut_into_strips(const struct quantizer *q, const struct workspace *ws,
				uint32_t block, struct strip strip[Q35_BLOCK_TILES])
{
	uint32_t n = block * Q35_BLOCK_N, count = min_u32(Q35_BLOCK_N, q->w->n - n), t;
	size_t steps = q35_div_up(q->w->k, Q35_TILE_K);

	/* A strip past the last row has no weights, only padding. */
	for (t = 0; t * Q35_TILE_N < count; t++)
		strip[t] = (struct strip){
			.n = n + t * Q35_TILE_N,
			.count = min_u32(Q35_TILE_N, count - t * Q35_TILE_N),
			.rows = ws->rows + (size_t)t * Q35_TILE_N * q->w->k,
			.codes = ws->codes + (size_t)t * Q35_TILE_N * q->w->k,
			.scales = ws->scales + (size_t)t * Q35_TILE_N * q->groups,
			.tiles = q->tiles + block * steps * Q35_BLOCK_BYTES + t * Q35_TILE_BYTES,
		};
	return t;
}

static void quantize_block(struct quantizer *q, const struct workspace *ws, uint32_t block)
{
	uint32_t n = block * Q35_BLOCK_N, count = min_u32(Q35_BLOCK_N, q->w->n - n), strips, i;
	struct strip strip[Q35_BLOCK_TILES];

	if (!check_finite(q, ws->rows, n, count))
		return;
	strips = cut_into_strips(q, ws, block, strip);
	for (i = 0; i < strips; i++)
		if (!quantize_strip(q, &strip[i]))
			return;
	if (q->calibration)
		calibrate_strips(q, ws, strip, strips);
	for (i = 0; i < count; i++)
		add_row_stats(q, ws->rows + (size_t)i * q->w->k, ws->codes + (size_t)i * q->w->k,
			      &ws->scales[i * q->groups], &q->stats[block]);

	pthread_mutex_lock(&q->lock);
	q->rows_done += count;
	if (!q->error && q->options->progress &&
	    q->options->progress(q->options->context, q->rows_done)) {
		q->error = -ECANCELED;
		q->bad_row = 0;
	}
	pthread_mutex_unlock(&q->lock);
}

/* Reads the next block's rows; 0 if there is none left or something has failed. */
static int read_block(struct quantizer *q, const struct workspace *ws, uint32_t *block)
{
	uint32_t n;
	int ret, more;

	pthread_mutex_lock(&q->lock);
	more = !q->error && q->next_block < q->blocks;
	if (more) {
		*block = q->next_block++;
		n = *block * Q35_BLOCK_N;
		ret = q->options->read(q->options->context, n, min_u32(Q35_BLOCK_N, q->w->n - n),
				       ws->rows);
		if (ret < 0) {
			q->error = ret;
			q->bad_row = n;
			more = 0;
		}
	}
	pthread_mutex_unlock(&q->lock);
	return more;
}

static void work(void *context, size_t index)
{
	struct quantizer *q = context;
	uint32_t block;

	while (read_block(q, &q->workspace[index], &block))
		quantize_block(q, &q->workspace[index], block);
}

static void free_workspaces(struct workspace *ws, unsigned int count)
{
	while (ws && count--) {
		free(ws[count].rows);
		free(ws[count].targets);
		free(ws[count].codes);
		free(ws[count].scales);
	}
	free(ws);
}

static struct workspace *alloc_workspaces(const struct quantizer *q, unsigned int count)
{
	struct workspace *ws = calloc(count, sizeof(*ws));
	size_t weights = (size_t)Q35_BLOCK_N * q->w->k;
	unsigned int i;

	for (i = 0; ws && i < count; i++) {
		ws[i].rows = malloc(sizeof(float) * weights);
		ws[i].targets = q->calibration ? malloc(sizeof(float) * weights) : NULL;
		ws[i].codes = malloc(weights);
		ws[i].scales = malloc(sizeof(struct row_scales) * Q35_BLOCK_N * q->groups);
		if (!ws[i].rows || (q->calibration && !ws[i].targets) || !ws[i].codes ||
		    !ws[i].scales) {
			free_workspaces(ws, count);
			return NULL;
		}
	}
	return ws;
}

static int report(const struct quantizer *q)
{
	switch (q->error) {
	case 0:
		return 0;
	case -EDOM:
		return q35_fail(NULL, -EDOM,
				"the weight in row %u, column %u is not a finite number",
				q->bad_row, q->bad_column);
	case -ERANGE:
		return q35_fail(NULL, -ERANGE, "the weights in row %u are too large for f16 scales",
				q->bad_row);
	case -ECANCELED:
		return q35_fail(NULL, -ECANCELED, "quantization was cancelled after %u rows",
				q->rows_done);
	default:
		return q35_fail(NULL, q->error, "the rows from %u on could not be read",
				q->bad_row);
	}
}

static int run(struct quantizer *q, struct q35_quantize_stats *stats)
{
	struct q35_pool *pool;
	uint32_t i;
	int ret;

	ret = q35_pool_create(q->options->threads, &pool);
	if (ret)
		return q35_fail(NULL, ret, "cannot start %u threads", q->options->threads);
	q->workspace = alloc_workspaces(q, q35_pool_threads(pool));
	q->stats = calloc(q->blocks, sizeof(*q->stats));
	if (!q->workspace || !q->stats) {
		ret = q35_fail(NULL, -ENOMEM, "no memory for %u rows of %u weights", Q35_BLOCK_N,
			       q->w->k);
	} else {
		pthread_mutex_init(&q->lock, NULL);
		q35_parallel(pool, q35_pool_threads(pool), work, q);
		pthread_mutex_destroy(&q->lock);
		ret = report(q);
	}
	if (!ret && stats) {
		memset(stats, 0, sizeof(*stats));
		for (i = 0; i < q->blocks; i++) {
			stats->sum += q->stats[i].sum;
			stats->sum_squares += q->stats[i].sum_squares;
			stats->error_squares += q->stats[i].error_squares;
			stats->count += q->stats[i].count;
		}
	}
	free(q->stats);
	free_workspaces(q->workspace, q35_pool_threads(pool));
	q35_pool_destroy(pool);
	return ret;
}

static int check(const struct q35_quantize_options *options, const struct q35_weights *w)
{
	uint32_t max = 1u << Q35_DIM_ORDER_MAX;

	if (!w->n || w->n > max || !w->k || w->k > max)
		return q35_fail(NULL, -EINVAL, "a matrix of %u x %u, dimensions are 1 to %u", w->n,
				w->k, max);
	if (w->window_bits != Q35_WINDOW_BITS ||
	    (w->group != 0 && w->group != 128 && w->group != 256))
		return q35_fail(NULL, -EINVAL, "windows of %u bits, groups of %u", w->window_bits,
				w->group);
	if (w->meta_flags & ~(Q35_META_ZERO | Q35_META_MULTIPLIER) ||
	    (w->meta_flags & Q35_META_MULTIPLIER && !w->group))
		return q35_fail(NULL, -EINVAL, "meta_flags 0x%x with groups of %u", w->meta_flags,
				w->group);
	if (!options->read || (unsigned int)options->format > Q35_T4)
		return q35_fail(NULL, -EINVAL, "no source of rows or an unknown format");
	return 0;
}

static int quantize(const struct q35_quantize_options *options,
		    const struct q35_calibration *calibration, struct q35_weights *w, void *tiles,
		    void *meta, struct q35_quantize_stats *stats)
{
	struct quantizer *q;
	int ret;

	ret = check(options, w);
	if (ret)
		return ret;
	q = aligned_alloc(64, (sizeof(*q) + 63) / 64 * 64);
	if (!q)
		return q35_fail(NULL, -ENOMEM, "no memory for the encoder");
	memset(q, 0, sizeof(*q));
	q->options = options;
	q->w = w;
	q->calibration = calibration;
	q->tiles = tiles;
	q->meta = meta;
	q->group = w->group ? w->group : w->k;
	q->groups = q35_format_groups(w->k, w->group);
	q->blocks = q35_div_up(w->n, Q35_BLOCK_N);
	q35_fit_init(&q->fit, options->format, w);
	q35_trellis_init(&q->trellis, w->codebook);
	memset(tiles, 0, q35_tiles_size(w->n, w->k));
	memset(meta, 0, q35_meta_size(w->n, w->k, w->group, w->meta_flags));
	ret = run(q, stats);
	if (!ret) {
		w->tiles = tiles;
		w->meta = meta;
	}
	free(q);
	return ret;
}

int q35_quantize(const struct q35_quantize_options *options, struct q35_weights *w, void *tiles,
		 void *meta, struct q35_quantize_stats *stats)
{
	return quantize(options, NULL, w, tiles, meta, stats);
}

int q35_quantize_calibrated(const struct q35_quantize_options *options,
			    const struct q35_calibration *calibration, struct q35_weights *w,
			    void *tiles, void *meta, struct q35_quantize_stats *stats)
{
	if (calibration && (!calibration->feedback || calibration->k != w->k))
		return q35_fail(NULL, -EINVAL, "a calibration of %u inputs%s for a matrix of %u",
				calibration->k, calibration->feedback ? "" : ", not finished,",
				w->k);
	return quantize(options, calibration, w, tiles, meta, stats);
}
