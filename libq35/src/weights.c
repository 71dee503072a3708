// SPDX-License-Identifier: MIT
#include <string.h>

#include "codebook.h"
#include "format.h"
#include "q35.h"

_Static_assert(Q35_CODEBOOK_SIZE == Q35_CODEBOOK_BYTES, "q35.h and format.h agree");

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
