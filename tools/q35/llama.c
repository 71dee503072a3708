// SPDX-License-Identifier: MIT
/*
 * A layer is three submissions, between which the host normalizes, rotates and attends:
 *	q, k, v = h Wq, h Wk, h Wv		k and v land in the cache at once
 *	x = x + a Wo
 *	g = silu(h Wgate); g = g * (h Wup); x = x + g Wdown
 * The activation, the product and the residual sums are the jobs' epilogues. All activations live
 * in host memory, which the device reads and writes in place.
 */
#include "llama.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "layers.h"
#include "llama_model.h"

#define ACT_BLOCK 128
#define PLAIN_N 64 /* outputs of a thread's piece of work */

/* Adds a job y[m][n] = x[m][k] * w^T to the next submission; the caller may refine it. */
static struct q35_gemm *product(struct llama *l, const struct weight *w, uint32_t m,
				struct q35_buffer *x, struct q35_buffer *y, size_t y_offset)
{
	struct q35_job *job = &l->jobs[l->job_count];

	l->plain[l->job_count++] = w->matrix ? NULL : w;
	*job = (struct q35_job){.kind = Q35_JOB_GEMM};
	job->gemm.w = w->matrix;
	job->gemm.m = m;
	job->gemm.x.buffer = x;
	job->gemm.y.buffer = y;
	job->gemm.y.offset = y_offset;
	job->gemm.act_block = ACT_BLOCK;
	l->work.macs += (uint64_t)m * w->n * w->k;
	l->work.weight_bytes += w->bytes;
	return &job->gemm;
}

/* A job's product on the host; offsets, bias and strides are not in use here. */
struct plain {
	const struct q35_gemm *job;
	const struct weight *w;
	const float *x;
	float *y, *product;
};

/* Outputs PLAIN_N * index … */
static void run_plain_piece(void *context, size_t index)
{
	const struct plain *p = context;
	const struct weight *w = p->w;
	const uint32_t n0 = (uint32_t)index * PLAIN_N;
	const uint32_t n1 = w->n - n0 < PLAIN_N ? w->n : n0 + PLAIN_N;
	size_t m, i;

	matmul(p->x, w->plain + (size_t)n0 * w->k, p->job->m, n1 - n0, w->k, p->product + n0, w->n);
	for (m = 0; m < p->job->m; m++) {
		for (i = m * w->n + n0; i < m * w->n + n1; i++) {
			if (p->job->activation == Q35_SILU)
				p->product[i] /= 1 + expf(-p->product[i]);
			if (p->job->combine == Q35_ADD)
				p->y[i] += p->product[i];
			else if (p->job->combine == Q35_MUL)
				p->y[i] *= p->product[i];
			else
				p->y[i] = p->product[i];
		}
	}
}

static int run_plain(struct llama *l, const struct q35_gemm *job, const struct weight *w)
{
	struct plain p = {
		.job = job,
		.w = w,
		.x = q35_buffer_map(job->x.buffer),
		.y = (float *)((char *)q35_buffer_map(job->y.buffer) + job->y.offset),
		.product = calloc((size_t)job->m * w->n, sizeof(*p.product)),
	};

	if (!p.product)
		return fail("out of memory");
	q35_parallel(l->pool, (w->n + PLAIN_N - 1) / PLAIN_N, run_plain_piece, &p);
	free(p.product);
	return DONE;
}

static int submit(struct llama *l, const struct q35_job *jobs, size_t count)
{
	struct q35_point done;

	l->work.jobs += count;
	l->work.submissions++;
	if (q35_submit(l->queue, jobs, count, NULL, 0, &done) || q35_wait(done, Q35_FOREVER))
		return fail("%s", q35_error(l->dev));
	return DONE;
}

/* Hands the added jobs over and waits; after the first, each starts when the one before is done. */
static int run(struct llama *l, bool ordered)
{
	size_t i, first = 0;
	int ret = DONE;

	for (i = 0; i < l->job_count && !ret; i++) {
		l->jobs[i].barrier = ordered && i > first;
		if (!l->plain[i])
			continue;
		if (i > first)
			ret = submit(l, l->jobs + first, i - first);
		if (!ret)
			ret = run_plain(l, &l->jobs[i].gemm, l->plain[i]);
		first = i + 1;
	}
	if (!ret && l->job_count > first)
		ret = submit(l, l->jobs + first, l->job_count - first);
	l->job_count = 0;
	return ret;
}

static void normalize(struct llama *l, const float *weight, uint32_t count)
{
	const float *x = q35_buffer_map(l->x);
	float *h = q35_buffer_map(l->h);
	size_t i;

	for (i = 0; i < count; i++)
		rmsnorm(x + i * l->shape.dim, weight, l->shape.dim, l->shape.epsilon,
			h + i * l->shape.dim);
}

struct attend_all {
	struct llama *model;
	struct attention attention;
	uint32_t count;
};

static void attend_head(void *context, size_t head)
{
	const struct attend_all *all = context;
	struct llama *l = all->model;
	const size_t row = (size_t)l->shape.heads * l->shape.head_dim;
	const float *q = q35_buffer_map(l->q);
	float *a = q35_buffer_map(l->a);
	uint32_t i;

	for (i = 0; i < all->count; i++)
		attend(&all->attention, (uint32_t)head, l->position + i + 1, q + i * row,
		       a + i * row, l->scores + head * l->positions);
}

static void attend_all(struct llama *l, size_t cache, uint32_t count)
{
	const struct llama_shape *s = &l->shape;
	const size_t q_row = (size_t)s->heads * s->head_dim;
	const size_t kv_row = (size_t)s->kv_heads * s->head_dim;
	float *q = q35_buffer_map(l->q), *keys = (float *)q35_buffer_map(l->keys) + cache;
	const struct attention attention = {
		.heads = s->heads,
		.kv_heads = s->kv_heads,
		.head_dim = s->head_dim,
		.keys = keys,
		.values = (float *)q35_buffer_map(l->values) + cache,
	};
	struct attend_all all = {.model = l, .attention = attention, .count = count};
	uint32_t i;

	for (i = 0; i < count; i++) {
		const uint32_t p = l->position + i;
		const float *row = l->rope + (size_t)p * s->rope_dims;

		rope(q + i * q_row, s->heads, s->head_dim, row, s->rope_dims);
		rope(keys + p * kv_row, s->kv_heads, s->head_dim, row, s->rope_dims);
	}
	/* A single position is done before other threads have woken. */
	q35_parallel(count > 1 ? l->pool : NULL, s->heads, attend_head, &all);
}

/* q, k and v of count positions, and what they attend to, into l->a. */
static int feed_attention(struct llama *l, uint32_t index, uint32_t count)
{
	const struct layer *layer = &l->layers[index];
	const size_t kv_row = (size_t)l->shape.kv_heads * l->shape.head_dim;
	const size_t cache = (size_t)index * l->positions * kv_row; /* in elements */
	const size_t here = (cache + l->position * kv_row) * sizeof(float);

	normalize(l, layer->attention_norm, count);
	product(l, &layer->q, count, l->h, l->q, 0);
	product(l, &layer->k, count, l->h, l->keys, here);
	product(l, &layer->v, count, l->h, l->values, here);
	if (run(l, false))
		return FAILED;
	attend_all(l, cache, count);
	return DONE;
}

static void add_product(struct llama *l, const struct weight *w, uint32_t count,
			struct q35_buffer *from)
{
	struct q35_gemm *job = product(l, w, count, from, l->x, 0);

	job->combine = Q35_ADD;
	job->aux = job->y;
}

static void gate(struct llama *l, const struct layer *layer, uint32_t count)
{
	struct q35_gemm *job;

	normalize(l, layer->ff_norm, count);
	job = product(l, &layer->gate, count, l->h, l->g, 0);
	job->activation = Q35_SILU;
	job = product(l, &layer->up, count, l->h, l->g, 0);
	job->combine = Q35_MUL;
	job->aux = job->y;
}

static int feed_layer(struct llama *l, uint32_t index, uint32_t count)
{
	const struct layer *layer = &l->layers[index];

	if (feed_attention(l, index, count))
		return FAILED;
	add_product(l, &layer->o, count, l->a);
	if (run(l, true))
		return FAILED;
	gate(l, layer, count);
	add_product(l, &layer->down, count, l->g);
	return run(l, true);
}

int llama_embed(struct llama *l, const uint32_t *tokens, uint32_t count, float *x)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (q35_tensor_read(l->embeddings, tokens[i], 1, x + (size_t)i * l->shape.dim))
			return fail("%s: %s", l->path, q35_error(NULL));
	return DONE;
}

int llama_feed(struct llama *l, const uint32_t *tokens, uint32_t count, bool all,
	       const float **logits)
{
	float *x = q35_buffer_map(l->x);
	uint32_t i;

	if (!count || count > l->batch || count > l->positions - l->position)
		return fail("%u tokens at position %u of %u", count, l->position, l->positions);
	if (llama_embed(l, tokens, count, x))
		return FAILED;
	for (i = 0; i < l->shape.layers; i++)
		if (feed_layer(l, i, count))
			return FAILED;
	l->position += count;

	if (!all) /* only the last row goes on */
		memmove(x, x + (size_t)(count - 1) * l->shape.dim, l->shape.dim * sizeof(*x));
	count = all ? count : 1;
	normalize(l, l->output_norm, count);
	product(l, &l->output, count, l->h, l->logits, 0);
	if (run(l, false))
		return FAILED;
	*logits = q35_buffer_map(l->logits);
	return DONE;
}

uint32_t llama_inner(const struct llama *l)
{
	const uint32_t q = l->shape.heads * l->shape.head_dim;

	return q > l->shape.ff ? q : l->shape.ff;
}

int llama_step(struct llama *l, uint32_t index, enum llama_step step, uint32_t position,
	       uint32_t count, float *x, float *inner, const float **input)
{
	const struct layer *layer = &l->layers[index];
	const size_t x_size = (size_t)count * l->shape.dim * sizeof(float);
	/* What the step reads from inner, or leaves there. */
	struct q35_buffer *buffer = step == LLAMA_GATE || step == LLAMA_ADD_FF ? l->g : l->a;
	const size_t inner_size =
		(size_t)count * sizeof(float) *
		(buffer == l->g ? l->shape.ff : l->shape.heads * l->shape.head_dim);
	const float *norm = layer->attention_norm;
	int ret = DONE;

	memcpy(q35_buffer_map(l->x), x, x_size);
	*input = q35_buffer_map(buffer);
	l->position = position;
	switch (step) {
	case LLAMA_ATTEND:
		ret = feed_attention(l, index, count);
		memcpy(inner, *input, inner_size);
		return ret;
	case LLAMA_GATE:
		gate(l, layer, count);
		ret = run(l, true);
		memcpy(inner, *input, inner_size);
		return ret;
	case LLAMA_ADD_ATTENTION:
	case LLAMA_ADD_FF:
		memcpy(q35_buffer_map(buffer), inner, inner_size);
		add_product(l, step == LLAMA_ADD_FF ? &layer->down : &layer->o, count, buffer);
		ret = run(l, true);
		memcpy(x, q35_buffer_map(l->x), x_size);
		norm = step == LLAMA_ADD_ATTENTION    ? layer->ff_norm
		       : index + 1 == l->shape.layers ? l->output_norm
						      : l->layers[index + 1].attention_norm;
		break;
	default:
		break;
	}
	normalize(l, norm, count);
	*input = q35_buffer_map(l->h);
	return ret;
}

uint32_t llama_batch(const struct llama *l)
{
	return l->batch;
}

void llama_rewind(struct llama *l)
{
	l->position = 0;
}

const struct llama_work *llama_work(const struct llama *l)
{
	return &l->work;
}

int llama_counters(struct llama *l, struct q35_counters *counters)
{
	return q35_get_counters(l->queue, counters) ? fail("%s", q35_error(l->dev)) : DONE;
}
