// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files for who debugs the driver, in /sys/kernel/debug/accel/<device>/: queues, vms, mm and
 * stats. They show what is in host memory and touch no register, so they also work on a card that
 * hangs, and stats does not disturb what it counts.
 */
#include <linux/seq_file.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_print.h>

#include "drm/q35_accel.h"
#include "q35_debugfs.h"
#include "q35_device.h"
#include "q35_queue.h"
#include "q35_vm.h"

static struct q35_device *q35_debugfs_device(struct seq_file *m)
{
	struct drm_debugfs_entry *entry = m->private;

	return to_q35_device(entry->dev);
}

static void q35_debugfs_show_queue(struct seq_file *m, struct q35_queue *queue)
{
	static const char *const status[] = {
		[DRM_Q35_QUEUE_OK] = "ok",
		[DRM_Q35_QUEUE_FAULT] = "fault",
		[DRM_Q35_QUEUE_HANG] = "hang",
		[DRM_Q35_QUEUE_LOST] = "lost",
	};
	u64 busy = q35_queue_busy_ns(queue);
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	seq_printf(m, "%5u %7d %-16s %5u %-6s %8zu %10u %10u %10llu %10llu %llu\n", queue->slot,
		   queue->pid, queue->comm, queue->vm->slot, status[queue->status],
		   list_count_nodes(&queue->inflight), queue->tail,
		   queue->writeback ? le32_to_cpu(READ_ONCE(queue->writeback->head)) : 0,
		   queue->emitted,
		   queue->writeback ? le64_to_cpu(READ_ONCE(queue->writeback->seqno)) : 0, busy);
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* One line for each queue on the card. */
static int q35_debugfs_queues(struct seq_file *m, void *unused)
{
	struct q35_device *q35 = q35_debugfs_device(m);

	seq_puts(
		m,
		"queue     pid command             vm status inflight       tail       head    emitted  completed busy-ns\n");
	mutex_lock(&q35->slots_lock);
	for (u32 i = 0; i < q35->caps.queues; i++)
		if (q35->queues[i])
			q35_debugfs_show_queue(m, q35->queues[i]);
	mutex_unlock(&q35->slots_lock);
	return 0;
}

/* The mappings of each address space on the card. */
static int q35_debugfs_vms(struct seq_file *m, void *unused)
{
	struct q35_device *q35 = q35_debugfs_device(m);

	for (u32 i = 0; i < q35->caps.vms; i++) {
		struct q35_vm *vm;

		/* A vm's lock is taken before slots_lock; so hold on to its memory meanwhile. */
		mutex_lock(&q35->slots_lock);
		vm = q35->vms[i];
		if (vm)
			drm_gpuvm_get(&vm->base);
		mutex_unlock(&q35->slots_lock);
		if (!vm)
			continue;

		seq_printf(m, "address space %u:\n", i);
		mutex_lock(&vm->lock);
		drm_debugfs_gpuva_info(m, &vm->base);
		mutex_unlock(&vm->lock);
		drm_gpuvm_put(&vm->base);
	}
	return 0;
}

/* The allocator of device memory. */
static int q35_debugfs_mm(struct seq_file *m, void *unused)
{
	struct q35_device *q35 = q35_debugfs_device(m);
	struct drm_printer p = drm_seq_file_printer(m);

	mutex_lock(&q35->memory.lock);
	drm_buddy_print(&q35->memory.buddy, &p);
	mutex_unlock(&q35->memory.lock);
	return 0;
}

/* What the driver has cost so far. */
static int q35_debugfs_stats(struct seq_file *m, void *unused)
{
	struct q35_stats *stats = &q35_debugfs_device(m)->stats;
	const struct {
		const char *name;
		atomic64_t *value;
	} lines[] = {
		{"register_reads", &stats->register_reads},
		{"register_writes", &stats->register_writes},
		{"completion_interrupts", &stats->completion_interrupts},
		{"fault_interrupts", &stats->fault_interrupts},
		{"submissions", &stats->submissions},
		{"jobs", &stats->jobs},
	};

	for (u32 i = 0; i < ARRAY_SIZE(lines); i++)
		seq_printf(m, "%s %lld\n", lines[i].name, atomic64_read(lines[i].value));
	return 0;
}

void q35_debugfs_init(struct q35_device *q35)
{
	drm_debugfs_add_file(&q35->drm, "queues", q35_debugfs_queues, NULL);
	drm_debugfs_add_file(&q35->drm, "vms", q35_debugfs_vms, NULL);
	drm_debugfs_add_file(&q35->drm, "mm", q35_debugfs_mm, NULL);
	drm_debugfs_add_file(&q35->drm, "stats", q35_debugfs_stats, NULL);
}
