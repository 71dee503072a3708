/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_QUEUE_H
#define Q35_QUEUE_H

#include <linux/completion.h>
#include <linux/dma-fence.h>
#include <linux/kref.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/timer.h>

#include "q35_device.h"

struct drm_file;
struct drm_q35_queue_create;
struct q35_client;
struct q35_job;
struct q35_vm;

#define Q35_RING_ORDER 10 /* 1024 descriptors, 128 KiB */
#define Q35_POLL_MS 10 /* an interrupt that is later counts as lost */
#define Q35_COALESCE_USEC_MAX (Q35_POLL_MS * USEC_PER_MSEC / 2) /* so that none is */
#define Q35_TIMEOUT_DEFAULT_MS (10 * MSEC_PER_SEC)
#define Q35_TIMEOUT_MAX_MS (600 * MSEC_PER_SEC)

struct q35_queue {
	struct kref kref; /* the memory: the slot, the handle, each job and each fence */
	refcount_t users; /* the scheduler: the handle and each job */
	struct work_struct retire_work; /* takes the scheduler down after the last user */
	struct completion retired;

	struct q35_device *q35;
	struct q35_vm *vm;
	u32 slot; /* which of the card's queues */
	u32 timeout_ms;
	u32 priority;
	char name[24];
	pid_t pid; /* who created it */
	char comm[TASK_COMM_LEN];
	struct drm_gpu_scheduler sched;
	struct drm_sched_entity entity;

	struct mutex submit_lock; /* numbering, arming and pushing are one step */
	u64 submissions; /* under submit_lock */

	struct mutex hw_lock; /* resets of this queue, one at a time */
	bool on_card; /* enabled, or not known to have stopped; hw_lock or reset_sem to write */
	struct work_struct fault_work;
	u64 counters_before[Q35_COUNTERS_SIZE / sizeof(u64)]; /* under slots_lock, likewise */

	spinlock_t lock; /* everything below, and the lock of the queue's fences */
	struct list_head inflight; /* q35_job.link, in ring order */
	struct timer_list poll_timer; /* pending while there may be something in flight */
	u64 polled_seqno; /* what it saw last time */
	bool polled_fault;
	struct list_head parked; /* q35_job.link, to enter the ring when the queue is unparked */
	u32 park; /* enum q35_park: if not 0, jobs are parked instead of run */
	unsigned long resumed; /* jiffies, when they last were let go */
	u64 busy_before; /* nanoseconds, until the card was last reset */
	struct q35_hw_desc *ring; /* NULL once the slot has been given back */
	struct q35_hw_writeback *writeback;
	dma_addr_t ring_dma, writeback_dma;
	u32 ring_size; /* in descriptors, a power of two */
	u32 tail; /* free-running */
	u64 emitted; /* sequence number of the newest submission in the ring */
	u64 reported; /* that the card has written back last, since it was given the queue */
	u64 fence_context;
	int cancel; /* once not 0, jobs end with this error instead of running */

	u32 status; /* enum drm_q35_queue_status, and the rest of struct drm_q35_queue_state */
	u32 fault_code;
	u32 fault_info;
	u64 fault_addr;
	u32 bad_job;
	u64 bad_submission;
	struct q35_job *guilty; /* compared, never followed */
};

int q35_queue_create(struct q35_client *client, struct q35_vm *vm,
		     const struct drm_q35_queue_create *args, struct q35_queue **out);
void q35_queue_destroy(struct q35_queue *queue);
void q35_queue_remove(struct q35_device *q35, u32 slot);
void q35_queue_put(struct q35_queue *queue);
void q35_queue_put_user(struct q35_queue *queue);

void q35_queue_complete(struct q35_queue *queue);
void q35_queue_complete_locked(struct q35_queue *queue);
int q35_queue_program(struct q35_queue *queue);
void q35_queue_expect(struct q35_queue *queue);
void q35_queue_fail(struct q35_queue *queue, struct q35_job *hung);
void q35_queue_lose(struct q35_queue *queue, int cancel);
void q35_queue_retire(struct q35_queue *queue);

void q35_queue_park(struct q35_queue *queue, enum q35_park why);
void q35_queue_unpark(struct q35_queue *queue, enum q35_park why);
int q35_queue_drain(struct q35_queue *queue, unsigned long deadline);
void q35_queue_save_counters(struct q35_queue *queue);
int q35_queue_restart(struct q35_queue *queue);
void q35_queue_read_counters(struct q35_queue *queue, u64 *counters);
u64 q35_queue_busy_ns(struct q35_queue *queue);

/* Descriptors in a ring, and thereby the most in one submission. */
static inline u32 q35_ring_size(const struct q35_device *q35)
{
	return 1u << min_t(u32, Q35_RING_ORDER, q35->caps.ring_order_max);
}

static inline u32 q35_queue_reg(const struct q35_queue *queue, u32 reg)
{
	const struct q35_caps *caps = &queue->q35->caps;

	return caps->queue_offset + queue->slot * caps->queue_stride + reg;
}

#endif /* Q35_QUEUE_H */
