/* SPDX-License-Identifier: MIT */
/*
 * What the inputs of a model's matrices are when it reads a text. Matrix by matrix, in the order in
 * which the model multiplies: each sees inputs that those before it, quantized already, have made.
 */
#ifndef CALIBRATE_H
#define CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "q35.h"

struct calibrate;

struct calibrate_options {
	const char *model, *text; /* files; the model is not quantized */
	uint64_t tokens; /* of the text, at most */
	unsigned int threads; /* 0: one per processor */
	bool order; /* channels as order.h has it */
	/* part of 1 is done of the way to the matrix called name; not 0 stops: FAILED. */
	int (*progress)(void *context, const char *name, double part);
	void *context;
};

/* Functions that fail have said why and return FAILED. */
int calibrate_open(const struct calibrate_options *options, struct calibrate **calibrate);
void calibrate_close(struct calibrate *c);

size_t calibrate_matrices(const struct calibrate *c);
const char *calibrate_name(struct calibrate *c, size_t index); /* until the next call */
size_t calibrate_tokens(const struct calibrate *c);

/* Matrix index, each in turn, from 0: the inputs that it will meet, and then what it has become. */
int calibrate_get(struct calibrate *c, size_t index, const struct q35_calibration **calibration);
/*
 * In which order its rows or columns are to be stored, of which calibrate_put() is told as well; NULL: as
 * they are. After calibrate_get(), valid until the one of another matrix.
 */
int calibrate_order(struct calibrate *c, size_t index, const uint32_t **rows,
		    const uint32_t **columns);
int calibrate_put(struct calibrate *c, size_t index, const struct q35_weights *w);

#endif /* CALIBRATE_H */
