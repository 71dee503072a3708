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

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "layers.h"

#define EMBEDDINGS "token_embd.weight"
#define DIM_MAX 131072
#define BATCH_MAX 256 /* tokens in one go, which bounds the buffers */
#define ACT_BLOCK 128
#define JOBS_MAX 3 /* in a submission */

struct weight {
	struct q35_matrix *matrix;
	uint64_t macs, bytes; /* of a product with one row; read by a job */
};

struct layer {
	struct weight q, k, v, o, gate, up, down;
	float *attention_norm, *ff_norm;
};

struct llama {
	struct llama_shape shape;
	const struct q35_file *file;
	const char *path;
	struct q35 *dev;
	struct q35_queue *queue;

	struct layer *layers;
	struct weight output;
	float *output_norm;
	const struct q35_tensor *embeddings;
	size_t known_tensors; /* tensors of the file that the model uses */

	uint32_t positions, batch, position;
	float *rope, *scores;
	struct q35_buffer *x, *h, *q, *a, *g, *keys, *values, *logits;

	struct q35_job jobs[JOBS_MAX];
	size_t job_count;
	struct llama_work work;
};

/* ---- The file ------------------------------------------------------------------------------ */

static int read_number(const struct q35_file *file, const char *path, const char *key,
		       uint32_t most, uint32_t *value)
{
	uint64_t v;

	if (q35_file_u64(file, key, &v))
		return fail("%s", q35_error(NULL));
	if (v < 1 || v > most)
		return fail("%s: %s is %llu, not 1 to %u", path, key, (unsigned long long)v, most);
	*value = (uint32_t)v;
	return DONE;
}

/* The same for a key that may be absent; *value is then the standard. */
static int read_optional(const struct q35_file *file, const char *path, const char *key,
			 uint32_t most, uint32_t standard, uint32_t *value)
{
	uint64_t v;

	*value = standard;
	if (q35_file_u64(file, key, &v) == -ENOENT)
		return DONE;
	return read_number(file, path, key, most, value);
}

static bool is_string(const struct q35_file *file, const char *key, const char *wanted)
{
	const char *s;
	size_t size;

	return !q35_file_string(file, key, &s, &size) && size == strlen(wanted) &&
	       !memcmp(s, wanted, size);
}

static int read_rope(const struct q35_file *file, const char *path, struct llama_shape *s)
{
	const char *text;
	double factor;
	size_t size;
	int ret;

	if (read_optional(file, path, "llama.rope.dimension_count", s->head_dim, s->head_dim,
			  &s->rope_dims))
		return FAILED;
	if (s->rope_dims % 2)
		return fail("%s: llama.rope.dimension_count is odd", path);
	s->rope_base = 10000;
	ret = q35_file_f64(file, "llama.rope.freq_base", &s->rope_base);
	if (ret && ret != -ENOENT)
		return fail("%s", q35_error(NULL));
	if (!(s->rope_base > 1 && s->rope_base < 1e12))
		return fail("%s: llama.rope.freq_base is %g", path, s->rope_base);
	if (!q35_file_string(file, "llama.rope.scaling.type", &text, &size) &&
	    !is_string(file, "llama.rope.scaling.type", "none"))
		return fail("%s: rope scaling %.*s is not supported", path,
			    (int)(size < 64 ? size : 64), text);
	if (!q35_file_f64(file, "llama.rope.scale_linear", &factor) && factor != 1)
		return fail("%s: rope scaling by %g is not supported", path, factor);
	return DONE;
}

static int read_embeddings(const struct q35_file *file, const char *path, struct llama_shape *s)
{
	const struct q35_tensor *t = q35_file_find(file, EMBEDDINGS);

	if (!t)
		return fail("%s: no tensor %s", path, EMBEDDINGS);
	if (t->dims != 2 || t->shape[1] != s->dim || t->shape[0] > DIM_MAX ||
	    (t->type != Q35_TENSOR_F32 && t->type != Q35_TENSOR_F16 && t->type != Q35_TENSOR_BF16))
		return fail("%s: tensor %s is no table of embeddings", path, EMBEDDINGS);
	s->vocabulary = (uint32_t)t->shape[0];
	return DONE;
}

int llama_read_shape(const struct q35_file *file, const char *path, struct llama_shape *s)
{
	double epsilon;
	uint64_t version;

	if (!is_string(file, "general.architecture", "llama"))
		return fail("%s: not a llama model", path);
	if (q35_file_u64(file, "q35.version", &version))
		return fail("%s: is not quantized; run q35 quantize first", path);
	/* every layer has tensors, so that their number bounds the layers' */
	if (read_number(file, path, "llama.block_count", (uint32_t)q35_file_tensors(file),
			&s->layers) ||
	    read_number(file, path, "llama.embedding_length", DIM_MAX, &s->dim) ||
	    read_number(file, path, "llama.feed_forward_length", DIM_MAX, &s->ff) ||
	    read_number(file, path, "llama.context_length", 1u << 24, &s->context) ||
	    read_number(file, path, "llama.attention.head_count", DIM_MAX, &s->heads) ||
	    read_optional(file, path, "llama.attention.head_count_kv", DIM_MAX, s->heads,
			  &s->kv_heads) ||
	    read_optional(file, path, "llama.attention.key_length", DIM_MAX, s->dim / s->heads,
			  &s->head_dim))
		return FAILED;
	if (s->heads % s->kv_heads)
		return fail("%s: %u heads cannot share %u keys", path, s->heads, s->kv_heads);
	if (!s->head_dim || s->head_dim % 2 || (uint64_t)s->heads * s->head_dim > DIM_MAX)
		return fail("%s: %u heads of %u elements", path, s->heads, s->head_dim);
	if (q35_file_f64(file, "llama.attention.layer_norm_rms_epsilon", &epsilon))
		return fail("%s", q35_error(NULL));
	if (!(epsilon > 0 && epsilon < 1))
		return fail("%s: llama.attention.layer_norm_rms_epsilon is %g", path, epsilon);
	s->epsilon = (float)epsilon;
	return read_embeddings(file, path, s) ? FAILED : read_rope(file, path, s);
}

/* ---- Loading ------------------------------------------------------------------------------- */

static int load_weight(struct llama *l, const char *name, uint32_t n, uint32_t k,
		       struct weight *weight)
{
	struct q35_weights w;

	if (q35_file_weights(l->file, name, &w))
		return fail("%s", q35_error(NULL));
	if (w.n != n || w.k != k)
		return fail("%s: matrix %s is %u x %u, not %u x %u", l->path, name, w.n, w.k, n, k);
	if (q35_matrix_create(l->dev, &w, &weight->matrix))
		return fail("matrix %s: %s", name, q35_error(l->dev));
	weight->macs = (uint64_t)n * k;
	weight->bytes = q35_tiles_size(n, k) + q35_meta_size(n, k, w.group, w.meta_flags);
	l->known_tensors += 3;
	return DONE;
}

static int load_vector(struct llama *l, const char *name, float **vector)
{
	const struct q35_tensor *t = q35_file_find(l->file, name);

	if (!t)
		return fail("%s: no tensor %s", l->path, name);
	if (t->dims != 1 || t->shape[0] != l->shape.dim)
		return fail("%s: tensor %s is not of %u elements", l->path, name, l->shape.dim);
	*vector = calloc(l->shape.dim, sizeof(**vector));
	if (!*vector)
		return fail("out of memory");
	if (q35_tensor_read(t, 0, t->shape[0], *vector))
		return fail("%s: %s", l->path, q35_error(NULL));
	l->known_tensors++;
	return DONE;
}

static int load_layer(struct llama *l, uint32_t index)
{
	const struct llama_shape *s = &l->shape;
	const uint32_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
	struct layer *layer = &l->layers[index];
	const struct {
		const char *name;
		uint32_t n, k;
		struct weight *weight;
	} weights[] = {
		{"attn_q", q, s->dim, &layer->q},	   {"attn_k", kv, s->dim, &layer->k},
		{"attn_v", kv, s->dim, &layer->v},	   {"attn_output", s->dim, q, &layer->o},
		{"ffn_gate", s->ff, s->dim, &layer->gate}, {"ffn_up", s->ff, s->dim, &layer->up},
		{"ffn_down", s->dim, s->ff, &layer->down},
	};
	char name[64];
	size_t i;

	for (i = 0; i < sizeof(weights) / sizeof(weights[0]); i++) {
		snprintf(name, sizeof(name), "blk.%u.%s.weight", index, weights[i].name);
		if (load_weight(l, name, weights[i].n, weights[i].k, weights[i].weight))
			return FAILED;
	}
	snprintf(name, sizeof(name), "blk.%u.attn_norm.weight", index);
	if (load_vector(l, name, &layer->attention_norm))
		return FAILED;
	snprintf(name, sizeof(name), "blk.%u.ffn_norm.weight", index);
	return load_vector(l, name, &layer->ff_norm);
}

static int create_buffers(struct llama *l)
{
	const struct llama_shape *s = &l->shape;
	const size_t row = sizeof(float), batch = l->batch * row;
	const size_t kv = (size_t)s->kv_heads * s->head_dim, q = (size_t)s->heads * s->head_dim;
	const struct {
		struct q35_buffer **buffer;
		size_t size;
	} buffers[] = {
		{&l->x, batch * s->dim},
		{&l->h, batch * s->dim},
		{&l->q, batch * q},
		{&l->a, batch * q},
		{&l->g, batch * s->ff},
		{&l->logits, batch * s->vocabulary},
		{&l->keys, row * s->layers * l->positions * kv},
		{&l->values, row * s->layers * l->positions * kv},
	};
	size_t i;

	for (i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
		if (q35_buffer_create(l->dev, Q35_HOST, buffers[i].size, buffers[i].buffer))
			return fail("%s", q35_error(l->dev));
	l->scores = calloc(l->positions, sizeof(*l->scores));
	l->rope = calloc((size_t)l->positions * s->rope_dims, sizeof(*l->rope));
	if (!l->scores || !l->rope)
		return fail("out of memory");
	rope_table(l->rope, l->positions, s->rope_dims, s->rope_base);
	return DONE;
}

static int load(struct llama *l)
{
	size_t tensors = q35_file_tensors(l->file);
	uint32_t layer;

	l->embeddings = q35_file_find(l->file, EMBEDDINGS); /* llama_read_shape() has seen it */
	l->known_tensors = 1;
	l->layers = calloc(l->shape.layers, sizeof(*l->layers));
	if (!l->layers)
		return fail("out of memory");
	for (layer = 0; layer < l->shape.layers; layer++)
		if (load_layer(l, layer))
			return FAILED;
	if (load_vector(l, "output_norm.weight", &l->output_norm) ||
	    load_weight(l, "output.weight", l->shape.vocabulary, l->shape.dim, &l->output))
		return FAILED;
	/* A bias, an expert or scaled frequencies, if left out, would silently give wrong text. */
	if (l->known_tensors < tensors)
		return fail("%s: has %zu tensors more than a plain llama model", l->path,
			    tensors - l->known_tensors);
	if (q35_queue_create(l->dev, 1, 0, &l->queue))
		return fail("%s", q35_error(l->dev));
	return create_buffers(l);
}

int llama_load(struct q35 *dev, const struct q35_file *file, const char *path, uint32_t positions,
	       struct llama **model)
{
	struct llama *l = calloc(1, sizeof(*l));

	if (!l)
		return fail("out of memory");
	l->dev = dev;
	l->file = file;
	l->path = path;
	l->positions = positions;
	l->batch = positions < BATCH_MAX ? positions : BATCH_MAX;
	if (llama_read_shape(file, path, &l->shape) || load(l)) {
		llama_free(l);
		return FAILED;
	}
	*model = l;
	return DONE;
}

void llama_free(struct llama *l)
{
	uint32_t i;

	if (!l)
		return;
	q35_queue_destroy(l->queue);
	q35_buffer_destroy(l->x);
	q35_buffer_destroy(l->h);
	q35_buffer_destroy(l->q);
	q35_buffer_destroy(l->a);
	q35_buffer_destroy(l->g);
	q35_buffer_destroy(l->keys);
	q35_buffer_destroy(l->values);
	q35_buffer_destroy(l->logits);
	for (i = 0; l->layers && i < l->shape.layers; i++) {
		struct layer *layer = &l->layers[i];

		q35_matrix_destroy(layer->q.matrix);
		q35_matrix_destroy(layer->k.matrix);
		q35_matrix_destroy(layer->v.matrix);
		q35_matrix_destroy(layer->o.matrix);
		q35_matrix_destroy(layer->gate.matrix);
		q35_matrix_destroy(layer->up.matrix);
		q35_matrix_destroy(layer->down.matrix);
		free(layer->attention_norm);
		free(layer->ff_norm);
	}
	q35_matrix_destroy(l->output.matrix);
	free(l->layers);
	free(l->output_norm);
	free(l->scores);
	free(l->rope);
	free(l);
}

/* ---- Running ------------------------------------------------------------------------------- */

/* Adds a job y[m][n] = x[m][k] * w^T to the next submission; the caller may refine it. */
static struct q35_gemm *product(struct llama *l, const struct weight *w, uint32_t m,
				struct q35_buffer *x, struct q35_buffer *y, size_t y_offset)
{
	struct q35_job *job = &l->jobs[l->job_count++];

	*job = (struct q35_job){.kind = Q35_JOB_GEMM};
	job->gemm.w = w->matrix;
	job->gemm.m = m;
	job->gemm.x.buffer = x;
	job->gemm.y.buffer = y;
	job->gemm.y.offset = y_offset;
	job->gemm.act_block = ACT_BLOCK;
	l->work.macs += m * w->macs;
	l->work.weight_bytes += w->bytes;
	return &job->gemm;
}

/* Hands the added jobs over and waits; after the first, each starts when the one before is done. */
static int run(struct llama *l, bool ordered)
{
	struct q35_point done;
	size_t i;

	for (i = 1; ordered && i < l->job_count; i++)
		l->jobs[i].barrier = 1;
	l->work.jobs += l->job_count;
	l->work.submissions++;
	if (q35_submit(l->queue, l->jobs, l->job_count, NULL, 0, &done) ||
	    q35_wait(done, Q35_FOREVER))
		return fail("%s", q35_error(l->dev));
	l->job_count = 0;
	return DONE;
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

static void attend_all(struct llama *l, size_t cache, uint32_t count)
{
	const struct llama_shape *s = &l->shape;
	const size_t q_row = (size_t)s->heads * s->head_dim;
	const size_t kv_row = (size_t)s->kv_heads * s->head_dim;
	float *q = q35_buffer_map(l->q), *a = q35_buffer_map(l->a);
	float *keys = (float *)q35_buffer_map(l->keys) + cache;
	struct attention attention = {
		.heads = s->heads,
		.kv_heads = s->kv_heads,
		.head_dim = s->head_dim,
		.keys = keys,
		.values = (float *)q35_buffer_map(l->values) + cache,
		.scores = l->scores,
	};
	uint32_t i;

	for (i = 0; i < count; i++) {
		const uint32_t p = l->position + i;
		const float *row = l->rope + (size_t)p * s->rope_dims;

		rope(q + i * q_row, s->heads, s->head_dim, row, s->rope_dims);
		rope(keys + p * kv_row, s->kv_heads, s->head_dim, row, s->rope_dims);
		attend(&attention, p + 1, q + i * q_row, a + i * q_row);
	}
}

static int feed_layer(struct llama *l, uint32_t index, uint32_t count)
{
	const struct layer *layer = &l->layers[index];
	const size_t kv_row = (size_t)l->shape.kv_heads * l->shape.head_dim;
	const size_t cache = (size_t)index * l->positions * kv_row; /* in elements */
	const size_t here = (cache + l->position * kv_row) * sizeof(float);
	struct q35_gemm *job;

	normalize(l, layer->attention_norm, count);
	product(l, &layer->q, count, l->h, l->q, 0);
	product(l, &layer->k, count, l->h, l->keys, here);
	product(l, &layer->v, count, l->h, l->values, here);
	if (run(l, false))
		return FAILED;

	attend_all(l, cache, count);
	job = product(l, &layer->o, count, l->a, l->x, 0);
	job->combine = Q35_ADD;
	job->aux = job->y;
	if (run(l, true))
		return FAILED;

	normalize(l, layer->ff_norm, count);
	job = product(l, &layer->gate, count, l->h, l->g, 0);
	job->activation = Q35_SILU;
	job = product(l, &layer->up, count, l->h, l->g, 0);
	job->combine = Q35_MUL;
	job->aux = job->y;
	job = product(l, &layer->down, count, l->g, l->x, 0);
	job->combine = Q35_ADD;
	job->aux = job->y;
	return run(l, true);
}

int llama_feed(struct llama *l, const uint32_t *tokens, uint32_t count, bool all,
	       const float **logits)
{
	float *x = q35_buffer_map(l->x);
	uint32_t i;

	if (!count || count > l->batch || count > l->positions - l->position)
		return fail("%u tokens at position %u of %u", count, l->position, l->positions);
	for (i = 0; i < count; i++)
		if (q35_tensor_read(l->embeddings, tokens[i], 1, x + (size_t)i * l->shape.dim))
			return fail("%s: %s", l->path, q35_error(NULL));
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
