/* SPDX-License-Identifier: MIT */
/* The formats to measure: all that libq35 has, and some of them with scales chosen otherwise. */
#ifndef FORMATS_H
#define FORMATS_H

#include <stdbool.h>
#include <stddef.h>

#include "q35.h"

#define FORMATS_MAX 16

struct format {
	const char *name;
	enum q35_format format; /* whose rules choose scales and zero-points */
	bool even_steps; /* tables of its own: scalar, all levels as far apart */
	uint16_t group;
	uint8_t flags; /* of the meta, besides the format's own */
};

/* The index-th, T8 first; false: there are no more. */
bool format_get(size_t index, struct format *f);
/* As q35_weights_init(). */
void format_init(const struct format *f, uint32_t n, uint32_t k, struct q35_weights *w);
/* Tiles and meta of w as format_init() left it. */
size_t weights_bytes(const struct q35_weights *w);

#endif /* FORMATS_H */
