// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Jobs
 *
 * What the uAPI calls a submission is one job of the scheduler here. All that can fail happens
 * before drm_sched_job_arm(): memory, fence, dependencies. Running a job copies its descriptors
 * into the ring and rings the doorbell, once however many there are; the last one carries the
 * sequence number and the interrupt, since the card completes a ring in order. Credits are
 * descriptors, so the scheduler keeps the ring from overflowing.
 *
 * A job runs through the scheduler even if its queue has died: it then ends at once, with an error.
 * So every fence has seen its dependencies signal, every job is freed in one way, and the card's
 * fence is the parent of every finished fence.
 *
 * The card's fences hold a reference to the module, because whoever has a file descriptor of one
 * calls through its ops long after the file, the queue and the device have gone.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>

#include "q35_job.h"
#include "q35_pm.h"
#include "q35_queue.h"
#include "q35_trace.h"

struct q35_fence {
	struct dma_fence base;
	struct q35_queue *queue; /* its lock is the fence's, and its name the timeline's */
};

static struct q35_fence *to_q35_fence(struct dma_fence *fence)
{
	return container_of(fence, struct q35_fence, base);
}

static const char *q35_fence_get_driver_name(struct dma_fence *fence)
{
	return "q35";
}

static const char *q35_fence_get_timeline_name(struct dma_fence *fence)
{
	return to_q35_fence(fence)->queue->name;
}

static void q35_fence_release(struct dma_fence *fence)
{
	q35_queue_put(to_q35_fence(fence)->queue);
	kfree_rcu(to_q35_fence(fence), base.rcu);
	module_put(THIS_MODULE);
}

static const struct dma_fence_ops q35_fence_ops = {
	.get_driver_name = q35_fence_get_driver_name,
	.get_timeline_name = q35_fence_get_timeline_name,
	.release = q35_fence_release,
};

static struct q35_job *to_q35_job(struct drm_sched_job *job)
{
	return container_of(job, struct q35_job, base);
}

/*
 * q35_job_create() - a submission, not yet committed
 * @descs: checked; the job's from here on, also when this fails
 * @count: 0 for a submission that only orders syncobjs: it becomes a NOP
 * @file: who submits
 *
 * The caller is in q35_pm_enter(), holds a reference to the queue and has seen it alive.
 */
struct q35_job *q35_job_create(struct q35_queue *queue, struct q35_hw_desc *descs, u32 count,
			       struct drm_file *file)
{
	struct q35_job *job;
	struct q35_fence *fence;
	int ret = -ENOMEM;

	job = kzalloc(sizeof(*job), GFP_KERNEL_ACCOUNT);
	if (!job)
		goto err_free_descs;
	if (!count) {
		descs = kvzalloc(sizeof(*descs), GFP_KERNEL_ACCOUNT);
		if (!descs)
			goto err_free_job;
		descs->op = cpu_to_le16(Q35_OP_NOP);
		descs->flags = cpu_to_le16(Q35_DESC_BARRIER);
		count = 1;
	}
	fence = kzalloc(sizeof(*fence), GFP_KERNEL_ACCOUNT);
	if (!fence)
		goto err_free_job;
	fence->queue = queue;

	job->queue = queue;
	job->fence = &fence->base;
	job->descs = descs;
	job->count = count;
	INIT_LIST_HEAD(&job->link);

	ret = q35_sched_job_init(&job->base, &queue->entity, count, file);
	if (ret)
		goto err_free_fence;

	/* The caller's handle keeps users above zero until the job has its own. */
	refcount_inc(&queue->users);
	kref_get(&queue->kref);
	q35_pm_get(queue->q35);
	return job;

err_free_fence:
	kfree(fence);
err_free_job:
	kfree(job);
err_free_descs:
	kvfree(descs);
	return ERR_PTR(ret);
}

static void q35_job_destroy(struct q35_job *job)
{
	struct q35_queue *queue = job->queue;

	kvfree(job->descs);
	kfree(job);
	q35_pm_put(queue->q35);
	q35_queue_put_user(queue);
	q35_queue_put(queue);
}

/* Undo q35_job_create(). */
void q35_job_abort(struct q35_job *job)
{
	drm_sched_job_cleanup(&job->base);
	kfree(to_q35_fence(job->fence));
	q35_job_destroy(job);
}

/*
 * q35_job_push() - commit the submission
 *
 * Cannot fail. The caller holds submit_lock, so that submissions are numbered in the order in which
 * they run.
 *
 * Return: the fence of its end, with a reference for the caller.
 */
struct dma_fence *q35_job_push(struct q35_job *job)
{
	struct q35_queue *queue = job->queue;
	struct dma_fence *finished;

	lockdep_assert_held(&queue->submit_lock);

	__module_get(THIS_MODULE);
	kref_get(&queue->kref);
	dma_fence_init(job->fence, &q35_fence_ops, &queue->lock, queue->fence_context,
		       ++queue->submissions);
	trace_q35_submit(job);
	drm_sched_job_arm(&job->base);
	finished = dma_fence_get(&job->base.s_fence->finished);
	drm_sched_entity_push_job(&job->base);
	return finished;
}

/*
 * q35_job_emit() - copy into the ring and ring the doorbell
 *
 * The only register access of a submission. The caller holds the queue's lock.
 */
void q35_job_emit(struct q35_job *job)
{
	struct q35_queue *queue = job->queue;
	struct q35_device *q35 = queue->q35;
	const struct q35_hw_desc *descs = job->descs + job->done;
	u32 count = job->count - job->done;
	u32 offset = queue->tail & (queue->ring_size - 1);
	u32 to_end = min(count, queue->ring_size - offset);
	struct q35_hw_desc *last = &job->descs[job->count - 1];

	lockdep_assert_held(&queue->lock);

	last->flags |= cpu_to_le16(Q35_DESC_NOTIFY | Q35_DESC_IRQ);
	last->seqno = cpu_to_le64(job->fence->seqno);
	memcpy(queue->ring + offset, descs, to_end * sizeof(*descs));
	memcpy(queue->ring, descs + to_end, (count - to_end) * sizeof(*descs));

	job->first = queue->tail - job->done;
	trace_q35_run(job);
	queue->tail += count;
	queue->emitted = job->fence->seqno;
	list_add_tail(&job->link, &queue->inflight);
	q35_queue_expect(queue);
	atomic64_inc(&q35->stats.submissions);
	atomic64_add(count, &q35->stats.jobs);

	/* writel() orders the ring's contents before the doorbell. */
	q35_write(q35,
		  q35->caps.doorbell_offset + queue->slot * q35->caps.doorbell_stride +
			  Q35_DOORBELL_TAIL,
		  queue->tail);
}

static struct dma_fence *q35_job_run(struct drm_sched_job *sched_job)
{
	struct q35_job *job = to_q35_job(sched_job);
	struct q35_queue *queue = job->queue;
	bool entered, cookie = dma_fence_begin_signalling();
	unsigned long flags;
	int error, idx;

	entered = drm_dev_enter(&queue->q35->drm, &idx);
	spin_lock_irqsave(&queue->lock, flags);
	error = entered ? queue->cancel : -ENODEV;
	if (!error && queue->park) {
		list_add_tail(&job->link, &queue->parked);
	} else if (!error) {
		q35_job_emit(job);
	} else {
		trace_q35_complete(job, error);
		dma_fence_set_error(job->fence, error);
		dma_fence_signal_locked(job->fence);
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	if (entered)
		drm_dev_exit(idx);
	dma_fence_end_signalling(cookie);
	return dma_fence_get(job->fence);
}

static enum drm_gpu_sched_stat q35_job_timedout(struct drm_sched_job *sched_job)
{
	struct q35_job *job = to_q35_job(sched_job);
	int idx;

	/* After an unplug, whoever stops the card ends the job. */
	if (drm_dev_enter(&job->queue->q35->drm, &idx)) {
		q35_queue_fail(job->queue, job);
		drm_dev_exit(idx);
	}
	return q35_sched_keep(sched_job);
}

static void q35_job_free(struct drm_sched_job *sched_job)
{
	struct q35_job *job = to_q35_job(sched_job);

	drm_sched_job_cleanup(sched_job);
	dma_fence_put(job->fence);
	q35_job_destroy(job);
}

const struct drm_sched_backend_ops q35_job_ops = {
	.run_job = q35_job_run,
	.timedout_job = q35_job_timedout,
	.free_job = q35_job_free,
};
