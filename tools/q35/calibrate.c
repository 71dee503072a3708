// SPDX-License-Identifier: MIT
#include "calibrate.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "order.h"
#include "session.h"
#include "text.h"

/* What a matrix does with channels that are free to change places. */
enum role { NOTHING, FIRST_TO_MAKE, MAKES, READS };

/* Of a layer, in order, and after which step of llama_step() their inputs are there. */
static const struct {
	const char *name;
	enum llama_step step;
	enum role role;
} matrices[] = {
	{"attn_q", LLAMA_NORM, NOTHING},
	{"attn_k", LLAMA_NORM, NOTHING},
	{"attn_v", LLAMA_NORM, FIRST_TO_MAKE},
	{"attn_output", LLAMA_ATTEND, READS},
	{"ffn_gate", LLAMA_ADD_ATTENTION, FIRST_TO_MAKE},
	{"ffn_up", LLAMA_ADD_ATTENTION, MAKES},
	{"ffn_down", LLAMA_GATE, READS},
};

#define MATRICES (sizeof(matrices) / sizeof(matrices[0]))

struct calibrate {
	struct calibrate_options options;
	struct session session;
	char name[64];

	uint32_t *tokens; /* of the text, with <s> at the head of each window */
	size_t count, window;
	float *x, *inner; /* [count][dim], [count][llama_inner()] */

	struct q35_calibration *calibration; /* of the inputs that the last step left */
	size_t steps; /* taken so far */

	struct order order; /* of the channels between the matrices whose turn it is */
	double *squares; /* while it is being found: sums of them, of each channel */
	uint32_t channels;
};

/* ---- The text ------------------------------------------------------------------------------ */

/* Every window begins with <s>, and as with q35 perplexity fills the model's context. */
static int cut_windows(struct calibrate *c, const uint32_t *text, size_t count)
{
	size_t own = c->window - 1, windows = (count + own - 1) / own, i;

	c->count = count + windows;
	c->tokens = calloc(c->count, sizeof(*c->tokens));
	if (!c->tokens)
		return fail("out of memory");
	for (i = 0; i < windows; i++) {
		uint32_t *to = c->tokens + i * c->window;

		to[0] = tokenizer_bos(c->session.tokenizer);
		memcpy(to + 1, text + i * own,
		       (count - i * own < own ? count - i * own : own) * sizeof(*text));
	}
	return DONE;
}

static int read_text(struct calibrate *c)
{
	uint32_t *text = NULL;
	size_t count;
	int ret;

	c->window = c->session.shape.context;
	if (c->window < 2)
		return fail("%s: a context of 1 token leaves none for text", c->options.model);
	ret = text_tokens(c->options.text, c->session.tokenizer, c->options.tokens, &text, &count);
	if (!ret && count < c->window - 1)
		ret = fail("%s: %zu tokens are too few to calibrate with, a context of %s is %zu",
			   c->options.text, count, c->options.model, c->window - 1);
	if (!ret)
		ret = cut_windows(c, text, count);
	free(text);
	return ret;
}

static int embed(struct calibrate *c)
{
	const struct llama_shape *s = &c->session.shape;
	struct llama *model = c->session.model;
	size_t at, n;

	c->x = calloc(c->count, sizeof(float) * s->dim);
	c->inner = calloc(c->count, sizeof(float) * llama_inner(model));
	if (!c->x || !c->inner)
		return fail("no memory for the activations of %zu tokens", c->count);
	for (at = 0; at < c->count; at += n) {
		n = c->count - at < c->window ? c->count - at : c->window;
		if (llama_embed(model, c->tokens + at, (uint32_t)n, c->x + at * s->dim))
			return FAILED;
	}
	return DONE;
}

int calibrate_open(const struct calibrate_options *options, struct calibrate **calibrate)
{
	struct calibrate *c = calloc(1, sizeof(*c));

	if (!c)
		return fail("out of memory");
	c->options = *options;
	if (session_open(&c->session, options->model, true) || read_text(c) ||
	    session_start(&c->session, "cpu", (uint32_t)c->window, false) || embed(c)) {
		calibrate_close(c);
		return FAILED;
	}
	*calibrate = c;
	return DONE;
}

void calibrate_close(struct calibrate *c)
{
	if (!c)
		return;
	q35_calibration_destroy(c->calibration);
	order_free(&c->order);
	session_close(&c->session);
	free(c->tokens);
	free(c->x);
	free(c->inner);
	free(c);
}

size_t calibrate_tokens(const struct calibrate *c)
{
	return c->count;
}

/* ---- The matrices -------------------------------------------------------------------------- */

size_t calibrate_matrices(const struct calibrate *c)
{
	return c->session.shape.layers * MATRICES + 1;
}

const char *calibrate_name(struct calibrate *c, size_t index)
{
	if (index == calibrate_matrices(c) - 1)
		return "output.weight";
	snprintf(c->name, sizeof(c->name), "blk.%zu.%s.weight", index / MATRICES,
		 matrices[index % MATRICES].name);
	return c->name;
}

/* Steps to take until the inputs of a matrix are there; the first is LLAMA_NORM of layer 0. */
static size_t steps_to(const struct calibrate *c, size_t index)
{
	size_t layer = index / MATRICES;

	if (index == calibrate_matrices(c) - 1)
		return layer * LLAMA_ADD_FF + 1;
	return layer * LLAMA_ADD_FF + matrices[index % MATRICES].step + 1;
}

/* Takes all of the text through the next step; see() is shown what matrices then read. */
static int walk(struct calibrate *c, size_t index,
		int (*see)(struct calibrate *c, uint32_t n, const float *input))
{
	const struct llama_shape *s = &c->session.shape;
	struct llama *model = c->session.model;
	/* LLAMA_ADD_FF leaves the inputs of the next layer as LLAMA_NORM does. */
	const enum llama_step step = c->steps ? (c->steps - 1) % LLAMA_ADD_FF + 1 : LLAMA_NORM;
	const uint32_t layer = c->steps ? (uint32_t)((c->steps - 1) / LLAMA_ADD_FF) : 0;
	const size_t inner = llama_inner(model);
	const float *input;
	size_t at, n, rest;

	for (at = 0; at < c->count; at += n) {
		rest = c->window - at % c->window;
		n = c->count - at < rest ? c->count - at : rest;
		n = n < llama_batch(model) ? n : llama_batch(model);
		if (llama_step(model, layer, step, (uint32_t)(at % c->window), (uint32_t)n,
			       c->x + at * s->dim, c->inner + at * inner, &input) ||
		    (see && see(c, (uint32_t)n, input)))
			return FAILED;
		if (c->options.progress(c->options.context, calibrate_name(c, index),
					(double)(at + n) / (double)c->count))
			return FAILED;
	}
	return DONE;
}

static int add_inputs(struct calibrate *c, uint32_t n, const float *input)
{
	return q35_calibration_add(c->calibration, n, input) ? fail("%s", q35_error(NULL)) : DONE;
}

static int add_squares(struct calibrate *c, uint32_t n, const float *input)
{
	uint32_t i, j;

	for (i = 0; i < n; i++, input += c->channels)
		for (j = 0; j < c->channels; j++)
			c->squares[j] += (double)input[j] * input[j];
	return DONE;
}

static uint32_t inputs_of(const struct calibrate *c, size_t index)
{
	const struct llama_shape *s = &c->session.shape;

	if (index == calibrate_matrices(c) - 1)
		return s->dim;
	switch (matrices[index % MATRICES].step) {
	case LLAMA_ATTEND:
		return s->heads * s->head_dim;
	case LLAMA_GATE:
		return s->ff;
	default:
		return s->dim;
	}
}

int calibrate_get(struct calibrate *c, size_t index, const struct q35_calibration **calibration)
{
	const size_t steps = steps_to(c, index);

	*calibration = c->calibration;
	if (c->steps == steps)
		return DONE;
	q35_calibration_destroy(c->calibration);
	c->calibration = NULL;
	if (q35_calibration_create(inputs_of(c, index), c->options.threads, &c->calibration))
		return fail("%s", q35_error(NULL));
	for (; c->steps < steps; c->steps++)
		if (walk(c, index, c->steps + 1 == steps ? add_inputs : NULL))
			return FAILED;
	if (q35_calibration_finish(c->calibration, Q35_DAMPING))
		return fail("%s: the inputs of %s: %s", c->options.text, calibrate_name(c, index),
			    q35_error(NULL));
	*calibration = c->calibration;
	return DONE;
}

/* The squares of inputs times those of the weights that read them. */
static int weigh_squares(struct calibrate *c, size_t reader)
{
	const struct q35_tensor *t = q35_file_find(c->session.file, calibrate_name(c, reader));
	float *row = calloc(c->channels, sizeof(*row));
	double *weights = calloc(c->channels, sizeof(*weights));
	int ret = DONE;
	uint64_t i;
	uint32_t j;

	if (!row || !weights)
		ret = fail("out of memory");
	for (i = 0; !ret && i < t->shape[0]; i++) {
		if (q35_tensor_read(t, i, 1, row))
			ret = fail("%s", q35_error(NULL));
		for (j = 0; j < c->channels; j++)
			weights[j] += (double)row[j] * row[j];
	}
	for (j = 0; !ret && j < c->channels; j++) {
		c->squares[j] *= weights[j];
		if (!isfinite(c->squares[j])) /* quantizing will say so, and where */
			c->squares[j] = 0;
	}
	free(row);
	free(weights);
	return ret;
}

/* Finds the order of what the matrix makes, by how it is before it is quantized. */
static int find_order(struct calibrate *c, size_t index)
{
	const struct llama_shape *s = &c->session.shape;
	size_t reader = index;
	int ret;

	while (matrices[reader % MATRICES].role != READS)
		reader++;
	c->channels = inputs_of(c, reader);
	c->squares = calloc(c->channels, sizeof(*c->squares));
	if (!c->squares)
		return fail("out of memory");
	order_free(&c->order);
	ret = walk(c, index, add_squares) || weigh_squares(c, reader);
	if (!ret && matrices[reader % MATRICES].step == LLAMA_ATTEND)
		ret = order_make(&c->order, s->heads, s->kv_heads, s->head_dim, c->squares);
	else if (!ret)
		ret = order_make(&c->order, 1, 1, s->ff, c->squares);
	free(c->squares);
	return ret ? FAILED : DONE;
}

int calibrate_order(struct calibrate *c, size_t index, const uint32_t **rows,
		    const uint32_t **columns)
{
	const enum role role =
		index == calibrate_matrices(c) - 1 ? NOTHING : matrices[index % MATRICES].role;

	*rows = NULL;
	*columns = NULL;
	if (!c->options.order || role == NOTHING)
		return DONE;
	if (role == FIRST_TO_MAKE && find_order(c, index))
		return FAILED;
	if (role == READS)
		*columns = c->order.columns;
	else
		*rows = c->order.rows;
	return DONE;
}

int calibrate_put(struct calibrate *c, size_t index, const struct q35_weights *w)
{
	return llama_replace(c->session.model, calibrate_name(c, index), w);
}
