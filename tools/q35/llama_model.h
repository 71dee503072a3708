/* SPDX-License-Identifier: MIT */
/* What llama_load.c fills in and llama.c runs. */
#ifndef LLAMA_MODEL_H
#define LLAMA_MODEL_H

#include "llama.h"
#include "threads.h"

#define JOBS_MAX 3 /* in a submission */

struct weight {
	uint32_t n, k;
	struct q35_matrix *matrix; /* or, if it is not quantized, */
	float *plain; /* [n][k] */
	uint64_t bytes; /* read by a job */
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
	struct q35_pool *pool; /* for the host's share */

	struct layer *layers;
	struct weight output;
	float *output_norm;
	const struct q35_tensor *embeddings;
	size_t known_tensors; /* tensors of the file that the model uses */

	uint32_t positions, batch, position;
	float *rope, *scores; /* scores[heads][positions] */
	struct q35_buffer *x, *h, *q, *a, *g, *keys, *values, *logits;

	struct q35_job jobs[JOBS_MAX];
	const struct weight *plain[JOBS_MAX]; /* what the host multiplies with instead, or NULL */
	size_t job_count;
	struct llama_work work;
};

#endif /* LLAMA_MODEL_H */
