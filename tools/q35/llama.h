/* SPDX-License-Identifier: MIT */
/*
 * A llama model whose every matrix product runs on a Q35 device. The work in between (norms, rotary
 * positions, attention, see layers.h) is the host's; so are, in f32, the products with matrices that
 * are not quantized, which is how a quantized model is compared with what it was and calibrated.
 */
#ifndef LLAMA_H
#define LLAMA_H

#include <stdbool.h>
#include <stdint.h>

#include "q35.h"
#include "q35_model.h"

struct llama_shape {
	uint32_t layers, dim, heads, kv_heads, head_dim, ff, vocabulary;
	uint32_t context; /* positions that the model was trained for */
	uint32_t rope_dims;
	double rope_base;
	float epsilon;
};

struct llama_work { /* done since the model was loaded */
	uint64_t jobs, submissions;
	uint64_t macs, weight_bytes; /* tiles and scales that the jobs read */
};

struct llama;

/* Functions that fail have said why and return FAILED. */

bool llama_is_quantized(const struct q35_file *file);

/* What the file says about the model's shape, checked. */
int llama_read_shape(const struct q35_file *file, const char *path, struct llama_shape *shape);

/*
 * Puts the weights onto the device, with room for the keys and values of positions tokens. The file
 * must outlive the model: embeddings are read from it.
 */
int llama_load(struct q35 *dev, const struct q35_file *file, const char *path, uint32_t positions,
	       struct llama **model);
void llama_free(struct llama *model);

/*
 * Feeds count tokens, 1 … llama_batch(), at the next positions. logits points at what the model
 * expects after the last of them or, with all, after each: [count][vocabulary], until the next call.
 */
int llama_feed(struct llama *model, const uint32_t *tokens, uint32_t count, bool all,
	       const float **logits);
uint32_t llama_batch(const struct llama *model);
void llama_rewind(struct llama *model); /* to position 0 */

/*
 * The way through a layer in steps, for calibration: each reads the inputs that the one before it has
 * left, and tells those of the matrices that come next. Windows of text pass one step after the
 * other, and between steps matrices may be replaced.
 */
enum llama_step {
	LLAMA_NORM, /* input of attn_q, attn_k, attn_v */
	LLAMA_ATTEND, /* input of attn_output */
	LLAMA_ADD_ATTENTION, /* input of ffn_gate, ffn_up */
	LLAMA_GATE, /* input of ffn_down */
	LLAMA_ADD_FF, /* input of the next layer; of output after the last */
	LLAMA_STEPS
};

/*
 * Takes rows position … position + count - 1 of a window through a step, count at most
 * llama_batch(). x[count][dim] holds the residual stream, inner[count][llama_inner()] what the step
 * before has left; both are changed. input: the matrices' inputs, until the next call. From
 * LLAMA_ATTEND on position 0 begins a window.
 */
int llama_step(struct llama *model, uint32_t layer, enum llama_step step, uint32_t position,
	       uint32_t count, float *x, float *inner, const float **input);
uint32_t llama_inner(const struct llama *model);
/* The embeddings of tokens, which x begins with. */
int llama_embed(struct llama *model, const uint32_t *tokens, uint32_t count, float *x);
/* The products with matrix name are made with w from now on, of which it makes a copy. */
int llama_replace(struct llama *model, const char *name, const struct q35_weights *w);

const struct llama_work *llama_work(const struct llama *model);
int llama_counters(struct llama *model, struct q35_counters *counters);

#endif /* LLAMA_H */
