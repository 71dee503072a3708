// SPDX-License-Identifier: MIT
/*
 * The command's llama, on a model of odd sizes with random weights: the same bits however the
 * tokens are fed, and close to a plain forward pass in double over the dequantized weights.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "layers.c"
#include "llama.c"
#include "llama_load.c"
#include "order.c"

enum {
	LAYERS = 2,
	DIM = 40,
	HEADS = 4,
	KV_HEADS = 2,
	HEAD_DIM = 10,
	ROPE_DIMS = 6,
	FF = 72,
	VOCABULARY = 50,
	CONTEXT = 24,
	MATRICES = 7 * LAYERS + 1,
};

static const double rope_base = 500;
static const float epsilon = 1e-5f;

static char said[256];

int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	return FAILED;
}

/* ---- The model ----------------------------------------------------------------------------- */

struct matrix {
	char name[40];
	uint32_t n, k;
	float *w; /* before quantization */
	double *back; /* dequantized */
	void *tiles, *meta;
	struct q35_weights q;
};

struct tiny {
	struct matrix matrices[MATRICES]; /* q, k, v, o, gate, up, down of each layer, output */
	float embeddings[VOCABULARY * DIM];
	float norms[2 * LAYERS + 1][DIM]; /* attention and ff of each layer, output */
};

static uint32_t state = 35;

static float random_float(void) /* roughly normal */
{
	float sum = 0;
	int i;

	for (i = 0; i < 4; i++) {
		state = state * 1664525 + 1013904223;
		sum += (float)(state >> 8) * 0x1p-24f - 0.5f;
	}
	return sum * 1.7f;
}

static int read_matrix(void *context, uint32_t row, uint32_t count, float *out)
{
	const struct matrix *m = context;

	memcpy(out, m->w + (size_t)row * m->k, (size_t)count * m->k * sizeof(*out));
	return 0;
}

static void make_matrix(struct matrix *m, const char *name, uint32_t n, uint32_t k)
{
	struct q35_quantize_options options = {.read = read_matrix, .context = m, .threads = 1};
	float row[FF]; /* FF is the largest k */
	size_t i, j;

	strcpy(m->name, name);
	m->n = n;
	m->k = k;
	m->w = calloc((size_t)n * k, sizeof(*m->w));
	m->back = calloc((size_t)n * k, sizeof(*m->back));
	for (i = 0; i < (size_t)n * k; i++)
		m->w[i] = random_float() * 1.5f / sqrtf((float)k);
	q35_weights_init(&m->q, Q35_T8, n, k);
	m->tiles = malloc(q35_tiles_size(n, k));
	m->meta = malloc(q35_meta_size(n, k, 0, m->q.meta_flags));
	if (q35_quantize(&options, &m->q, m->tiles, m->meta, NULL))
		abort();
	for (i = 0; i < n; i++) {
		if (q35_dequantize(&m->q, (uint32_t)i, 1, row))
			abort();
		for (j = 0; j < k; j++)
			m->back[i * k + j] = row[j];
	}
}

static void make_tiny(struct tiny *t)
{
	static const struct {
		const char *name;
		uint32_t n, k;
	} kinds[7] = {
		{"attn_q", HEADS * HEAD_DIM, DIM},
		{"attn_k", KV_HEADS * HEAD_DIM, DIM},
		{"attn_v", KV_HEADS * HEAD_DIM, DIM},
		{"attn_output", DIM, HEADS * HEAD_DIM},
		{"ffn_gate", FF, DIM},
		{"ffn_up", FF, DIM},
		{"ffn_down", DIM, FF},
	};
	char name[40];
	int i, j;

	for (i = 0; i < LAYERS; i++)
		for (j = 0; j < 7; j++) {
			snprintf(name, sizeof(name), "blk.%d.%s.weight", i, kinds[j].name);
			make_matrix(&t->matrices[7 * i + j], name, kinds[j].n, kinds[j].k);
		}
	make_matrix(&t->matrices[7 * LAYERS], "output.weight", VOCABULARY, DIM);
	for (i = 0; i < VOCABULARY * DIM; i++)
		t->embeddings[i] = random_float();
	for (i = 0; i < (2 * LAYERS + 1) * DIM; i++)
		t->norms[i / DIM][i % DIM] = 1 + 0.1f * random_float();
}

static void free_tiny(struct tiny *t)
{
	int i;

	for (i = 0; i < MATRICES; i++) {
		free(t->matrices[i].w);
		free(t->matrices[i].back);
		free(t->matrices[i].tiles);
		free(t->matrices[i].meta);
	}
}

static void put_key(FILE *f, const char *key, uint32_t type, const void *value, size_t size)
{
	uint64_t length = strlen(key);

	fwrite(&length, sizeof(length), 1, f);
	fwrite(key, 1, length, f);
	fwrite(&type, sizeof(type), 1, f);
	fwrite(value, size, 1, f);
}

/* Metadata that q35_writer can only copy: f32. */
static struct q35_file *real_metadata(const char *path)
{
	static const char head[] = "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0";
	FILE *f = fopen(path, "wb");
	struct q35_file *file;

	if (!f)
		abort();
	fwrite(head, 1, sizeof(head) - 1, f);
	put_key(f, "llama.attention.layer_norm_rms_epsilon", 6, &epsilon, 4);
	put_key(f, "llama.rope.freq_base", 12, &rope_base, 8);
	if (fclose(f) || q35_file_open(path, &file))
		abort();
	return file;
}

static void must(int ret)
{
	if (ret) {
		fprintf(stderr, "%s\n", q35_error(NULL));
		abort();
	}
}

/* extra: a tensor by that name too; key: a number to change or add; NULL: none. */
static void write_tiny(const struct tiny *t, const char *path, const char *extra, const char *key,
		       uint32_t value)
{
	static const struct {
		const char *key;
		uint32_t value;
	} numbers[] = {
		{"llama.block_count", LAYERS},
		{"llama.embedding_length", DIM},
		{"llama.feed_forward_length", FF},
		{"llama.context_length", CONTEXT},
		{"llama.attention.head_count", HEADS},
		{"llama.attention.head_count_kv", KV_HEADS},
		{"llama.rope.dimension_count", ROPE_DIMS},
		{"q35.version", 1},
		{"q35.window_bits", 8},
	};
	const uint64_t table[2] = {VOCABULARY, DIM}, dim = DIM, four = 4;
	struct q35_file *real = real_metadata(path);
	struct q35_writer *w;
	char name[64];
	size_t i;

	must(q35_writer_create(path, &w));
	must(q35_writer_copy_metadata(w, real));
	q35_file_close(real);
	must(q35_writer_string(w, "general.architecture", "llama"));
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		must(q35_writer_u32(w, numbers[i].key, numbers[i].value));
	must(q35_writer_i8_array(w, "q35.codebook", t->matrices[0].q.codebook, Q35_CODEBOOK_SIZE));
	if (key && !strcmp(key, "llama.rope.scaling.type"))
		must(q35_writer_string(w, key, "yarn"));
	else if (key)
		must(q35_writer_u32(w, key, value));

	must(q35_writer_tensor(w, "token_embd.weight", Q35_TENSOR_F32, 2, table));
	for (i = 0; i < 2 * LAYERS + 1; i++) {
		snprintf(name, sizeof(name),
			 i < 2 * LAYERS ? "blk.%zu.%s_norm.weight" : "output_norm.weight", i / 2,
			 i % 2 ? "ffn" : "attn");
		must(q35_writer_tensor(w, name, Q35_TENSOR_F32, 1, &dim));
	}
	for (i = 0; i < MATRICES; i++) {
		const struct matrix *m = &t->matrices[i];
		const uint64_t tiles = q35_tiles_size(m->n, m->k);
		const uint64_t meta = q35_meta_size(m->n, m->k, 0, m->q.meta_flags);

		snprintf(name, sizeof(name), "%s.q35_tiles", m->name);
		must(q35_writer_tensor(w, name, Q35_TENSOR_I8, 1, &tiles));
		snprintf(name, sizeof(name), "%s.q35_meta", m->name);
		must(q35_writer_tensor(w, name, Q35_TENSOR_I8, 1, &meta));
		snprintf(name, sizeof(name), "%s.q35_shape", m->name);
		must(q35_writer_tensor(w, name, Q35_TENSOR_I32, 1, &four));
	}
	if (extra)
		must(q35_writer_tensor(w, extra, Q35_TENSOR_F32, 1, &dim));
	must(q35_writer_begin(w));
	must(q35_writer_data(w, t->embeddings, sizeof(t->embeddings)));
	for (i = 0; i < 2 * LAYERS + 1; i++)
		must(q35_writer_data(w, t->norms[i], sizeof(t->norms[i])));
	for (i = 0; i < MATRICES; i++) {
		const struct matrix *m = &t->matrices[i];
		const int32_t shape[4] = {(int32_t)m->n, (int32_t)m->k, 0, m->q.meta_flags};

		must(q35_writer_data(w, m->tiles, q35_tiles_size(m->n, m->k)));
		must(q35_writer_data(w, m->meta, q35_meta_size(m->n, m->k, 0, m->q.meta_flags)));
		must(q35_writer_data(w, shape, sizeof(shape)));
	}
	if (extra)
		must(q35_writer_data(w, t->norms[0], sizeof(t->norms[0])));
	must(q35_writer_finish(w));
	q35_writer_destroy(w);
}

/* ---- The forward pass as the papers have it ------------------------------------------------- */

static void multiply(const struct matrix *m, const double *x, double *y)
{
	uint32_t i, j;

	for (i = 0; i < m->n; i++) {
		y[i] = 0;
		for (j = 0; j < m->k; j++)
			y[i] += m->back[(size_t)i * m->k + j] * x[j];
	}
}

static void norm(const double *x, const float *weight, double *y)
{
	double sum = 0;
	int i;

	for (i = 0; i < DIM; i++)
		sum += x[i] * x[i];
	for (i = 0; i < DIM; i++)
		y[i] = x[i] / sqrt(sum / DIM + epsilon) * weight[i];
}

static void rotate(double *x, int heads, int position)
{
	int h, i;

	for (h = 0; h < heads; h++)
		for (i = 0; i < ROPE_DIMS / 2; i++) {
			double *pair = x + h * HEAD_DIM + 2 * i, a = pair[0], b = pair[1];
			double angle = position * pow(rope_base, -2.0 * i / ROPE_DIMS);

			pair[0] = a * cos(angle) - b * sin(angle);
			pair[1] = a * sin(angle) + b * cos(angle);
		}
}

static double keys[LAYERS][CONTEXT][KV_HEADS * HEAD_DIM];
static double values[LAYERS][CONTEXT][KV_HEADS * HEAD_DIM];

static void attention_in_double(int layer, int position, const double *q, double *out)
{
	int h, p, i;

	for (h = 0; h < HEADS; h++) {
		const int kv = h / (HEADS / KV_HEADS) * HEAD_DIM;
		double weights[CONTEXT], sum = 0;

		for (p = 0; p <= position; p++) {
			double score = 0;

			for (i = 0; i < HEAD_DIM; i++)
				score += q[h * HEAD_DIM + i] * keys[layer][p][kv + i];
			sum += weights[p] = exp(score / sqrt(HEAD_DIM));
		}
		for (i = 0; i < HEAD_DIM; i++) {
			out[h * HEAD_DIM + i] = 0;
			for (p = 0; p <= position; p++)
				out[h * HEAD_DIM + i] +=
					weights[p] / sum * values[layer][p][kv + i];
		}
	}
}

static void forward(const struct tiny *t, uint32_t token, int position, double *logits)
{
	double x[DIM], h[DIM], q[HEADS * HEAD_DIM], a[HEADS * HEAD_DIM], g[FF], u[FF], y[DIM];
	int layer, i;

	for (i = 0; i < DIM; i++)
		x[i] = t->embeddings[token * DIM + i];
	for (layer = 0; layer < LAYERS; layer++) {
		const struct matrix *m = &t->matrices[7 * layer];

		norm(x, t->norms[2 * layer], h);
		multiply(&m[0], h, q);
		multiply(&m[1], h, keys[layer][position]);
		multiply(&m[2], h, values[layer][position]);
		rotate(q, HEADS, position);
		rotate(keys[layer][position], KV_HEADS, position);
		attention_in_double(layer, position, q, a);
		multiply(&m[3], a, y);
		for (i = 0; i < DIM; i++)
			x[i] += y[i];
		norm(x, t->norms[2 * layer + 1], h);
		multiply(&m[4], h, g);
		multiply(&m[5], h, u);
		for (i = 0; i < FF; i++)
			g[i] = g[i] / (1 + exp(-g[i])) * u[i];
		multiply(&m[6], g, y);
		for (i = 0; i < DIM; i++)
			x[i] += y[i];
	}
	norm(x, t->norms[2 * LAYERS], h);
	multiply(&t->matrices[7 * LAYERS], h, logits);
}

/* ---- Tests --------------------------------------------------------------------------------- */

FIXTURE(llama)
{
	char path[32];
	struct tiny tiny;
	struct q35 *dev;
	struct q35_file *file;
	struct llama *model;
	uint32_t tokens[CONTEXT];
};

FIXTURE_SETUP(llama)
{
	int i;

	strcpy(self->path, "/tmp/q35-llama-XXXXXX");
	close(mkstemp(self->path));
	make_tiny(&self->tiny);
	write_tiny(&self->tiny, self->path, NULL, NULL, 0);
	ASSERT_EQ(0, q35_open("cpu", &self->dev));
	ASSERT_EQ(0, q35_file_open(self->path, &self->file));
	ASSERT_EQ(0, llama_load(self->dev, self->file, self->path, CONTEXT, &self->model))
	{
		TH_LOG("%s", said);
	}
	for (i = 0; i < CONTEXT; i++)
		self->tokens[i] = (uint32_t)(i * i * 7 + 3) % VOCABULARY;
}

FIXTURE_TEARDOWN(llama)
{
	llama_free(self->model);
	q35_file_close(self->file);
	q35_close(self->dev);
	free_tiny(&self->tiny);
	unlink(self->path);
}

TEST_F(llama, logits_are_close_to_a_plain_forward_pass)
{
	double wanted[VOCABULARY], error = 0, power = 0;
	const float *logits;
	int i, j;

	ASSERT_EQ(0, llama_feed(self->model, self->tokens, CONTEXT, true, &logits));
	for (i = 0; i < CONTEXT; i++) {
		forward(&self->tiny, self->tokens[i], i, wanted);
		for (j = 0; j < VOCABULARY; j++) {
			error += pow(logits[i * VOCABULARY + j] - wanted[j], 2);
			power += pow(wanted[j], 2);
		}
	}
	/* activations of 8 bits cost 2.6 %; the wrong activation function alone, 15 % */
	EXPECT_LT(sqrt(error / power), 0.04)
	{
		TH_LOG("relative error %.4f", sqrt(error / power));
	}
}

TEST_F(llama, tokens_one_by_one_give_the_same_bits_as_together)
{
	static const uint32_t portions[] = {1, 5, 2, 16};
	float together[CONTEXT * VOCABULARY];
	const float *logits;
	uint32_t i, at = 0;

	ASSERT_EQ(0, llama_feed(self->model, self->tokens, CONTEXT, true, &logits));
	memcpy(together, logits, sizeof(together));
	llama_rewind(self->model);
	for (i = 0; i < CONTEXT; i++) {
		ASSERT_EQ(0, llama_feed(self->model, self->tokens + i, 1, false, &logits));
		EXPECT_EQ(0, memcmp(together + i * VOCABULARY, logits, VOCABULARY * 4));
	}
	llama_rewind(self->model);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0,
			  llama_feed(self->model, self->tokens + at, portions[i], false, &logits));
		at += portions[i];
		EXPECT_EQ(0, memcmp(together + (at - 1) * VOCABULARY, logits, VOCABULARY * 4));
	}
}

/* The matrix before quantization, with rows and columns in another order or, NULL, as they are. */
static void set_plain(struct weight *weight, const struct matrix *m, const uint32_t *rows,
		      const uint32_t *columns)
{
	const struct q35_tensor t = {
		.type = Q35_TENSOR_F32,
		.dims = 2,
		.shape = {m->n, m->k, 1, 1},
		.data = m->w,
		.size = (size_t)m->n * m->k * sizeof(*m->w),
	};

	free_weight(weight);
	weight->matrix = NULL;
	weight->plain = malloc(t.size);
	must(order_read(&t, rows, columns, 0, m->n, weight->plain));
}

static void set_all_plain(struct llama *l, const struct tiny *t, bool ordered)
{
	double importance[FF];
	struct order values, channels;
	int i, j;

	for (i = 0; i < LAYERS; i++) {
		const struct matrix *m = &t->matrices[7 * i];
		struct layer *layer = &l->layers[i];

		for (j = 0; j < FF; j++)
			importance[j] = random_float();
		must(order_make(&values, HEADS, KV_HEADS, HEAD_DIM, importance));
		must(order_make(&channels, 1, 1, FF, importance));
		set_plain(&layer->q, &m[0], NULL, NULL);
		set_plain(&layer->k, &m[1], NULL, NULL);
		set_plain(&layer->v, &m[2], ordered ? values.rows : NULL, NULL);
		set_plain(&layer->o, &m[3], NULL, ordered ? values.columns : NULL);
		set_plain(&layer->gate, &m[4], ordered ? channels.rows : NULL, NULL);
		set_plain(&layer->up, &m[5], ordered ? channels.rows : NULL, NULL);
		set_plain(&layer->down, &m[6], NULL, ordered ? channels.columns : NULL);
		order_free(&values);
		order_free(&channels);
	}
	set_plain(&l->output, &t->matrices[7 * LAYERS], NULL, NULL);
}

TEST_F(llama, another_order_of_channels_changes_nothing)
{
	float before[CONTEXT * VOCABULARY];
	double error = 0, power = 0;
	const float *logits;
	int i;

	set_all_plain(self->model, &self->tiny, false);
	ASSERT_EQ(0, llama_feed(self->model, self->tokens, CONTEXT, true, &logits));
	memcpy(before, logits, sizeof(before));
	llama_rewind(self->model);
	set_all_plain(self->model, &self->tiny, true);
	for (i = 0; i < LAYERS; i++)
		EXPECT_NE(0,
			  memcmp(self->model->layers[i].o.plain, self->tiny.matrices[7 * i + 3].w,
				 sizeof(float) * DIM * HEADS * HEAD_DIM));
	ASSERT_EQ(0, llama_feed(self->model, self->tokens, CONTEXT, true, &logits));
	for (i = 0; i < CONTEXT * VOCABULARY; i++) {
		error += pow(logits[i] - before[i], 2);
		power += pow(before[i], 2);
	}
	EXPECT_LT(sqrt(error / power), 2e-6); /* sums in another order */
	EXPECT_GT(error, 0);
}

TEST_F(llama, result_does_not_depend_on_threads)
{
	float first[CONTEXT * VOCABULARY];
	const float *logits;
	unsigned int threads;

	set_all_plain(self->model, &self->tiny, false);
	for (threads = 1; threads <= 5; threads++) {
		q35_pool_destroy(self->model->pool);
		ASSERT_EQ(0, q35_pool_create(threads, &self->model->pool));
		llama_rewind(self->model);
		ASSERT_EQ(0, llama_feed(self->model, self->tokens, CONTEXT, true, &logits));
		if (threads == 1)
			memcpy(first, logits, sizeof(first));
		EXPECT_EQ(0, memcmp(first, logits, sizeof(first)));
	}
}

TEST(important_channels_get_the_even_places_of_their_head)
{
	const double importance[] = {1, 5, 2, 0, /**/ 0, 1, 9, 0, /**/ 8, 1, 2, 3, /**/ 0, 0, 0, 4};
	/* Of the two heads of each: 1 6 11 0 and 8 1 2 7. */
	const uint32_t rows[] = {2, 0, 1, 3, 4, 6, 7, 5};
	const uint32_t columns[] = {2, 0, 1, 3, 6, 4, 5, 7, 8, 10, 11, 9, 12, 14, 15, 13};
	struct order o;

	ASSERT_EQ(0, order_make(&o, 4, 2, 4, importance));
	EXPECT_EQ(0, memcmp(rows, o.rows, sizeof(rows)));
	EXPECT_EQ(0, memcmp(columns, o.columns, sizeof(columns)));
	order_free(&o);
}

TEST_F(llama, later_tokens_never_change_earlier_logits)
{
	float before[5 * VOCABULARY];
	const float *logits = NULL;

	ASSERT_EQ(0, llama_feed(self->model, self->tokens, 5, true, &logits));
	memcpy(before, logits, sizeof(before));
	llama_rewind(self->model);
	self->tokens[5] ^= 1;
	ASSERT_EQ(0, llama_feed(self->model, self->tokens, 6, true, &logits));
	EXPECT_EQ(0, memcmp(before, logits, sizeof(before)));
}

TEST_F(llama, work_is_counted)
{
	const struct llama_work *work = llama_work(self->model);
	const float *logits;
	uint64_t macs = 0;
	int i;

	ASSERT_EQ(0, llama_feed(self->model, self->tokens, 3, true, &logits));
	for (i = 0; i < MATRICES; i++)
		macs += 3 * self->tiny.matrices[i].n * self->tiny.matrices[i].k;
	EXPECT_EQ(MATRICES, work->jobs);
	EXPECT_EQ(3 * LAYERS + 1, work->submissions);
	EXPECT_EQ(macs, work->macs);
}

TEST_F(llama, more_tokens_than_positions_are_refused)
{
	const float *logits;

	ASSERT_EQ(0, llama_feed(self->model, self->tokens, CONTEXT - 1, false, &logits));
	EXPECT_EQ(FAILED, llama_feed(self->model, self->tokens, 2, false, &logits));
	EXPECT_EQ(0, llama_feed(self->model, self->tokens, 1, false, &logits));
	EXPECT_EQ(FAILED, llama_feed(self->model, self->tokens, 1, false, &logits));
}

TEST_F(llama, what_would_give_wrong_text_is_refused)
{
	static const struct {
		const char *extra, *key;
		uint32_t value;
		const char *sentence;
	} bad[] = {
		{"blk.0.attn_q.bias", NULL, 0, "has 1 tensors more than a plain llama model"},
		{"rope_freqs.weight", NULL, 0, "has 1 tensors more than a plain llama model"},
		{NULL, "llama.rope.scaling.type", 0, "rope scaling yarn is not supported"},
		{NULL, "llama.rope.scale_linear", 4, "rope scaling by 4 is not supported"},
		{NULL, "llama.rope.dimension_count", 7, "llama.rope.dimension_count is odd"},
		{NULL, "llama.rope.dimension_count", 12, "rope.dimension_count is 12, not 1 to 10"},
		{NULL, "llama.block_count", 1, "tensors more than a plain llama model"},
		{NULL, "llama.block_count", 3, "no Q35 matrix blk.2.attn_q.weight"},
		{NULL, "llama.block_count", 1u << 31, "llama.block_count is 2147483648, not 1 to"},
		{NULL, "llama.block_count", 0, "llama.block_count is 0"},
		{NULL, "llama.embedding_length", 41, "token_embd.weight is no table"},
		{NULL, "llama.feed_forward_length", 71, "ffn_gate.weight is 72 x 40, not 71 x 40"},
		{NULL, "llama.attention.head_count", 6, "attn_q.weight is 40 x 40, not 36 x 40"},
		{NULL, "llama.attention.head_count", 1u << 31, "llama.attention.head_count is"},
		{NULL, "llama.attention.head_count_kv", 3, "4 heads cannot share 3 keys"},
		{NULL, "llama.attention.head_count_kv", 4, "attn_k.weight is 20 x 40, not 40 x 40"},
		{NULL, "llama.attention.key_length", 5, "4 heads of 5 elements"},
		{NULL, "llama.rope.freq_base", 0, "llama.rope.freq_base is 0"},
		{NULL, "general.architecture", 1, "not a llama model"},
		{NULL, "q35.window_bits", 9, "q35.window_bits is not 8"},
	};
	struct llama *model = NULL;
	struct q35_file *file;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_tiny(&self->tiny, self->path, bad[i].extra, bad[i].key, bad[i].value);
		ASSERT_EQ(0, q35_file_open(self->path, &file));
		said[0] = '\0';
		EXPECT_EQ(FAILED, llama_load(self->dev, file, self->path, CONTEXT, &model));
		EXPECT_NE(NULL, strstr(said, bad[i].sentence))
		{
			TH_LOG("wanted \"%s\", said \"%s\"", bad[i].sentence, said);
		}
		q35_file_close(file);
	}
}

TEST_HARNESS_MAIN
