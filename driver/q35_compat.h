/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that the module builds on, 6.12 and newer. Kbuild looks each
 * change up in the kernel's headers and defines Q35_HAVE_*: distributions backport, so a version
 * number proves nothing.
 */
#ifndef Q35_COMPAT_H
#define Q35_COMPAT_H

#include <linux/mm.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gpuvm.h>
#include <drm/gpu_scheduler.h>

#ifdef Q35_HAVE_GPU_BUDDY
#include <linux/gpu_buddy.h>

#include <drm/drm_buddy.h> /* drm_buddy_print() */

#define q35_buddy gpu_buddy
#define q35_buddy_block gpu_buddy_block
#define q35_buddy_init gpu_buddy_init
#define q35_buddy_fini gpu_buddy_fini
#define q35_buddy_alloc_blocks gpu_buddy_alloc_blocks
#define q35_buddy_free_list gpu_buddy_free_list
#define q35_buddy_block_offset gpu_buddy_block_offset
#define q35_buddy_block_size gpu_buddy_block_size
#else
#include <drm/drm_buddy.h>

#define q35_buddy drm_buddy
#define q35_buddy_block drm_buddy_block
#define q35_buddy_init drm_buddy_init
#define q35_buddy_fini drm_buddy_fini
#define q35_buddy_alloc_blocks drm_buddy_alloc_blocks
#define q35_buddy_free_list drm_buddy_free_list
#define q35_buddy_block_offset drm_buddy_block_offset
#define q35_buddy_block_size drm_buddy_block_size
#endif

#ifdef Q35_HAVE_ZAP_SPECIAL_VMA_RANGE
#define q35_zap_vma_range zap_special_vma_range
#else
#define q35_zap_vma_range zap_vma_ptes
#endif

/* One entity, no priorities: the card has them. */
static inline int q35_sched_init(struct drm_gpu_scheduler *sched,
				 const struct drm_sched_backend_ops *ops, u32 credits, long timeout,
				 struct workqueue_struct *timeout_wq, const char *name,
				 struct device *dev)
{
#ifdef Q35_HAVE_SCHED_INIT_ARGS
	const struct drm_sched_init_args args = {
		.ops = ops,
		.num_rqs = 1,
		.credit_limit = credits,
		.timeout = timeout,
		.timeout_wq = timeout_wq,
		.name = name,
		.dev = dev,
	};

	return drm_sched_init(sched, &args);
#else
	return drm_sched_init(sched, ops, NULL, 1, credits, 0, timeout, timeout_wq, NULL, name,
			      dev);
#endif
}

static inline int q35_sched_job_init(struct drm_sched_job *job, struct drm_sched_entity *entity,
				     u32 credits, struct drm_file *file)
{
#ifdef Q35_HAVE_SCHED_CLIENT_ID
	return drm_sched_job_init(job, entity, credits, NULL, file->client_id);
#else
	return drm_sched_job_init(job, entity, credits, NULL);
#endif
}

/*
 * What timedout_job() returns when the job is to be treated as one still pending: either it is, or
 * its fence has been signalled meanwhile. Before DRM_GPU_SCHED_STAT_NO_HANG the scheduler forgot a
 * job that it had handed to timedout_job(), so it is put back, and the workers are woken in case
 * the job had already finished; before the lock is let go, since from then on they may free the job, and
 * the last one's end is the scheduler's.
 */
static inline enum drm_gpu_sched_stat q35_sched_keep(struct drm_sched_job *job)
{
#ifdef Q35_HAVE_SCHED_NO_HANG
	return DRM_GPU_SCHED_STAT_NO_HANG;
#else
	struct drm_gpu_scheduler *sched = job->sched;

	spin_lock(&sched->job_list_lock);
	list_add(&job->list, &sched->pending_list);
	drm_sched_wqueue_start(sched);
	spin_unlock(&sched->job_list_lock);
	return DRM_GPU_SCHED_STAT_NOMINAL;
#endif
}

static inline int q35_gpuvm_map(struct drm_gpuvm *vm, void *priv, u64 va, u64 size,
				struct drm_gem_object *obj, u64 offset)
{
#ifdef Q35_HAVE_GPUVM_MAP_REQ
	const struct drm_gpuvm_map_req req = {
		.map.va.addr = va,
		.map.va.range = size,
		.map.gem.obj = obj,
		.map.gem.offset = offset,
	};

	return drm_gpuvm_sm_map(vm, priv, &req);
#else
	return drm_gpuvm_sm_map(vm, priv, va, size, obj, offset);
#endif
}

static inline bool q35_vma_is_cow_mapping(struct vm_area_struct *vma)
{
#ifdef Q35_HAVE_VMA_IS_COW_MAPPING
	return vma_is_cow_mapping(vma);
#else
	return is_cow_mapping(vma->vm_flags);
#endif
}

#ifdef Q35_HAVE_DRIVER_GEM_GPUVA
#define Q35_DRIVER_GEM_GPUVA DRIVER_GEM_GPUVA
#else
#define Q35_DRIVER_GEM_GPUVA 0
#endif

#ifdef Q35_HAVE_GPUVM_BO_OBTAIN_LOCKED
#define q35_gpuvm_bo_obtain drm_gpuvm_bo_obtain_locked
#else
#define q35_gpuvm_bo_obtain drm_gpuvm_bo_obtain
#endif

#endif /* Q35_COMPAT_H */
