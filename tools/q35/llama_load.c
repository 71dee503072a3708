// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "layers.h"
#include "llama_model.h"

#define EMBEDDINGS "token_embd.weight"
#define OUTPUT "output.weight"
#define DIM_MAX 131072
#define BATCH_MAX 256 /* tokens in one go, which bounds the buffers */

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

bool llama_is_quantized(const struct q35_file *file)
{
	uint64_t version;

	return !q35_file_u64(file, "q35.version", &version);
}

int llama_read_shape(const struct q35_file *file, const char *path, struct llama_shape *s)
{
	double epsilon;

	if (!is_string(file, "general.architecture", "llama"))
		return fail("%s: not a llama model", path);
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

static int create_weight(struct llama *l, const char *name, const struct q35_weights *w,
			 struct weight *weight)
{
	if (w->n != weight->n || w->k != weight->k)
		return fail("%s: matrix %s is %u x %u, not %u x %u", l->path, name, w->n, w->k,
			    weight->n, weight->k);
	if (q35_matrix_create(l->dev, w, &weight->matrix))
		return fail("matrix %s: %s", name, q35_error(l->dev));
	weight->bytes =
		q35_tiles_size(w->n, w->k) + q35_meta_size(w->n, w->k, w->group, w->meta_flags);
	return DONE;
}

static int load_plain(struct llama *l, const char *name, struct weight *weight)
{
	const struct q35_tensor *t = q35_file_find(l->file, name);

	l->known_tensors++;
	if (!t && !strcmp(name, OUTPUT)) { /* tied to the embeddings */
		t = l->embeddings;
		l->known_tensors--;
	}
	if (!t)
		return fail("%s: no tensor %s", l->path, name);
	if (t->dims != 2 || t->shape[0] != weight->n || t->shape[1] != weight->k)
		return fail("%s: matrix %s is not %u x %u", l->path, name, weight->n, weight->k);
	weight->plain = calloc((size_t)weight->n * weight->k, sizeof(*weight->plain));
	if (!weight->plain)
		return fail("out of memory");
	if (q35_tensor_read(t, 0, weight->n, weight->plain))
		return fail("%s: %s", l->path, q35_error(NULL));
	return DONE;
}

static int load_weight(struct llama *l, const char *name, uint32_t n, uint32_t k,
		       struct weight *weight)
{
	struct q35_weights w;

	weight->n = n;
	weight->k = k;
	if (!llama_is_quantized(l->file))
		return load_plain(l, name, weight);
	if (q35_file_weights(l->file, name, &w))
		return fail("%s", q35_error(NULL));
	l->known_tensors += 3;
	return create_weight(l, name, &w, weight);
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

struct part { /* of a layer */
	const char *name;
	uint32_t n, k;
	struct weight *weight;
};

#define PARTS 7

static void list_parts(struct llama *l, uint32_t index, struct part parts[PARTS])
{
	const struct llama_shape *s = &l->shape;
	const uint32_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
	struct layer *layer = &l->layers[index];
	const struct part all[PARTS] = {
		{"attn_q", q, s->dim, &layer->q},	   {"attn_k", kv, s->dim, &layer->k},
		{"attn_v", kv, s->dim, &layer->v},	   {"attn_output", s->dim, q, &layer->o},
		{"ffn_gate", s->ff, s->dim, &layer->gate}, {"ffn_up", s->ff, s->dim, &layer->up},
		{"ffn_down", s->dim, s->ff, &layer->down},
	};

	memcpy(parts, all, sizeof(all));
}

static int load_layer(struct llama *l, uint32_t index)
{
	struct layer *layer = &l->layers[index];
	struct part parts[PARTS];
	char name[64];
	size_t i;

	list_parts(l, index, parts);
	for (i = 0; i < PARTS; i++) {
		snprintf(name, sizeof(name), "blk.%u.%s.weight", index, parts[i].name);
		if (load_weight(l, name, parts[i].n, parts[i].k, parts[i].weight))
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
	l->scores = calloc((size_t)s->heads * l->positions, sizeof(*l->scores));
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
	    load_weight(l, OUTPUT, l->shape.vocabulary, l->shape.dim, &l->output))
		return FAILED;
	/* A bias, an expert or scaled frequencies, if left out, would silently give wrong text. */
	if (l->known_tensors < tensors)
		return fail("%s: has %zu tensors more than a plain llama model", l->path,
			    tensors - l->known_tensors);
	if (q35_queue_create(l->dev, 1, 0, &l->queue))
		return fail("%s", q35_error(l->dev));
	if (q35_pool_create(0, &l->pool))
		return fail("cannot start a thread for each processor");
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

static void free_weight(struct weight *weight)
{
	q35_matrix_destroy(weight->matrix);
	free(weight->plain);
}

void llama_free(struct llama *l)
{
	struct part parts[PARTS];
	uint32_t i, j;

	if (!l)
		return;
	q35_queue_destroy(l->queue);
	q35_pool_destroy(l->pool);
	q35_buffer_destroy(l->x);
	q35_buffer_destroy(l->h);
	q35_buffer_destroy(l->q);
	q35_buffer_destroy(l->a);
	q35_buffer_destroy(l->g);
	q35_buffer_destroy(l->keys);
	q35_buffer_destroy(l->values);
	q35_buffer_destroy(l->logits);
	for (i = 0; l->layers && i < l->shape.layers; i++) {
		list_parts(l, i, parts);
		for (j = 0; j < PARTS; j++)
			free_weight(parts[j].weight);
		free(l->layers[i].attention_norm);
		free(l->layers[i].ff_norm);
	}
	free_weight(&l->output);
	free(l->layers);
	free(l->output_norm);
	free(l->scores);
	free(l->rope);
	free(l);
}

int llama_replace(struct llama *l, const char *name, const struct q35_weights *w)
{
	struct weight *weight = strcmp(name, OUTPUT) ? NULL : &l->output;
	struct part parts[PARTS];
	char known[64];
	uint32_t i, j;

	for (i = 0; i < l->shape.layers && !weight; i++) {
		list_parts(l, i, parts);
		for (j = 0; j < PARTS && !weight; j++) {
			snprintf(known, sizeof(known), "blk.%u.%s.weight", i, parts[j].name);
			if (!strcmp(name, known))
				weight = parts[j].weight;
		}
	}
	if (!weight)
		return fail("%s: no matrix %s", l->path, name);
	free_weight(weight);
	weight->matrix = NULL;
	weight->plain = NULL;
	return create_weight(l, name, w, weight);
}
