// SPDX-License-Identifier: MIT
#include "formats.h"

#include "q35_hw.h"

static const struct format variants[] = {
	{"t8, groups of 256", Q35_T8, false, 256, Q35_META_MULTIPLIER},
	{"t8, groups of 128", Q35_T8, false, 128, Q35_META_MULTIPLIER},
	{"s, even steps, MSE-clipped", Q35_S_LLOYD, true, 0, 0},
};

#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

bool format_get(size_t index, struct format *f)
{
	const char *name = q35_format_name((enum q35_format)index);
	size_t formats;

	if (name) {
		*f = (struct format){name, (enum q35_format)index, false, 0, 0};
		return true;
	}
	for (formats = 0; q35_format_name((enum q35_format)formats); formats++)
		;
	if (index - formats >= VARIANTS)
		return false;
	*f = variants[index - formats];
	return true;
}

/*
 * 16 and 8 levels, their steps in the ratio of those that are best for normal weights, 0.335 and 0.586
 * standard deviations (J. Max, "Quantizing for minimum distortion", 1960). The library's grid has
 * one range for both, as min-max wants it.
 */
static void fill_even_steps(int8_t codebook[Q35_CODEBOOK_SIZE])
{
	int w;

	for (w = 0; w < Q35_CODEBOOK_SIZE / 2; w++) {
		codebook[w] = (int8_t)(16 * (w % 16) - 120);
		codebook[Q35_CODEBOOK_SIZE / 2 + w] = (int8_t)(28 * (w % 8) - 98);
	}
}

void format_init(const struct format *f, uint32_t n, uint32_t k, struct q35_weights *w)
{
	q35_weights_init(w, f->format, n, k);
	if (f->even_steps)
		fill_even_steps(w->codebook);
	w->group = f->group;
	w->meta_flags |= f->flags;
}

size_t weights_bytes(const struct q35_weights *w)
{
	return q35_tiles_size(w->n, w->k) + q35_meta_size(w->n, w->k, w->group, w->meta_flags);
}
