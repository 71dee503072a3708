/* SPDX-License-Identifier: MIT */
/* Choosing the next token. */
#ifndef SAMPLER_H
#define SAMPLER_H

#include <stddef.h>
#include <stdint.h>

struct sampler {
	double temperature; /* 0: always the likeliest token */
	uint64_t state; /* of the random numbers: begins as the seed */
};

/* The lowest token among the likeliest; with a temperature, one drawn by softmax(logits / T). */
uint32_t sampler_choose(struct sampler *s, const float *logits, size_t count);

#endif /* SAMPLER_H */
