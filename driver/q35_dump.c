// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device coredumps; q35_dump.h says what is in them.
 *
 * A failure is recorded where no memory may be waited for, since that memory might be freed by a
 * fence of this very card. So there is one record a card, made at probe, and a work item
 * that makes it into text. While it has not, further failures are not recorded.
 */
#include <linux/devcoredump.h>
#include <linux/ktime.h>
#include <linux/vmalloc.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "q35_device.h"
#include "q35_dump.h"
#include "q35_job.h"
#include "q35_queue.h"
#include "q35_vm.h"

/* Up to the first register that reading changes: LO of a pair with a latch. */
#define Q35_DUMP_CARD_WORDS (Q35_REG_TIME_LO / 4)
#define Q35_DUMP_QUEUE_WORDS (Q35_QREG_COUNTERS / 4)

struct q35_dump {
	struct q35_device *q35;
	struct work_struct work;
	unsigned long busy; /* bit 0: the record is in use */

	const char *reason;
	ktime_t time;
	u32 card[Q35_DUMP_CARD_WORDS];
	u32 (*queues)[Q35_DUMP_QUEUE_WORDS]; /* [caps.queues] */

	bool has_queue; /* the rest is valid */
	u32 slot;
	u32 vm_slot;
	struct drm_gpuvm *vm; /* a reference, until the page tables have been walked */
	pid_t pid;
	char comm[TASK_COMM_LEN];
	u32 fault_code;
	u32 fault_info;
	u64 fault_addr;
	struct q35_hw_writeback writeback;
	u32 tail;
	u64 emitted;

	u32 job_count; /* 0: the card had nothing to do */
	u32 job_first;
	u64 submission;
	u32 job;
	struct q35_hw_desc desc;

	bool walk_busy;
	u32 walk_levels;
	u64 walk[Q35_LEVELS];
};

static void q35_dump_print_words(struct drm_printer *p, const u32 *words, u32 count,
				 const char *what)
{
	for (u32 i = 0; i < count; i++) {
		if (i % 8 == 0)
			drm_printf(p, "%s%s %#05x:", i ? "\n" : "", what, i * 4);
		drm_printf(p, " %08x", words[i]);
	}
	drm_puts(p, "\n");
}

static void q35_dump_print_quads(struct drm_printer *p, const void *data, u32 size,
				 const char *what)
{
	const __le64 *quads = data;

	for (u32 i = 0; i < size / sizeof(*quads); i++) {
		if (i % 4 == 0)
			drm_printf(p, "%s%s %#05zx:", i ? "\n" : "", what, i * sizeof(*quads));
		drm_printf(p, " %016llx", le64_to_cpu(quads[i]));
	}
	drm_puts(p, "\n");
}

static void q35_dump_print_queue(struct drm_printer *p, const struct q35_dump *dump)
{
	drm_printf(p, "failed queue: %u of %s (%d), address space %u\n", dump->slot, dump->comm,
		   dump->pid, dump->vm_slot);
	drm_printf(p, "fault: code %u, info %#x, address %#llx\n", dump->fault_code,
		   dump->fault_info, dump->fault_addr);
	if (dump->job_count)
		drm_printf(p, "submission: %llu, job %u, %u jobs from ring index %#x\n",
			   dump->submission, dump->job, dump->job_count, dump->job_first);
	drm_printf(p, "ring: tail %#x, newest submission %#llx\n", dump->tail, dump->emitted);
	q35_dump_print_quads(p, &dump->writeback, sizeof(dump->writeback), "write-back");
	if (dump->job_count)
		q35_dump_print_quads(p, &dump->desc, sizeof(dump->desc), "descriptor");
	if (dump->walk_busy)
		drm_puts(p, "walk: busy\n");
	for (u32 i = 0; i < dump->walk_levels; i++)
		drm_printf(p, "walk %u: %016llx\n", Q35_LEVELS - 1 - i, dump->walk[i]);
}

/* Return: the length of the text, of which at most size bytes go to the buffer, if any. */
static size_t q35_dump_print(const struct q35_dump *dump, void *buffer, size_t size)
{
	struct drm_print_iterator iter = {.data = buffer, .remain = size};
	struct drm_printer p = drm_coredump_printer(&iter);
	struct timespec64 time = ktime_to_timespec64(dump->time);
	char what[24];

	drm_puts(&p, "q35 coredump 1\n");
	drm_printf(&p, "reason: %s\n", dump->reason);
	drm_printf(&p, "time: %lld.%09ld\n", (s64)time.tv_sec, time.tv_nsec);
	drm_printf(&p, "device: %s\n", dev_name(dump->q35->drm.dev));
	q35_dump_print_words(&p, dump->card, Q35_DUMP_CARD_WORDS, "card");
	for (u32 i = 0; i < dump->q35->caps.queues; i++) {
		snprintf(what, sizeof(what), "queue %u", i);
		q35_dump_print_words(&p, dump->queues[i], Q35_DUMP_QUEUE_WORDS, what);
	}
	if (dump->has_queue)
		q35_dump_print_queue(&p, dump);
	return size - iter.remain;
}

static void q35_dump_work(struct work_struct *work)
{
	struct q35_dump *dump = container_of(work, struct q35_dump, work);
	size_t size = q35_dump_print(dump, NULL, INT_MAX);
	/* The printer ends what it prints with a NUL if there is room. */
	void *text = vmalloc(size + 1);

	if (text) {
		q35_dump_print(dump, text, size + 1);
		dev_coredumpv(dump->q35->drm.dev, text, size, GFP_KERNEL); /* frees it */
	}
	clear_bit_unlock(0, &dump->busy);
}

/*
 * q35_dump_begin() - record a failure
 * @reason: a string constant
 *
 * Any context. Return: the record, for q35_dump_end(), or NULL if there is one
 * that has not been made into text yet.
 */
struct q35_dump *q35_dump_begin(struct q35_device *q35, const char *reason)
{
	struct q35_dump *dump = q35->dump;

	if (test_and_set_bit_lock(0, &dump->busy))
		return NULL;
	dump->reason = reason;
	dump->time = ktime_get_boottime();
	dump->has_queue = false;
	return dump;
}

/*
 * q35_dump_queue() - add the queue that is to blame, still on the card
 * @job: that is to blame, or NULL
 *
 * The caller holds queue->lock and has filled in the queue's record of the failure.
 */
void q35_dump_queue(struct q35_dump *dump, struct q35_queue *queue, struct q35_job *job)
{
	lockdep_assert_held(&queue->lock);

	dump->has_queue = true;
	dump->slot = queue->slot;
	dump->vm_slot = queue->vm->slot;
	dump->vm = drm_gpuvm_get(&queue->vm->base);
	dump->pid = queue->pid;
	strscpy(dump->comm, queue->comm);
	dump->fault_code = queue->fault_code;
	dump->fault_info = queue->fault_info;
	dump->fault_addr = queue->fault_addr;
	dump->writeback = *queue->writeback;
	dump->tail = queue->tail;
	dump->emitted = queue->emitted;

	dump->job_count = job ? job->count : 0;
	if (job) {
		u32 index = job->first + queue->bad_job;

		dump->job_first = job->first;
		dump->submission = queue->bad_submission;
		dump->job = queue->bad_job;
		dump->desc = queue->ring[index & (queue->ring_size - 1)];
	}
}

/*
 * q35_dump_end() - read the registers, and hand the record over
 *
 * Process context, in drm_dev_enter(), before whatever reset follows.
 */
void q35_dump_end(struct q35_dump *dump)
{
	struct q35_device *q35 = dump->q35;
	const struct q35_caps *caps = &q35->caps;

	for (u32 i = 0; i < Q35_DUMP_CARD_WORDS; i++)
		dump->card[i] = q35_read(q35, i * 4);
	for (u32 q = 0; q < caps->queues; q++)
		for (u32 i = 0; i < Q35_DUMP_QUEUE_WORDS; i++)
			dump->queues[q][i] =
				q35_read(q35, caps->queue_offset + q * caps->queue_stride + i * 4);

	dump->walk_levels = 0;
	dump->walk_busy = false;
	if (dump->has_queue) {
		struct q35_vm *vm = container_of(dump->vm, struct q35_vm, base);

		/* Who has the lock may be waiting for this queue to be reset. */
		dump->walk_busy = !mutex_trylock(&vm->lock);
		if (!dump->walk_busy) {
			dump->walk_levels = q35_mmu_walk(&vm->mmu, dump->fault_addr, dump->walk);
			mutex_unlock(&vm->lock);
		}
		drm_gpuvm_put(dump->vm);
	}
	schedule_work(&dump->work);
}

int q35_dump_init(struct q35_device *q35)
{
	struct q35_dump *dump = drmm_kzalloc(&q35->drm, sizeof(*dump), GFP_KERNEL);

	if (!dump)
		return -ENOMEM;
	dump->queues = drmm_kcalloc(&q35->drm, q35->caps.queues, sizeof(*dump->queues), GFP_KERNEL);
	if (!dump->queues)
		return -ENOMEM;
	dump->q35 = q35;
	INIT_WORK(&dump->work, q35_dump_work);
	q35->dump = dump;
	return 0;
}

/* After drm_dev_unplug(): no more are begun. */
void q35_dump_fini(struct q35_device *q35)
{
	flush_work(&q35->dump->work);
}
