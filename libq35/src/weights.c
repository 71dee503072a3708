// SPDX-License-Identifier: MIT
#include <string.h>

#include "codebook.h"
#include "format.h"
#include "q35.h"

_Static_assert(Q35_CODEBOOK_SIZE == Q35_CODEBOOK_BYTES, "q35.h and format.h agree");

const char *q35_format_name(enum q35_format format)
{
	static const char *const names[] = {
		[Q35_T8] = "t8",	   [Q35_S_MINMAX] = "s-minmax",
		[Q35_S_LLOYD] = "s-lloyd", [Q35_T7] = "t7",
		[Q35_T6] = "t6",	   [Q35_T5] = "t5",
		[Q35_T4] = "t4",
	};

	return (size_t)format < sizeof(names) / sizeof(names[0]) ? names[format] : NULL;
}

size_t q35_tiles_size(uint32_t n, uint32_t k)
{
	return q35_format_tiles_size(n, k);
}

size_t q35_meta_size(uint32_t n, uint32_t k, uint16_t group, uint8_t meta_flags)
{
	return q35_format_meta_size(n, k, group, meta_flags);
}

void q35_weights_init(struct q35_weights *w, enum q35_format format, uint32_t n, uint32_t k)
{
	memset(w, 0, sizeof(*w));
	w->n = n;
	w->k = k;
	w->window_bits = Q35_WINDOW_BITS;
	if (format == Q35_S_MINMAX || format == Q35_S_LLOYD)
		w->meta_flags = Q35_META_ZERO;
	memcpy(w->codebook, q35_codebook(format), sizeof(w->codebook));
}
