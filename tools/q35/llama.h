/* SPDX-License-Identifier: MIT */
/*
 * A llama model whose every matrix product runs on a Q35 device. The work in between (norms, rotary
 * positions, attention, see layers.h) is the host's.
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

const struct llama_work *llama_work(const struct llama *model);
int llama_counters(struct llama *model, struct q35_counters *counters);

#endif /* LLAMA_H */
