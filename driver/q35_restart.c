// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Queues when the card is reset
 *
 * A reset of the card empties every ring. Queues that have not failed get theirs again, with the jobs
 * that were not complete, from the descriptor on that the card got to: it writes back how far it is
 * after each one. So no descriptor runs again after a later one has run that has a barrier
 * before it, and nobody can tell, but for the time it takes. What cannot be repeated is a product that
 * may have begun and takes an operand from where it puts its result.
 *
 * Meanwhile jobs that the scheduler hands over are parked: behind those of the ring, which are parked
 * as well until the ring is there again.
 */
#include <linux/dma-fence.h>

#include "q35_job.h"
#include "q35_queue.h"

/* Let nothing more onto the card, for a reason that holds until q35_queue_unpark(). */
void q35_queue_park(struct q35_queue *queue, enum q35_park why)
{
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	queue->park |= why;
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* Run what was parked, with its time starting now, and what comes. */
void q35_queue_unpark(struct q35_queue *queue, enum q35_park why)
{
	struct q35_job *job, *next;
	unsigned long flags;
	bool go;

	spin_lock_irqsave(&queue->lock, flags);
	go = queue->park == why;
	queue->park &= ~why;
	if (go)
		queue->resumed = jiffies;
	/* If it has died meanwhile, q35_queue_flush() ends what is parked. */
	list_for_each_entry_safe(job, next, &queue->parked, link) {
		if (!go || queue->cancel)
			break;
		list_del_init(&job->link);
		q35_job_emit(job);
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	if (go && READ_ONCE(queue->on_card)) /* or it may have no scheduler, yet */
		drm_sched_resume_timeout(&queue->sched, msecs_to_jiffies(queue->timeout_ms));
}

/*
 * q35_queue_drain() - wait for what is on the card to end, the queue being parked
 *
 * Return: 0, or -EBUSY if it has not at the deadline, in jiffies.
 */
int q35_queue_drain(struct q35_queue *queue, unsigned long deadline)
{
	struct dma_fence *last = NULL;
	unsigned long flags;
	long left = 1;

	spin_lock_irqsave(&queue->lock, flags);
	if (!list_empty(&queue->inflight))
		last = dma_fence_get(
			list_last_entry(&queue->inflight, struct q35_job, link)->fence);
	spin_unlock_irqrestore(&queue->lock, flags);

	if (last) {
		left = max_t(long, deadline - jiffies, 1);
		left = dma_fence_wait_timeout(last, false, left);
		dma_fence_put(last);
	}
	return left > 0 ? 0 : -EBUSY;
}

/* As q35_device_read_counters(), since the queue was created. It is in its slot. */
void q35_queue_read_counters(struct q35_queue *queue, u64 *counters)
{
	u64 before[ARRAY_SIZE(queue->counters_before)];

	memcpy(before, queue->counters_before, sizeof(before));
	q35_device_read_counters(queue->q35, q35_queue_reg(queue, Q35_QREG_COUNTERS), counters);
	for (u32 i = 0; i < ARRAY_SIZE(before); i++)
		counters[i] += before[i];
}

/* The card is about to forget what it has counted. reset_sem is held for writing, and slots_lock. */
void q35_queue_save_counters(struct q35_queue *queue)
{
	if (queue->on_card)
		q35_queue_read_counters(queue, queue->counters_before);
}

static bool q35_desc_in_place(const struct q35_hw_desc *desc)
{
	return le16_to_cpu(desc->op) == Q35_OP_GEMM && desc->gemm.combine != Q35_HW_COMBINE_NONE &&
	       desc->gemm.aux_va == desc->gemm.y_va;
}

/*
 * Whether what is in flight can run again, after a reset, from where the card got to. Of what it may
 * have begun nothing may be computed from what it itself has overwritten: from the head to
 * the next barrier that is what combines with its output in place. Sets the oldest job's progress.
 */
static bool q35_queue_can_repeat(struct q35_queue *queue)
{
	struct q35_job *job = list_first_entry_or_null(&queue->inflight, struct q35_job, link);
	bool head = true;
	u32 i;

	lockdep_assert_held(&queue->lock);

	if (!job)
		return true;
	i = le32_to_cpu(READ_ONCE(queue->writeback->head)) - job->first;
	if (i < job->done || i >= job->count)
		return false; /* the card contradicts itself */
	job->done = i;

	list_for_each_entry(job, &queue->inflight, link) {
		for (i = job->done; i < job->count; i++) {
			const struct q35_hw_desc *desc = &job->descs[i];

			if (!head && le16_to_cpu(desc->flags) & Q35_DESC_BARRIER)
				return true;
			if (q35_desc_in_place(desc))
				return false;
			head = false;
		}
	}
	return true;
}

/*
 * q35_queue_restart() - the card has been reset: it gets the queue again, parked
 *
 * The caller holds reset_sem for writing, unparks it when all is in place, and loses it
 * if that fails.
 *
 * Return: 0, also for a queue that has never been on the card, or an error if it cannot go on.
 */
int q35_queue_restart(struct q35_queue *queue)
{
	u64 busy = q35_queue_busy_ns(queue);
	unsigned long flags;
	int ret;

	if (!queue->on_card && !READ_ONCE(queue->cancel))
		return 0;

	spin_lock_irqsave(&queue->lock, flags);
	q35_queue_complete_locked(queue);
	ret = queue->cancel;
	if (!ret && !q35_queue_can_repeat(queue))
		ret = -ECANCELED;
	if (!ret) {
		queue->park |= Q35_PARK_RESET;
		list_splice_init(&queue->inflight, &queue->parked);
		queue->busy_before = busy;
		queue->tail = 0;
		queue->reported = 0;
		queue->polled_seqno = 0;
		queue->polled_fault = false;
		memset(queue->writeback, 0, sizeof(*queue->writeback));
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	return ret ?: q35_queue_program(queue);
}
