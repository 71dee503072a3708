/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The card as one device: registers, capabilities, slots, device memory and reset.
 *
 * Lock order, outermost first:
 *
 *   q35_vm.lock               one address space: its mappings and page tables
 *   q35_queue.submit_lock     one queue: order of submissions
 *   q35_device.reset_sem      read: registers of queues and address spaces; write: card reset
 *   q35_queue.hw_lock         one queue: whether it is on the card
 *   q35_device.slots_lock     which queue and which address space has which slot; counter latches
 *   dma_resv                  of one buffer: its DMA mapping and its bindings; never two at once
 *   q35_device.memory.lock    the allocator of device memory
 *   q35_queue.lock            irq-safe; ring, jobs in flight, failure record; also the fences' lock
 *
 * None of them is held across a copy from or to user space, and page faults of mmaps take none. From
 * reset_sem on they are taken on the way to signalling fences, so nobody allocates who holds them,
 * except from dma_resv on. Waits for the card are bounded and hold no lock that another client needs.
 */
#ifndef Q35_DEVICE_H
#define Q35_DEVICE_H

#include <linux/atomic.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/workqueue.h>

#include <drm/drm_device.h>

#include "q35_compat.h"
#include "q35_hw.h"

struct q35_dump;
struct q35_queue;
struct q35_vm;

/* How long the card may take to reset a queue or itself, or to drain after TLB invalidation. */
#define Q35_RESET_TIMEOUT_US (2 * USEC_PER_SEC)

/* Fields are the capability registers of the same name, checked by q35_device_init(). */
struct q35_caps {
	u32 version;
	u32 features;
	u32 queues;
	u32 vms;
	u32 ring_order_max;
	u32 dma_bits;
	u32 va_bits;
	u64 memory;
	u32 queue_offset, queue_stride;
	u32 vm_offset, vm_stride;
	u32 doorbell_offset, doorbell_stride;
	u32 windows;
	u32 act_blocks;
	u32 dim_order_max;
	u32 lanes;
	u32 clock_mhz;
	u32 memory_gbps;
	u32 link_gbps;
};

/* Why jobs are parked. */
enum q35_park {
	Q35_PARK_SLEEP = 1 << 0, /* the system goes to sleep */
	Q35_PARK_RESET = 1 << 1, /* the card is reset, by whoever */
};

/* What the driver costs, for debugfs. */
struct q35_stats {
	atomic64_t register_reads, register_writes; /* by q35_read() and q35_write() */
	atomic64_t completion_interrupts, fault_interrupts;
	atomic64_t submissions, jobs; /* that have entered a ring, jobs as the uAPI calls them */
};

struct q35_device {
	struct drm_device drm;
	struct q35_caps caps;
	void __iomem *regs;
	int irq[Q35_VECTORS];

	struct {
		void __iomem *cpu; /* write-combined view of all of it, for zeroing */
		resource_size_t bus; /* where mmap finds it */
		struct mutex lock; /* protects buddy */
		struct q35_buddy buddy;
	} memory;

	struct mutex slots_lock; /* protects these; interrupts read queues without it */
	struct q35_queue **queues; /* [caps.queues] */
	struct q35_vm **vms; /* [caps.vms] */
	u64 busy_ns; /* of queues that have left their slot */
	u32 park; /* enum q35_park, also for queues to come */
	u32 coalesce; /* as Q35_REG_COALESCE */

	atomic_t queue_resets; /* after a fault or hang */
	atomic_t card_resets;
	atomic_t lost_interrupts; /* found by q35_queue.poll_timer */

	struct rw_semaphore reset_sem;
	struct work_struct reset_work;
	bool lost; /* card reset failed; under reset_sem */
	bool asleep; /* the card is stopped and forgets all but its memory; under reset_sem */
	bool recovering; /* from reset_prepare() or error_detected() on; under the device lock */
	struct delayed_work recovery_work; /* if that has no end */
	struct q35_dump *dump;
	struct q35_stats stats;
};

static inline struct q35_device *to_q35_device(struct drm_device *drm)
{
	return container_of(drm, struct q35_device, drm);
}

/* Whether nothing of the card's can run. reset_sem is held. */
static inline bool q35_device_is_stopped(const struct q35_device *q35)
{
	return q35->lost || q35->asleep;
}

/* While the driver is bound. */
static inline struct q35_device *dev_to_q35_device(struct device *dev)
{
	return dev_get_drvdata(dev);
}

/* For work that may outlive a device but not the module. */
extern struct workqueue_struct *q35_wq;

static inline u32 q35_read(struct q35_device *q35, u32 reg)
{
	atomic64_inc(&q35->stats.register_reads);
	return readl(q35->regs + reg);
}

static inline void q35_write(struct q35_device *q35, u32 reg, u32 value)
{
	atomic64_inc(&q35->stats.register_writes);
	writel(value, q35->regs + reg);
}

static inline u64 q35_read64(struct q35_device *q35, u32 reg_lo)
{
	u64 lo = q35_read(q35, reg_lo);

	return lo | (u64)q35_read(q35, reg_lo + 4) << 32;
}

static inline void q35_write64(struct q35_device *q35, u32 reg_lo, u64 value)
{
	q35_write(q35, reg_lo, lower_32_bits(value));
	q35_write(q35, reg_lo + 4, upper_32_bits(value));
}

int q35_poll(struct q35_device *q35, u32 reg, u32 mask, u32 want, u64 timeout_us);

int q35_device_init(struct q35_device *q35);
void q35_device_remove(struct q35_device *q35);
void q35_device_park(struct q35_device *q35, enum q35_park why);
void q35_device_unpark(struct q35_device *q35, enum q35_park why);
void q35_device_sleep(struct q35_device *q35);
void q35_device_wake(struct q35_device *q35);
void q35_device_request_reset(struct q35_device *q35);
void q35_device_give_up(struct q35_device *q35);
int q35_device_begin_access(struct q35_device *q35);
void q35_device_end_access(struct q35_device *q35);
void q35_device_zap_mappings(struct q35_device *q35);
int q35_device_set_coalescing(struct q35_device *q35, u32 mask, u32 value);
void q35_device_read_counters(struct q35_device *q35, u32 reg, u64 *counters);

int q35_irq_init(struct q35_device *q35);

#endif /* Q35_DEVICE_H */
