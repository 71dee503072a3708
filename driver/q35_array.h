/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_ARRAY_H
#define Q35_ARRAY_H

#include <linux/types.h>

struct drm_q35_array;

void *q35_array_copy(const struct drm_q35_array *array, size_t size, u32 cap);

#endif /* Q35_ARRAY_H */
