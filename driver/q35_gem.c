// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Buffers
 *
 * Host memory is the shmem helper's, with one difference: pages are pinned and mapped for DMA only
 * while some address space binds them, so that no mapping outlives the card's presence, and an
 * unbound buffer costs nothing but swappable memory.
 *
 * Device memory comes from a buddy allocator over BAR2, in blocks as large as can be had but
 * scattered if need be, since the card's page tables hide it: so there is no fragmentation, and
 * ENOSPC means what it says. It is zeroed through the BAR before its owner sees it. User space maps
 * it write-combined, by page faults that fill 2 MiB at a time and stop with the card: on unplug the
 * mappings are zapped, and a later access raises SIGBUS; when the card sleeps likewise, and a later
 * access wakes it.
 *
 * Device memory is not exported. Another device would reach it through the BAR, by peer-to-peer DMA,
 * which kernels seldom have and IOMMUs seldom allow; and whoever has the addresses could write to
 * other clients' memory after the card was bound anew, unless importers could be made to let go,
 * which neither udmabuf nor vgem can. Who wants to share uses host memory and has the card copy.
 *
 * DMA is coherent: on a system where PCI devices do not snoop, cached buffers would need more.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_prime.h>

#include "drm/q35_accel.h"
#include "q35_client.h"
#include "q35_gem.h"
#include "q35_pm.h"

#define Q35_ZERO_CHUNK SZ_2M /* between two chances to reschedule */

/* ---- Host memory --------------------------------------------------------------------------- */

static const struct drm_gem_object_funcs q35_host_funcs = {
	.free = drm_gem_shmem_object_free,
	.print_info = drm_gem_shmem_object_print_info,
	.pin = drm_gem_shmem_object_pin,
	.unpin = drm_gem_shmem_object_unpin,
	.get_sg_table = drm_gem_shmem_object_get_sg_table,
	.vmap = drm_gem_shmem_object_vmap,
	.vunmap = drm_gem_shmem_object_vunmap,
	.mmap = drm_gem_shmem_object_mmap,
	.vm_ops = &drm_gem_shmem_vm_ops,
};

/* Called by the shmem helper, for its own and for imported buffers. */
struct drm_gem_object *q35_gem_create_object(struct drm_device *drm, size_t size)
{
	struct q35_bo *bo = kzalloc(sizeof(*bo), GFP_KERNEL_ACCOUNT);

	if (!bo)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&bo->blocks);
	bo->base.base.funcs = &q35_host_funcs;
	return &bo->base.base;
}

static struct drm_gem_object *q35_host_create(struct q35_device *q35, u64 size, u32 flags)
{
	struct drm_gem_shmem_object *shmem = drm_gem_shmem_create(&q35->drm, size);

	/* A file without an inode is ENOSPC, which here means device memory. */
	if (IS_ERR(shmem))
		return PTR_ERR(shmem) == -ENOSPC ? ERR_PTR(-ENOMEM) : ERR_CAST(shmem);
	shmem->map_wc = flags & DRM_Q35_BO_WC;
	to_q35_bo(&shmem->base)->flags = flags;

	/* Bounce buffers would need copying round every job: stay below what the card can reach. */
	if (dma_addressing_limited(q35->drm.dev))
		mapping_set_gfp_mask(shmem->base.filp->f_mapping,
				     GFP_USER | GFP_DMA32 | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	return &shmem->base;
}

/*
 * q35_gem_bind() - an address space binds the buffer for the first time
 *
 * The caller holds the buffer's reservation lock.
 */
int q35_gem_bind(struct q35_bo *bo)
{
	struct drm_gem_object *obj = &bo->base.base;
	struct sg_table *sgt;
	int ret;

	dma_resv_assert_held(obj->resv);

	if (bo->flags & DRM_Q35_BO_DEVICE || drm_gem_is_imported(obj) || bo->bindings++)
		return 0;

	ret = drm_gem_shmem_pin_locked(&bo->base);
	if (ret)
		goto err_unbind;
	sgt = drm_gem_shmem_get_sg_table(&bo->base);
	if (IS_ERR(sgt)) {
		ret = PTR_ERR(sgt);
		goto err_unpin;
	}
	ret = dma_map_sgtable(obj->dev->dev, sgt, DMA_BIDIRECTIONAL, 0);
	if (ret)
		goto err_free_sgt;
	bo->sgt = sgt;
	return 0;

err_free_sgt:
	sg_free_table(sgt);
	kfree(sgt);
err_unpin:
	drm_gem_shmem_unpin_locked(&bo->base);
err_unbind:
	bo->bindings--;
	return ret;
}

/* The last binding in an address space has gone, and the card's TLB has forgotten it. */
void q35_gem_unbind(struct q35_bo *bo)
{
	struct drm_gem_object *obj = &bo->base.base;

	dma_resv_assert_held(obj->resv);

	if (bo->flags & DRM_Q35_BO_DEVICE || drm_gem_is_imported(obj) || --bo->bindings)
		return;

	dma_unmap_sgtable(obj->dev->dev, bo->sgt, DMA_BIDIRECTIONAL, 0);
	sg_free_table(bo->sgt);
	kfree(bo->sgt);
	bo->sgt = NULL;
	drm_gem_shmem_unpin_locked(&bo->base);
}

/* ---- Device memory ------------------------------------------------------------------------- */

static void q35_device_free(struct drm_gem_object *obj)
{
	struct q35_device *q35 = to_q35_device(obj->dev);
	struct q35_bo *bo = to_q35_bo(obj);

	mutex_lock(&q35->memory.lock);
	q35_buddy_free_list(&q35->memory.buddy, &bo->blocks, 0);
	mutex_unlock(&q35->memory.lock);
	drm_gem_object_release(obj);
	kfree(bo);
}

static struct dma_buf *q35_device_export(struct drm_gem_object *obj, int flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}

/* Where a byte of the buffer is in device memory, and how many follow contiguously. */
static u64 q35_device_find(struct q35_bo *bo, u64 offset, u64 *contiguous)
{
	struct q35_device *q35 = to_q35_device(bo->base.base.dev);
	struct q35_buddy_block *block;

	list_for_each_entry(block, &bo->blocks, link) {
		u64 size = q35_buddy_block_size(&q35->memory.buddy, block);

		if (offset < size) {
			*contiguous = size - offset;
			return q35_buddy_block_offset(block) + offset;
		}
		offset -= size;
	}
	*contiguous = 0;
	return 0;
}

/* Maps from the faulting page to the end of its 2 MiB; only that page decides the outcome. */
static vm_fault_t q35_device_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct drm_gem_object *obj = vma->vm_private_data;
	struct q35_device *q35 = to_q35_device(obj->dev);
	unsigned long start = vmf->address;
	unsigned long end = min(ALIGN(vmf->address + 1, PMD_SIZE), vma->vm_end);
	vm_fault_t ret = VM_FAULT_SIGBUS;
	u64 at = 0, contiguous = 0;
	int idx;

	if (q35_pm_enter(q35, &idx))
		return VM_FAULT_SIGBUS;
	/* No lock that a reset takes may be held over an allocation; so look before and after. */
	if (READ_ONCE(q35->asleep)) {
		/* A pending signal is dealt with between two tries, if user space is at it. */
		ret = VM_FAULT_NOPAGE;
		schedule_timeout_uninterruptible(1);
		goto exit;
	}

	for (unsigned long address = start; address < end; address += PAGE_SIZE) {
		vm_fault_t one;

		if (!contiguous)
			at = q35_device_find(to_q35_bo(obj), address - vma->vm_start, &contiguous);
		if (!contiguous)
			break;
		one = vmf_insert_pfn(vma, address, (q35->memory.bus + at) >> PAGE_SHIFT);
		if (address == start)
			ret = one;
		if (one != VM_FAULT_NOPAGE)
			break;
		at += PAGE_SIZE;
		contiguous -= PAGE_SIZE;
	}
	smp_mb(); /* either this sees asleep, or q35_device_zap_mappings() what was inserted */
	if (READ_ONCE(q35->asleep))
		q35_zap_vma_range(vma, start, end - start);
exit:
	q35_pm_exit(q35, idx);
	return ret;
}

static const struct vm_operations_struct q35_device_vm_ops = {
	.fault = q35_device_fault,
	.open = drm_gem_vm_open,
	.close = drm_gem_vm_close,
};

static int q35_device_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	if (q35_vma_is_cow_mapping(vma))
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_page_prot = pgprot_writecombine(vm_get_page_prot(vma->vm_flags));
	return 0;
}

static const struct drm_gem_object_funcs q35_device_funcs = {
	.free = q35_device_free,
	.export = q35_device_export,
	.mmap = q35_device_mmap,
	.vm_ops = &q35_device_vm_ops,
};

static int q35_device_zero(struct q35_device *q35, struct q35_bo *bo)
{
	struct q35_buddy_block *block;
	int idx, ret = q35_pm_enter(q35, &idx);

	if (ret)
		return ret;
	list_for_each_entry(block, &bo->blocks, link) {
		u64 size = q35_buddy_block_size(&q35->memory.buddy, block);
		void __iomem *at = q35->memory.cpu + q35_buddy_block_offset(block);

		for (u64 done = 0; done < size && !ret; done += Q35_ZERO_CHUNK) {
			ret = q35_device_begin_access(q35);
			if (ret)
				break;
			memset_io(at + done, 0, min_t(u64, size - done, Q35_ZERO_CHUNK));
			q35_device_end_access(q35);
			cond_resched();
			if (fatal_signal_pending(current))
				ret = -EINTR;
		}
	}
	wmb(); /* out of the write-combining buffers before the card or another mapping looks */
	q35_pm_exit(q35, idx);
	return ret;
}

static struct drm_gem_object *q35_device_create(struct q35_device *q35, u64 size, u32 flags)
{
	struct q35_buddy *buddy = &q35->memory.buddy;
	struct drm_gem_object *obj;
	struct q35_bo *bo;
	int ret;

	bo = kzalloc(sizeof(*bo), GFP_KERNEL_ACCOUNT);
	if (!bo)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&bo->blocks);
	bo->flags = flags;
	obj = &bo->base.base;
	obj->funcs = &q35_device_funcs;
	drm_gem_private_object_init(&q35->drm, obj, size);

	mutex_lock(&q35->memory.lock);
	if (size > buddy->avail)
		ret = -ENOSPC;
	else
		ret = q35_buddy_alloc_blocks(buddy, 0, buddy->size, size, PAGE_SIZE, &bo->blocks,
					     0);
	mutex_unlock(&q35->memory.lock);
	if (!ret)
		ret = drm_gem_create_mmap_offset(obj);
	if (!ret)
		ret = q35_device_zero(q35, bo);
	if (ret) {
		drm_gem_object_put(obj);
		return ERR_PTR(ret);
	}
	return obj;
}

/* ---- Both ---------------------------------------------------------------------------------- */

/*
 * q35_gem_for_each_extent() - where a range of a bound buffer is
 *
 * Return: 0, the first error of @fn, or -EINVAL for an imported buffer that is not made of pages.
 */
int q35_gem_for_each_extent(struct q35_bo *bo, u64 offset, u64 size, q35_gem_extent_fn fn,
			    struct q35_mmu *mmu, u64 va, u64 pte)
{
	struct sg_table *sgt = drm_gem_is_imported(&bo->base.base) ? bo->base.sgt : bo->sgt;
	struct scatterlist *sg;
	u64 skip = offset;
	int i, ret = 0;

	if (bo->flags & DRM_Q35_BO_DEVICE) {
		while (size && !ret) {
			u64 contiguous, at = q35_device_find(bo, offset, &contiguous);
			u64 step = min(size, contiguous);

			ret = fn(mmu, va, at, step, pte | Q35_PTE_LOCAL);
			va += step;
			offset += step;
			size -= step;
		}
		return ret;
	}

	for_each_sgtable_dma_sg(sgt, sg, i) {
		u64 length = sg_dma_len(sg);
		u64 step;

		/* The lower bits of a page table entry are not the exporter's to set. */
		if (!PAGE_ALIGNED(sg_dma_address(sg) | length))
			return -EINVAL;
		if (skip >= length) {
			skip -= length;
			continue;
		}
		step = min(size, length - skip);
		ret = fn(mmu, va, sg_dma_address(sg) + skip, step, pte);
		va += step;
		size -= step;
		skip = 0;
		if (ret || !size)
			break;
	}
	return ret;
}

int q35_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct q35_device *q35 = to_q35_device(drm);
	struct drm_q35_bo_create *args = data;
	struct drm_gem_object *obj;
	u64 size;
	int ret;

	if (!args->size || args->flags & ~(DRM_Q35_BO_DEVICE | DRM_Q35_BO_WC) ||
	    args->flags == (DRM_Q35_BO_DEVICE | DRM_Q35_BO_WC))
		return -EINVAL;
	/* Neither can ever be had, and helpers further down take it for a bug of the caller's. */
	if (args->flags & DRM_Q35_BO_DEVICE) {
		if (args->size > q35->caps.memory)
			return -ENOSPC;
	} else if (args->size > (u64)totalram_pages() << PAGE_SHIFT) {
		return -ENOMEM;
	}
	size = PAGE_ALIGN(args->size);

	if (args->flags & DRM_Q35_BO_DEVICE)
		obj = q35_device_create(q35, size, args->flags);
	else
		obj = q35_host_create(q35, size, args->flags);
	if (IS_ERR(obj))
		return PTR_ERR(obj);

	args->size = size;
	ret = drm_gem_handle_create(file, obj, &args->handle);
	drm_gem_object_put(obj);
	return ret;
}

int q35_ioctl_bo_mmap_offset(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_q35_bo_mmap_offset *args = data;
	struct drm_gem_object *obj;
	int ret = 0;

	if (args->pad)
		return -EINVAL;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	if (drm_gem_is_imported(obj))
		ret = -EPERM;
	else
		args->offset = drm_vma_node_offset_addr(&obj->vma_node);
	drm_gem_object_put(obj);
	return ret;
}

int q35_ioctl_bo_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_q35_bo_info *args = data;
	struct drm_gem_object *obj;

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	args->flags = to_q35_bo(obj)->flags;
	args->size = obj->size;
	drm_gem_object_put(obj);
	return 0;
}

#if IS_BUILTIN(CONFIG_KUNIT)
#include "tests/q35_gem_test.c"
#endif
