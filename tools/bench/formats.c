// SPDX-License-Identifier: MIT
#include "formats.h"

#include <string.h>

#include "q35_hw.h"

static const struct format variants[] = {
	{"t8, groups of 256", Q35_T8, Q35_T8, 256, Q35_META_MULTIPLIER},
	{"t8, groups of 128", Q35_T8, Q35_T8, 128, Q35_META_MULTIPLIER},
	/* The even grid, but at the distance of least square error. */
	{"s-minmax, MSE-clipped", Q35_S_LLOYD, Q35_S_MINMAX, 0, 0},
};

#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

bool format_get(size_t index, struct format *f)
{
	const char *name = q35_format_name((enum q35_format)index);
	size_t formats;

	if (name) {
		*f = (struct format){name, (enum q35_format)index, (enum q35_format)index, 0, 0};
		return true;
	}
	for (formats = 0; q35_format_name((enum q35_format)formats); formats++)
		;
	if (index - formats >= VARIANTS)
		return false;
	*f = variants[index - formats];
	return true;
}

void format_init(const struct format *f, uint32_t n, uint32_t k, struct q35_weights *w)
{
	struct q35_weights tables;

	q35_weights_init(&tables, f->codebook, n, k);
	q35_weights_init(w, f->format, n, k);
	memcpy(w->codebook, tables.codebook, sizeof(w->codebook));
	w->group = f->group;
	w->meta_flags |= f->flags;
}

size_t weights_bytes(const struct q35_weights *w)
{
	return q35_tiles_size(w->n, w->k) + q35_meta_size(w->n, w->k, w->group, w->meta_flags);
}
