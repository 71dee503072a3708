// SPDX-License-Identifier: GPL-2.0-only
/* The SUBMIT ioctl: from what user space hands in to a job that can no longer fail. */
#include <linux/dma-fence-chain.h>

#include <drm/drm_file.h>
#include <drm/drm_syncobj.h>

#include "drm/q35_accel.h"
#include "q35_array.h"
#include "q35_client.h"
#include "q35_job.h"
#include "q35_pm.h"
#include "q35_queue.h"
#include "q35_submit.h"

/* A syncobj to be signalled. */
struct q35_signal {
	struct drm_syncobj *syncobj;
	struct dma_fence_chain *chain; /* for a timeline */
	u64 point;
};

static bool q35_desc_ok(const struct q35_device *q35, const struct q35_hw_desc *desc)
{
	static const u32 needs[] = {
		[Q35_OP_NOP] = 0,
		[Q35_OP_GEMM] = Q35_FEATURE_GEMM,
		[Q35_OP_COPY] = Q35_FEATURE_COPY,
		[Q35_OP_FILL] = Q35_FEATURE_FILL,
		[Q35_OP_FENCE] = Q35_FEATURE_FENCE,
		[Q35_OP_TIMESTAMP] = Q35_FEATURE_TIMESTAMP,
	};
	u16 op = le16_to_cpu(desc->op);

	return op < ARRAY_SIZE(needs) && (q35->caps.features & needs[op]) == needs[op] &&
	       !(le16_to_cpu(desc->flags) & ~Q35_DESC_FLAGS_USER) && !desc->seqno;
}

static int q35_submit_add_wait(struct q35_job *job, struct drm_file *file,
			       const struct drm_q35_sync *sync)
{
	struct dma_fence *fence;
	int ret;

	ret = drm_syncobj_find_fence(file, sync->handle, sync->point, 0, &fence);
	if (ret)
		return ret;
	return drm_sched_job_add_dependency(&job->base, fence);
}

static int q35_submit_add_signal(struct q35_signal *signal, struct drm_file *file,
				 const struct drm_q35_sync *sync)
{
	signal->syncobj = drm_syncobj_find(file, sync->handle);
	if (!signal->syncobj)
		return -ENOENT;
	if (!(sync->flags & DRM_Q35_SYNC_TIMELINE))
		return 0;

	signal->point = sync->point;
	signal->chain = dma_fence_chain_alloc();
	return signal->chain ? 0 : -ENOMEM;
}

static int q35_submit_add_syncs(struct q35_job *job, struct drm_file *file,
				const struct drm_q35_sync *syncs, u32 count,
				struct q35_signal *signals)
{
	for (u32 i = 0; i < count; i++) {
		const struct drm_q35_sync *sync = &syncs[i];
		bool timeline = sync->flags & DRM_Q35_SYNC_TIMELINE;
		int ret;

		if (sync->flags & ~(DRM_Q35_SYNC_SIGNAL | DRM_Q35_SYNC_TIMELINE) ||
		    timeline != !!sync->point)
			return -EINVAL;
		if (sync->flags & DRM_Q35_SYNC_SIGNAL)
			ret = q35_submit_add_signal(&signals[i], file, sync);
		else
			ret = q35_submit_add_wait(job, file, sync);
		if (ret)
			return ret;
	}
	return 0;
}

static void q35_submit_signal(struct q35_signal *signals, u32 count, struct dma_fence *fence)
{
	for (u32 i = 0; i < count; i++) {
		if (!signals[i].syncobj)
			continue;
		if (signals[i].chain) {
			drm_syncobj_add_point(signals[i].syncobj, signals[i].chain, fence,
					      signals[i].point);
			signals[i].chain = NULL;
		} else {
			drm_syncobj_replace_fence(signals[i].syncobj, fence);
		}
	}
}

static void q35_submit_free_signals(struct q35_signal *signals, u32 count)
{
	for (u32 i = 0; signals && i < count; i++) {
		dma_fence_chain_free(signals[i].chain);
		if (signals[i].syncobj)
			drm_syncobj_put(signals[i].syncobj);
	}
	kvfree(signals);
}

static int q35_submit(struct q35_queue *queue, struct drm_q35_submit *args, struct drm_file *file)
{
	struct q35_signal *signals = NULL;
	struct drm_q35_sync *syncs;
	struct q35_hw_desc *descs;
	struct dma_fence *fence;
	struct q35_job *job;
	int idx, ret;

	descs = q35_array_copy(&args->jobs, sizeof(*descs), q35_ring_size(queue->q35));
	if (IS_ERR(descs))
		return PTR_ERR(descs);
	for (u32 i = 0; i < args->jobs.count; i++) {
		if (!q35_desc_ok(queue->q35, &descs[i])) {
			args->bad_job = i;
			kvfree(descs);
			return -EINVAL;
		}
	}

	syncs = q35_array_copy(&args->syncs, sizeof(*syncs), Q35_MAX_SYNCS);
	if (IS_ERR(syncs)) {
		kvfree(descs);
		return PTR_ERR(syncs);
	}

	/* Not earlier: user space can make a copy from it last for ever, and an unplug would wait. */
	ret = q35_pm_enter(queue->q35, &idx);
	if (ret) {
		kvfree(descs);
		goto out_free_syncs;
	}
	job = q35_job_create(queue, descs, args->jobs.count, file);
	if (IS_ERR(job)) {
		ret = PTR_ERR(job);
		goto out_exit;
	}
	if (syncs) {
		signals = kvcalloc(args->syncs.count, sizeof(*signals), GFP_KERNEL_ACCOUNT);
		if (!signals) {
			ret = -ENOMEM;
			goto out_abort;
		}
		ret = q35_submit_add_syncs(job, file, syncs, args->syncs.count, signals);
		if (ret)
			goto out_abort;
	}

	mutex_lock(&queue->submit_lock);
	ret = READ_ONCE(queue->cancel);
	if (ret) {
		mutex_unlock(&queue->submit_lock);
		if (ret != -ENODEV)
			ret = -EIO;
		goto out_abort;
	}
	fence = q35_job_push(job);
	/* Under the lock, so that a timeline's points are added in the order of the jobs. */
	q35_submit_signal(signals, signals ? args->syncs.count : 0, fence);
	mutex_unlock(&queue->submit_lock);
	dma_fence_put(fence);
	goto out_free_signals;

out_abort:
	q35_job_abort(job);
out_free_signals:
	q35_submit_free_signals(signals, args->syncs.count);
out_exit:
	q35_pm_exit(queue->q35, idx);
out_free_syncs:
	kvfree(syncs);
	return ret;
}

int q35_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_q35_submit *args = data;
	struct q35_queue *queue;
	int ret;

	args->bad_job = U32_MAX;
	queue = q35_client_get_queue(file->driver_priv, args->queue_id);
	if (!queue)
		return -ENOENT;
	ret = q35_submit(queue, args, file);
	q35_queue_put_user(queue);
	q35_queue_put(queue);
	return ret;
}

#if IS_BUILTIN(CONFIG_KUNIT)
#include "tests/q35_submit_test.c"
#endif
