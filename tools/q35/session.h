/* SPDX-License-Identifier: MIT */
/*
 * A quantized model on a device and, to check it, a second one on the CPU that is fed the same
 * tokens and must give the same logits, bit for bit.
 */
#ifndef SESSION_H
#define SESSION_H

#include <jansson.h>

#include "llama.h"
#include "tokenizer.h"

struct session { /* begins as all zeros */
	const char *path;
	struct q35_file *file;
	struct llama_shape shape;
	struct tokenizer *tokenizer;
	struct q35 *device, *reference_device;
	struct llama *model, *reference;
	double seconds; /* that the model took, without the reference */
	uint64_t compared; /* tokens whose logits were found to be the same */
};

/* Functions that fail have said why and return FAILED. */
/* plain: a model that is not quantized will do as well; its products are made on the host. */
int session_open(struct session *s, const char *path, bool plain);

/* device as in q35_open(), "auto" for NULL. positions: at most that many tokens will be fed. */
int session_start(struct session *s, const char *device, uint32_t positions, bool compare);
void session_close(struct session *s);

/*
 * Feeds count tokens, 1 … llama_batch(). logits points at those after the last token, or with all
 * after each, until the next call.
 */
int session_feed(struct session *s, const uint32_t *tokens, uint32_t count, bool all,
		 const float **logits);
void session_rewind(struct session *s); /* the next token is the first of a text */

/* What was done and where: to stderr, or into json. */
int session_report(struct session *s);
int session_report_json(struct session *s, json_t *json);

#endif /* SESSION_H */
