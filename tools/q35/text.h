/* SPDX-License-Identifier: MIT */
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>

#include "tokenizer.h"

/* The first tokens of a file, at most limit; to be freed. Says why and returns FAILED, or if there are none. */
int text_tokens(const char *path, const struct tokenizer *tokenizer, uint64_t limit,
		uint32_t **tokens, size_t *count);

#endif /* TEXT_H */
