// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Queues
 *
 * A queue is one of the card's rings, owned by one client, with a scheduler of its own. It dies at
 * its first fault or hang, stays dead until its owner destroys it, and then makes a fresh start as
 * somebody else's; so a queue never has to be repaired, and no client ever sees another one's
 * trouble. If the whole card has to be reset for it, the other queues get their rings again, with
 * what was not complete in it.
 *
 * The ring and the write-back block are in coherent host memory. Emitting a job is a copy and one
 * doorbell; completing it is a read of host memory, in the interrupt handler. The one thing that
 * may touch the card slowly is taking a queue off it, in process context.
 *
 * Death is one variable: once q35_queue.cancel is set, under q35_queue.lock, nothing enters the
 * ring, and jobs that the scheduler still hands over end at once with that error. What is in the
 * ring ends when the card is known to have stopped, not before: a fence tells its waiters
 * that the card no longer touches their memory.
 *
 * Lifetimes: a submission may wait for the fence of another driver for any time, and its owner may
 * meanwhile close the file. The slot on the card, the ring and the address space go at once; the
 * scheduler stays, emitting nothing, until its last job has come by (q35_queue.users); the memory
 * stays until the last fence has gone (q35_queue.kref), since the scheduler's fences read its name
 * through a pointer that they do not own. The card's own fence is their parent and keeps it alive.
 */
#include <linux/dma-mapping.h>
#include <linux/sched.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "drm/q35_accel.h"
#include "q35_client.h"
#include "q35_dump.h"
#include "q35_job.h"
#include "q35_pm.h"
#include "q35_queue.h"
#include "q35_trace.h"
#include "q35_vm.h"

static void q35_queue_release(struct kref *kref)
{
	kfree(container_of(kref, struct q35_queue, kref));
}

/* Any context: the last reference may be a fence's. */
void q35_queue_put(struct q35_queue *queue)
{
	kref_put(&queue->kref, q35_queue_release);
}

static void q35_queue_retire_work(struct work_struct *work)
{
	struct q35_queue *queue = container_of(work, struct q35_queue, retire_work);

	drm_sched_entity_fini(&queue->entity);
	drm_sched_fini(&queue->sched);
	drm_dev_put(&queue->q35->drm);
	complete_all(&queue->retired);
	q35_queue_put(queue);
}

/* Jobs are freed by a worker of the very scheduler that goes down here, hence the work item. */
void q35_queue_put_user(struct q35_queue *queue)
{
	if (refcount_dec_and_test(&queue->users))
		queue_work(q35_wq, &queue->retire_work);
}

/* The end of the job's life on the card, whatever it was. */
static void q35_queue_end_job(struct q35_queue *queue, struct q35_job *job, int error)
{
	lockdep_assert_held(&queue->lock);

	list_del_init(&job->link);
	trace_q35_complete(job, error);
	if (error)
		dma_fence_set_error(job->fence, error);
	dma_fence_signal_locked(job->fence);
}

/* Whether the card can have completed that much: what it got, and no less than before. */
static bool q35_queue_credible(const struct q35_queue *queue, u64 seqno)
{
	return seqno >= queue->reported && seqno <= queue->emitted;
}

/*
 * q35_queue_complete_locked() - signal what the card says is complete
 *
 * A card that says what cannot be is treated as a fault. The lock is held.
 */
void q35_queue_complete_locked(struct q35_queue *queue)
{
	struct q35_job *job, *next;
	u64 seqno;

	lockdep_assert_held(&queue->lock);

	if (!queue->writeback)
		return;
	seqno = le64_to_cpu(READ_ONCE(queue->writeback->seqno));
	if (!q35_queue_credible(queue, seqno)) {
		if (!queue->cancel)
			queue_work(q35_wq, &queue->fault_work);
		return;
	}
	queue->reported = seqno;
	/* Results were written before the sequence number; read none of them earlier. */
	dma_rmb();
	list_for_each_entry_safe(job, next, &queue->inflight, link) {
		if (job->fence->seqno > seqno)
			break;
		q35_queue_end_job(queue, job, 0);
	}
}

/* q35_queue_complete() - look what the card has completed; any context */
void q35_queue_complete(struct q35_queue *queue)
{
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	q35_queue_complete_locked(queue);
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* q35_queue_expect() - something is in flight: look after it; the lock is held */
void q35_queue_expect(struct q35_queue *queue)
{
	lockdep_assert_held(&queue->lock);

	if (!timer_pending(&queue->poll_timer))
		mod_timer(&queue->poll_timer, jiffies + msecs_to_jiffies(Q35_POLL_MS));
}

/*
 * Interrupts get lost. While something is in flight, look at the write-back block now and then: what
 * was there the last time already, and still has not been dealt with, had no interrupt.
 */
static void q35_queue_poll(struct timer_list *timer)
{
	struct q35_queue *queue = container_of(timer, struct q35_queue, poll_timer);
	struct q35_device *q35 = queue->q35;
	struct q35_job *oldest;
	unsigned long flags;
	bool lost;

	spin_lock_irqsave(&queue->lock, flags);
	oldest = list_first_entry_or_null(&queue->inflight, struct q35_job, link);
	if (!oldest || !queue->writeback || queue->cancel)
		goto unlock;

	lost = queue->polled_fault || oldest->fence->seqno <= queue->polled_seqno;
	if (lost) {
		atomic_inc(&q35->lost_interrupts);
		dev_warn_ratelimited(q35->drm.dev, "queue %u: an interrupt was lost\n",
				     queue->slot);
	}
	if (queue->polled_fault)
		queue_work(q35_wq, &queue->fault_work);
	else if (lost)
		q35_queue_complete_locked(queue);
	queue->polled_seqno = le64_to_cpu(READ_ONCE(queue->writeback->seqno));
	queue->polled_fault = READ_ONCE(queue->writeback->fault_code);
	q35_queue_expect(queue);
unlock:
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* Nothing enters the ring any more. */
static void q35_queue_cancel(struct q35_queue *queue, int cancel)
{
	lockdep_assert_held(&queue->lock);

	if (!queue->cancel)
		queue->cancel = cancel;
}

/* End what was in flight. The card has stopped the queue: nothing of it runs any more. */
static void q35_queue_flush(struct q35_queue *queue)
{
	struct q35_job *job, *next;
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	list_splice_tail_init(&queue->parked, &queue->inflight);
	list_for_each_entry_safe(job, next, &queue->inflight, link)
		q35_queue_end_job(queue, job, job == queue->guilty ? -EIO : queue->cancel);
	queue->guilty = NULL;
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* Of the jobs that the scheduler has handed over and that have not ended; NULL if all have. */
static struct q35_job *q35_queue_oldest(struct q35_queue *queue)
{
	struct list_head *list = list_empty(&queue->inflight) ? &queue->parked : &queue->inflight;

	return list_first_entry_or_null(list, struct q35_job, link);
}

/*
 * q35_queue_lose() - the queue dies with the card
 * @cancel: error for its jobs
 *
 * In two steps, with q35_queue_retire() once the card has stopped. The caller holds reset_sem for
 * writing.
 */
void q35_queue_lose(struct q35_queue *queue, int cancel)
{
	struct q35_job *oldest;
	unsigned long flags;

	q35_queue_complete(queue);
	spin_lock_irqsave(&queue->lock, flags);
	q35_queue_cancel(queue, cancel);
	if (queue->status == DRM_Q35_QUEUE_OK) {
		oldest = q35_queue_oldest(queue);
		queue->status = DRM_Q35_QUEUE_LOST;
		queue->bad_submission = oldest ? oldest->fence->seqno - 1 : queue->emitted;
	}
	spin_unlock_irqrestore(&queue->lock, flags);
}

void q35_queue_retire(struct q35_queue *queue)
{
	queue->on_card = false;
	q35_queue_flush(queue);
}

/*
 * Take the queue off the card: it is reset alone, and if it does not answer, the card is, later.
 * Either way its jobs end. Call after q35_queue_cancel(), in drm_dev_enter(), with reset_sem held
 * for reading.
 */
static void q35_queue_stop(struct q35_queue *queue)
{
	struct q35_device *q35 = queue->q35;
	int ret = 0;

	mutex_lock(&queue->hw_lock);
	if (queue->on_card && !q35->asleep) {
		q35_write(q35, q35_queue_reg(queue, Q35_QREG_CONTROL), Q35_QCONTROL_RESET);
		ret = q35_poll(q35, q35_queue_reg(queue, Q35_QREG_STATE), U32_MAX,
			       Q35_QUEUE_DISABLED, Q35_RESET_TIMEOUT_US);
		trace_q35_reset(q35, queue->slot, ret);
	}
	if (!ret)
		q35_queue_retire(queue);
	mutex_unlock(&queue->hw_lock);

	if (ret) {
		dev_err_ratelimited(q35->drm.dev,
				    "queue %u does not reset (%d), resetting the card\n",
				    queue->slot, ret);
		q35_device_request_reset(q35);
	}
}

/* Which of the jobs in flight descriptor index belongs to; NULL if none. */
static struct q35_job *q35_queue_find_job(struct q35_queue *queue, u32 index)
{
	struct q35_job *job;

	list_for_each_entry(job, &queue->inflight, link)
		if (index - job->first < job->count)
			return job;
	return NULL;
}

static void q35_queue_report_failure(const struct q35_queue *queue,
				     const struct q35_hw_writeback *wb)
{
	struct device *dev = queue->q35->drm.dev;

	if (queue->status == DRM_Q35_QUEUE_HANG)
		dev_info_ratelimited(dev, "queue %u hangs: submission %llu job %u, after %u ms\n",
				     queue->slot, queue->bad_submission, queue->bad_job,
				     queue->timeout_ms);
	else if (queue->fault_code)
		dev_info_ratelimited(
			dev,
			"queue %u has faulted: code %u, info %#x, address %#llx, submission %llu job %u\n",
			queue->slot, queue->fault_code, queue->fault_info, queue->fault_addr,
			queue->bad_submission, queue->bad_job);
	else
		dev_err_ratelimited(
			dev,
			"queue %u: the card contradicts itself: head %u, sequence number %llu, before that %llu, of %llu\n",
			queue->slot, le32_to_cpu(wb->head), le64_to_cpu(wb->seqno), queue->reported,
			queue->emitted);
}

/*
 * q35_queue_fail() - the queue has faulted, or a job has outrun its time
 * @hung: the job, or NULL to go by what the card has written back
 *
 * Process context, in drm_dev_enter(), the card awake.
 */
void q35_queue_fail(struct q35_queue *queue, struct q35_job *hung)
{
	struct q35_device *q35 = queue->q35;
	struct q35_hw_writeback wb;
	struct q35_dump *dump;
	struct q35_job *guilty;
	unsigned long flags;
	bool cookie;
	u32 index;

	cookie = dma_fence_begin_signalling();
	q35_queue_complete(queue);
	down_read(&q35->reset_sem);

	spin_lock_irqsave(&queue->lock, flags);
	if (queue->cancel || !queue->writeback || q35->asleep)
		goto unlock; /* already failed, or gone, or not on the card at present */
	wb = *queue->writeback;
	if (wb.fault_code) {
		index = le32_to_cpu(wb.fault_index);
		queue->status = DRM_Q35_QUEUE_FAULT;
		queue->fault_code = le32_to_cpu(wb.fault_code);
		queue->fault_info = le32_to_cpu(wb.fault_info);
		queue->fault_addr = le64_to_cpu(wb.fault_addr);
	} else if (!q35_queue_credible(queue, le64_to_cpu(wb.seqno))) {
		index = queue->tail;
		queue->status = DRM_Q35_QUEUE_FAULT; /* the card's own: code 0 */
	} else if (hung &&
		   hung == list_first_entry_or_null(&queue->inflight, struct q35_job, link) &&
		   time_after_eq(jiffies, queue->resumed + msecs_to_jiffies(queue->timeout_ms))) {
		/* The oldest in flight, so the card must be in it; not a parked one. */
		index = le32_to_cpu(wb.head);
		queue->status = index - hung->first < hung->count ? DRM_Q35_QUEUE_HANG
								  : DRM_Q35_QUEUE_FAULT;
	} else {
		goto unlock; /* a spurious interrupt, or the hung job has just completed */
	}
	q35_queue_cancel(queue, -ECANCELED);

	/* The card may name nonsense: then the oldest job, or none if it had nothing to do. */
	guilty = q35_queue_find_job(queue, index);
	if (!guilty) {
		guilty = list_first_entry_or_null(&queue->inflight, struct q35_job, link);
		if (guilty)
			index = guilty->first;
	}
	queue->bad_job = guilty ? index - guilty->first : 0;
	queue->bad_submission = guilty ? guilty->fence->seqno - 1 : queue->emitted;
	queue->guilty = guilty;
	trace_q35_fault(queue);
	dump = q35_dump_begin(q35, queue->status == DRM_Q35_QUEUE_HANG ? "hang" : "fault");
	if (dump)
		q35_dump_queue(dump, queue, guilty);
	spin_unlock_irqrestore(&queue->lock, flags);
	if (dump)
		q35_dump_end(dump);

	q35_queue_report_failure(queue, &wb);
	atomic_inc(&q35->queue_resets);
	q35_queue_stop(queue);
	goto out;

unlock:
	spin_unlock_irqrestore(&queue->lock, flags);
out:
	up_read(&q35->reset_sem);
	dma_fence_end_signalling(cookie);
}

static void q35_queue_fault_work(struct work_struct *work)
{
	struct q35_queue *queue = container_of(work, struct q35_queue, fault_work);
	int idx;

	if (!q35_pm_enter(queue->q35, &idx)) {
		q35_queue_fail(queue, NULL);
		q35_pm_exit(queue->q35, idx);
	}
}

/* Nanoseconds that the card has worked for the queue. */
u64 q35_queue_busy_ns(struct q35_queue *queue)
{
	unsigned long flags;
	u64 busy = 0;

	spin_lock_irqsave(&queue->lock, flags);
	if (queue->writeback)
		busy = queue->busy_before + le64_to_cpu(READ_ONCE(queue->writeback->busy_ns));
	spin_unlock_irqrestore(&queue->lock, flags);
	return busy;
}

static int q35_queue_claim_slot(struct q35_queue *queue)
{
	struct q35_device *q35 = queue->q35;
	int ret = -ENOSPC;

	mutex_lock(&q35->slots_lock);
	for (u32 i = 0; i < q35->caps.queues; i++) {
		if (q35->queues[i])
			continue;
		queue->slot = i;
		queue->park = q35->park;
		kref_get(&queue->kref);
		smp_store_release(&q35->queues[i], queue); /* to interrupt handlers */
		ret = 0;
		break;
	}
	mutex_unlock(&q35->slots_lock);
	return ret;
}

/* Give the slot back, and all that only a queue on the card needs. It has stopped. */
static void q35_queue_release_slot(struct q35_queue *queue)
{
	struct q35_device *q35 = queue->q35;
	struct device *dev = q35->drm.dev;
	struct q35_hw_desc *ring;
	void *writeback;
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	ring = queue->ring;
	writeback = queue->writeback;
	queue->ring = NULL;
	queue->writeback = NULL;
	spin_unlock_irqrestore(&queue->lock, flags);

	/* Without a write-back block neither starts anything any more. */
	timer_shutdown_sync(&queue->poll_timer);
	cancel_work_sync(&queue->fault_work);

	dma_free_coherent(dev, PAGE_SIZE, writeback, queue->writeback_dma);
	dma_free_coherent(dev, array_size(queue->ring_size, Q35_DESC_SIZE), ring, queue->ring_dma);
	q35_vm_put(queue->vm);
	q35_queue_put(queue);
}

/*
 * Empty the slot, if it is the expected queue's or no matter whose, and be sure that no interrupt
 * handler still looks at what was in it. Return: that, the slot's reference with it, or NULL.
 */
static struct q35_queue *q35_queue_leave_slot(struct q35_device *q35, u32 slot,
					      struct q35_queue *expected)
{
	struct q35_queue *queue;

	mutex_lock(&q35->slots_lock);
	queue = q35->queues[slot];
	if (expected && queue != expected)
		queue = NULL;
	if (queue) {
		WRITE_ONCE(q35->queues[slot], NULL);
		q35->busy_ns += q35_queue_busy_ns(queue);
	}
	mutex_unlock(&q35->slots_lock);

	for (u32 i = 0; queue && i < Q35_VECTORS; i++)
		synchronize_irq(q35->irq[i]);
	return queue;
}

/* Put the queue on the card, its ring empty. hw_lock is held, or reset_sem for writing. */
int q35_queue_program(struct q35_queue *queue)
{
	struct q35_device *q35 = queue->q35;
	int ret;

	q35_write(q35, q35_queue_reg(queue, Q35_QREG_VM), queue->vm->slot);
	q35_write(q35, q35_queue_reg(queue, Q35_QREG_PRIORITY), queue->priority);
	q35_write64(q35, q35_queue_reg(queue, Q35_QREG_RING_LO), queue->ring_dma);
	q35_write(q35, q35_queue_reg(queue, Q35_QREG_RING_ORDER), ilog2(queue->ring_size));
	q35_write64(q35, q35_queue_reg(queue, Q35_QREG_WRITEBACK_LO), queue->writeback_dma);
	q35_write(q35, q35_queue_reg(queue, Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
	queue->on_card = true;
	ret = q35_poll(q35, q35_queue_reg(queue, Q35_QREG_STATE), U32_MAX, Q35_QUEUE_IDLE,
		       Q35_RESET_TIMEOUT_US);
	if (ret)
		dev_err_ratelimited(q35->drm.dev, "queue %u does not start (%d)\n", queue->slot,
				    ret);
	return ret == -ETIMEDOUT ? -EIO : ret;
}

static int q35_queue_enable(struct q35_queue *queue)
{
	struct q35_device *q35 = queue->q35;
	int ret = q35_device_begin_access(q35);

	if (ret)
		return ret;
	mutex_lock(&queue->hw_lock);
	ret = q35_queue_program(queue);
	mutex_unlock(&queue->hw_lock);
	q35_device_end_access(q35);
	return ret;
}

/*
 * Take the queue off the card and give its slot back. Should the card be leaving at the same time,
 * q35_queue_remove() does both.
 */
static void q35_queue_leave_card(struct q35_queue *queue)
{
	struct q35_device *q35 = queue->q35;
	unsigned long flags;
	bool leaves = false;
	int idx;

	spin_lock_irqsave(&queue->lock, flags);
	q35_queue_cancel(queue, -ECANCELED);
	spin_unlock_irqrestore(&queue->lock, flags);

	if (q35_pm_enter(q35, &idx))
		return;

	q35_queue_complete(queue);
	do {
		down_read(&q35->reset_sem);
		q35_queue_stop(queue);
		up_read(&q35->reset_sem);
		if (READ_ONCE(queue->on_card))
			flush_work(&q35->reset_work);
		/* If that found the card stopped already, by others, then so is the queue. */
	} while (READ_ONCE(queue->on_card) && !drm_dev_is_unplugged(&q35->drm));

	if (!READ_ONCE(queue->on_card))
		leaves = q35_queue_leave_slot(q35, queue->slot, queue);
	q35_pm_exit(q35, idx);

	if (leaves)
		q35_queue_release_slot(queue);
}

int q35_queue_create(struct q35_client *client, struct q35_vm *vm,
		     const struct drm_q35_queue_create *args, struct q35_queue **out)
{
	struct q35_device *q35 = client->q35;
	struct device *dev = q35->drm.dev;
	struct drm_gpu_scheduler *sched;
	struct q35_queue *queue;
	int ret;

	queue = kzalloc(sizeof(*queue), GFP_KERNEL_ACCOUNT);
	if (!queue)
		return -ENOMEM;

	drm_dev_get(&q35->drm);
	queue->q35 = q35;
	queue->pid = task_tgid_nr(current);
	get_task_comm(queue->comm, current);
	kref_init(&queue->kref);
	refcount_set(&queue->users, 1);
	INIT_WORK(&queue->retire_work, q35_queue_retire_work);
	init_completion(&queue->retired);
	INIT_WORK(&queue->fault_work, q35_queue_fault_work);
	mutex_init(&queue->submit_lock);
	mutex_init(&queue->hw_lock);
	spin_lock_init(&queue->lock);
	timer_setup(&queue->poll_timer, q35_queue_poll, 0);
	INIT_LIST_HEAD(&queue->inflight);
	INIT_LIST_HEAD(&queue->parked);
	queue->resumed = jiffies;
	queue->fence_context = dma_fence_context_alloc(1);
	queue->priority = args->priority;
	queue->timeout_ms = args->timeout_ms ?: Q35_TIMEOUT_DEFAULT_MS;
	queue->ring_size = q35_ring_size(q35);

	queue->ring = dma_alloc_coherent(dev, array_size(queue->ring_size, Q35_DESC_SIZE),
					 &queue->ring_dma, GFP_KERNEL_ACCOUNT);
	if (!queue->ring) {
		ret = -ENOMEM;
		goto err_put;
	}
	queue->writeback =
		dma_alloc_coherent(dev, PAGE_SIZE, &queue->writeback_dma, GFP_KERNEL_ACCOUNT);
	if (!queue->writeback) {
		ret = -ENOMEM;
		goto err_free_ring;
	}

	queue->vm = q35_vm_get(vm);
	ret = q35_queue_claim_slot(queue);
	if (ret)
		goto err_put_vm;
	snprintf(queue->name, sizeof(queue->name), "q35-queue-%u", queue->slot);

	sched = &queue->sched;
	ret = q35_sched_init(sched, &q35_job_ops, queue->ring_size,
			     msecs_to_jiffies(queue->timeout_ms), q35_wq, queue->name, dev);
	if (ret)
		goto err_leave_slot;
	ret = drm_sched_entity_init(&queue->entity, DRM_SCHED_PRIORITY_KERNEL, &sched, 1, NULL);
	if (ret)
		goto err_sched_fini;

	q35_vm_note_timeout(vm, queue->timeout_ms);
	ret = q35_queue_enable(queue);
	if (ret) {
		/* From here on teardown is what any queue gets. */
		q35_queue_destroy(queue);
		q35_queue_put(queue);
		return ret;
	}
	*out = queue;
	return 0;

err_sched_fini:
	drm_sched_fini(sched);
err_leave_slot:
	q35_queue_leave_slot(q35, queue->slot, queue);
	cancel_work_sync(&queue->fault_work);
	q35_queue_put(queue);
err_put_vm:
	q35_vm_put(vm);
	dma_free_coherent(dev, PAGE_SIZE, queue->writeback, queue->writeback_dma);
err_free_ring:
	dma_free_coherent(dev, array_size(queue->ring_size, Q35_DESC_SIZE), queue->ring,
			  queue->ring_dma);
err_put:
	drm_dev_put(&q35->drm);
	q35_queue_put(queue);
	return ret;
}

/*
 * q35_queue_destroy() - the owner lets go of the queue
 *
 * On return the card has forgotten it, and jobs that wait for nothing but the card have ended. The
 * caller keeps a reference to the memory.
 */
void q35_queue_destroy(struct q35_queue *queue)
{
	q35_queue_leave_card(queue);
	kref_get(&queue->kref); /* retire_work's */
	q35_queue_put_user(queue);
}

/*
 * q35_queue_remove() - the queue in the slot, if any, goes with the card, which has stopped
 */
void q35_queue_remove(struct q35_device *q35, u32 slot)
{
	struct q35_queue *queue = q35_queue_leave_slot(q35, slot, NULL);

	if (!queue)
		return;
	q35_queue_lose(queue, -ENODEV);
	q35_queue_retire(queue);
	q35_queue_release_slot(queue);
}

#if IS_BUILTIN(CONFIG_KUNIT)
#include "tests/q35_queue_test.c"
#endif
