/* SPDX-License-Identifier: MIT */
/* Text to tokens and back, by the SentencePiece vocabulary that a llama GGUF carries. */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "q35_model.h"

struct tokenizer;

/* Functions that fail have said why and return FAILED. The file must outlive the tokenizer. */
int tokenizer_load(const struct q35_file *file, const char *path, struct tokenizer **tokenizer);
void tokenizer_free(struct tokenizer *t);

size_t tokenizer_vocabulary(const struct tokenizer *t);
uint32_t tokenizer_bos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);
bool tokenizer_ends(const struct tokenizer *t, uint32_t token); /* the text ends with it */

/* Tokens of a text, without <s>; the caller frees them. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, uint32_t **tokens,
		     size_t *count);

/* The bytes that a token stands for into out, at most max of them; returns how many it has. */
size_t tokenizer_decode(const struct tokenizer *t, uint32_t token, char *out, size_t max);

#endif /* TOKENIZER_H */
