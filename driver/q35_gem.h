/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_GEM_H
#define Q35_GEM_H

#include <drm/drm_gem_shmem_helper.h>

#include "q35_device.h"

struct q35_mmu;

struct q35_bo {
	struct drm_gem_shmem_object base; /* of device memory only base.base is in use */
	u32 flags; /* enum drm_q35_bo_flags */

	struct list_head blocks; /* device memory, in the order of the buffer's offsets */

	/* Host memory that is not imported, while bound; under the reservation lock. */
	unsigned int bindings;
	struct sg_table *sgt;
};

static inline struct q35_bo *to_q35_bo(struct drm_gem_object *obj)
{
	return container_of(to_drm_gem_shmem_obj(obj), struct q35_bo, base);
}

struct drm_gem_object *q35_gem_create_object(struct drm_device *drm, size_t size);
int q35_gem_bind(struct q35_bo *bo);
void q35_gem_unbind(struct q35_bo *bo);

/*
 * Called for each contiguous piece of a buffer, frame being a page table frame: an offset in device
 * memory, or a DMA address.
 */
typedef int (*q35_gem_extent_fn)(struct q35_mmu *mmu, u64 va, u64 frame, u64 size, u64 pte);

int q35_gem_for_each_extent(struct q35_bo *bo, u64 offset, u64 size, q35_gem_extent_fn fn,
			    struct q35_mmu *mmu, u64 va, u64 pte);

#endif /* Q35_GEM_H */
