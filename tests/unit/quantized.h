/* SPDX-License-Identifier: MIT */
/*
 * A quantized matrix for tests, with the memory that belongs to it.
 */
#ifndef Q35_TEST_QUANTIZED_H
#define Q35_TEST_QUANTIZED_H

#include <stdlib.h>

#include "q35.h"

struct result {
	struct q35_weights w;
	struct q35_quantize_stats stats;
	void *tiles, *meta;
	size_t tiles_size, meta_size;
	int ret;
};

/* calibration may be NULL; flags come on top of what the format has. */
static inline struct result quantize_matrix(const struct q35_quantize_options *options,
					    const struct q35_calibration *calibration, uint32_t n,
					    uint32_t k, uint16_t group, uint8_t flags)
{
	struct result r;

	q35_weights_init(&r.w, options->format, n, k);
	r.w.group = group;
	r.w.meta_flags |= flags;
	r.tiles_size = q35_tiles_size(n, k);
	r.meta_size = q35_meta_size(n, k, group, r.w.meta_flags);
	r.tiles = malloc(r.tiles_size);
	r.meta = malloc(r.meta_size);
	r.ret = q35_quantize_calibrated(options, calibration, &r.w, r.tiles, r.meta, &r.stats);
	return r;
}

static inline void release(struct result *r)
{
	free(r->tiles);
	free(r->meta);
}

#endif /* Q35_TEST_QUANTIZED_H */
