// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: The card
 *
 * Everything that the driver knows about sizes and counts it reads from the capability registers
 * once, in q35_device_init(), which refuses a card that it does not understand, and says what it
 * found. A card is hardware, and hardware breaks: no register value is trusted further than the
 * next check, every wait is bounded, and all ones means that the card has left the bus.
 *
 * Card reset is the last resort, when a queue does not come out of its own reset or an address
 * space does not drain. It is a work item of its own, which whoever needs it requests and, where
 * memory depends on it, flushes. Page tables are in host memory and device memory survives, so
 * address spaces and buffers stay, and so do the queues of the innocent: what was not complete
 * runs again, from where the card got to (q35_queue_restart()). Sleep of the system, function-level
 * reset and recovery from PCI errors are the same with a pause in the middle. Should the card not
 * come back, bus mastering is switched off: whatever it is still doing, it can no longer reach the
 * host's memory, and buffers can be freed.
 *
 * Removal is the same as reset with another error code: drm_dev_unplug() keeps everyone else away
 * from the registers, then the card is stopped, jobs in flight end with ENODEV, and everything that
 * is mapped for DMA is unmapped, although files may stay open and keep their (now inert) objects.
 */
#include <linux/delay.h>
#include <linux/dma-fence.h>
#include <linux/dma-mapping.h>
#include <linux/iopoll.h>
#include <linux/mm.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "q35_device.h"
#include "q35_dump.h"
#include "q35_pm.h"
#include "q35_queue.h"
#include "q35_recovery.h"
#include "q35_trace.h"
#include "q35_vm.h"

#define Q35_ASLEEP_POLL_MS 10

/*
 * q35_poll() - wait for register & mask == want
 *
 * Return: 0, -ETIMEDOUT, or -ENODEV if the card has left the bus.
 */
int q35_poll(struct q35_device *q35, u32 reg, u32 mask, u32 want, u64 timeout_us)
{
	u32 value;
	int ret;

	ret = read_poll_timeout(q35_read, value, (value & mask) == want || value == U32_MAX, 10,
				timeout_us, false, q35, reg);
	if (value == U32_MAX)
		return -ENODEV;
	return ret;
}

/* Six 64-bit values in the order of Q35_COUNTER_*, from the queue's or the card's block at reg. */
void q35_device_read_counters(struct q35_device *q35, u32 reg, u64 *counters)
{
	lockdep_assert_held(&q35->slots_lock); /* a LO read latches HI until the next LO read */
	for (u32 i = 0; i < Q35_COUNTERS_SIZE / sizeof(u64); i++)
		counters[i] = q35_read64(q35, reg + i * sizeof(u64));
}

/* Set the bits of mask of Q35_REG_COALESCE, for good. Return: 0 or -ENODEV. */
int q35_device_set_coalescing(struct q35_device *q35, u32 mask, u32 value)
{
	int idx, ret = q35_pm_enter(q35, &idx);

	if (ret)
		return ret;
	down_read(&q35->reset_sem);
	mutex_lock(&q35->slots_lock);
	q35->coalesce = (q35->coalesce & ~mask) | value;
	if (!q35_device_is_stopped(q35))
		q35_write(q35, Q35_REG_COALESCE, q35->coalesce);
	mutex_unlock(&q35->slots_lock);
	up_read(&q35->reset_sem);
	q35_pm_exit(q35, idx);
	return 0;
}

static bool q35_block_fits(resource_size_t bar, u32 offset, u32 stride, u32 count, u32 size)
{
	return IS_ALIGNED(offset | stride, 4) && stride >= size &&
	       offset + (u64)stride * (count - 1) + size <= bar;
}

/* The card is not one that this driver knows; say what was found. */
#define q35_refuse(q35, format, ...) dev_err_probe((q35)->drm.dev, -ENODEV, format, ##__VA_ARGS__)

static int q35_device_read_caps(struct q35_device *q35)
{
	struct pci_dev *pdev = to_pci_dev(q35->drm.dev);
	resource_size_t regs = pci_resource_len(pdev, Q35_BAR_REGS);
	struct q35_caps *caps = &q35->caps;
	u32 magic = q35_read(q35, Q35_REG_MAGIC);

	if (magic != Q35_MAGIC)
		return q35_refuse(q35, "not a Q35 card: magic is %#010x, not %#010x\n", magic,
				  Q35_MAGIC);

	caps->version = q35_read(q35, Q35_REG_VERSION);
	if (caps->version >> 16 != Q35_VERSION_MAJOR)
		return q35_refuse(q35, "card has interface version %u.%u, this driver knows %u.x\n",
				  caps->version >> 16, caps->version & 0xffff, Q35_VERSION_MAJOR);

	caps->features = q35_read(q35, Q35_REG_FEATURES);
	caps->queues = q35_read(q35, Q35_REG_QUEUES);
	caps->vms = q35_read(q35, Q35_REG_VMS);
	caps->ring_order_max = q35_read(q35, Q35_REG_RING_ORDER_MAX);
	caps->dma_bits = q35_read(q35, Q35_REG_DMA_BITS);
	caps->va_bits = q35_read(q35, Q35_REG_VA_BITS);
	caps->memory = q35_read64(q35, Q35_REG_MEMORY_LO);
	caps->queue_offset = q35_read(q35, Q35_REG_QUEUE_OFFSET);
	caps->queue_stride = q35_read(q35, Q35_REG_QUEUE_STRIDE);
	caps->vm_offset = q35_read(q35, Q35_REG_VM_OFFSET);
	caps->vm_stride = q35_read(q35, Q35_REG_VM_STRIDE);
	caps->doorbell_offset = q35_read(q35, Q35_REG_DOORBELL_OFFSET);
	caps->doorbell_stride = q35_read(q35, Q35_REG_DOORBELL_STRIDE);
	caps->windows = q35_read(q35, Q35_REG_WINDOWS);
	caps->act_blocks = q35_read(q35, Q35_REG_ACT_BLOCKS);
	caps->dim_order_max = q35_read(q35, Q35_REG_DIM_ORDER_MAX);
	caps->lanes = q35_read(q35, Q35_REG_LANES);
	caps->clock_mhz = q35_read(q35, Q35_REG_CLOCK_MHZ);
	caps->memory_gbps = q35_read(q35, Q35_REG_MEMORY_GBPS);
	caps->link_gbps = q35_read(q35, Q35_REG_LINK_GBPS);

	/* FAULTED has 64 bits; 4096 address spaces only bound an allocation. */
	if (!caps->queues || caps->queues > 64)
		return q35_refuse(q35, "card has %u queues, expected 1 to 64\n", caps->queues);
	if (!caps->vms || caps->vms > 4096)
		return q35_refuse(q35, "card has %u address spaces, expected 1 to 4096\n",
				  caps->vms);
	if (caps->ring_order_max < 5 || caps->ring_order_max > 24)
		return q35_refuse(q35, "card has rings of 2^%u descriptors, expected 2^5 to 2^24\n",
				  caps->ring_order_max);
	if (caps->dma_bits < 32 || caps->dma_bits > 64)
		return q35_refuse(q35, "card has DMA addresses of %u bits, expected 32 to 64\n",
				  caps->dma_bits);
	if (caps->va_bits <= Q35_LEVEL_SHIFT(2) || caps->va_bits > Q35_VA_BITS)
		return q35_refuse(q35, "card has virtual addresses of %u bits, expected %u to %u\n",
				  caps->va_bits, Q35_LEVEL_SHIFT(2) + 1, Q35_VA_BITS);
	if (caps->memory < PAGE_SIZE || caps->memory > pci_resource_len(pdev, Q35_BAR_MEMORY))
		return q35_refuse(q35, "card has %llu bytes of memory behind a BAR of %llu\n",
				  caps->memory, (u64)pci_resource_len(pdev, Q35_BAR_MEMORY));
	if (!q35_block_fits(regs, caps->queue_offset, caps->queue_stride, caps->queues,
			    Q35_QREG_COUNTERS + Q35_COUNTERS_SIZE) ||
	    !q35_block_fits(regs, caps->vm_offset, caps->vm_stride, caps->vms,
			    Q35_VREG_INVALIDATE + 4) ||
	    !q35_block_fits(regs, caps->doorbell_offset, caps->doorbell_stride, caps->queues, 4096))
		return q35_refuse(
			q35,
			"register blocks overrun BAR0's %llu bytes: queues %#x+%#x, address spaces %#x+%#x, doorbells %#x+%#x\n",
			(u64)regs, caps->queue_offset, caps->queue_stride, caps->vm_offset,
			caps->vm_stride, caps->doorbell_offset, caps->doorbell_stride);
	return 0;
}

static int q35_device_set_dma_mask(struct q35_device *q35)
{
	/* A page table entry holds 52 bits of a DMA address. */
	unsigned int bits = min(q35->caps.dma_bits, fls64(Q35_PTE_FRAME));
	int ret = dma_set_mask_and_coherent(q35->drm.dev, DMA_BIT_MASK(bits));

	if (ret)
		return dev_err_probe(q35->drm.dev, ret, "no DMA with %u address bits\n", bits);
	dma_set_max_seg_size(q35->drm.dev, UINT_MAX);
	return 0;
}

static int q35_device_reset_card(struct q35_device *q35)
{
	q35_write(q35, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	return q35_poll(q35, Q35_REG_STATUS, Q35_STATUS_READY, Q35_STATUS_READY,
			Q35_RESET_TIMEOUT_US);
}

/* No descriptor can run any more. Queues end that have failed or get no further; others go on. */
static void q35_device_restart_queues(struct q35_device *q35)
{
	lockdep_assert_held(&q35->slots_lock);

	for (u32 i = 0; i < q35->caps.queues; i++) {
		struct q35_queue *queue = q35->queues[i];

		if (queue && (q35->lost || q35_queue_restart(queue))) {
			q35_queue_lose(queue, -ECANCELED);
			q35_queue_retire(queue);
		}
	}
}

/*
 * Reset the card, and tell it the address spaces and queues again, the latter parked. The caller holds
 * reset_sem for writing.
 */
static void q35_device_restart(struct q35_device *q35)
{
	struct pci_dev *pdev = to_pci_dev(q35->drm.dev);
	int ret = q35_device_reset_card(q35);

	trace_q35_reset(q35, Q35_TRACE_CARD, ret);
	mutex_lock(&q35->slots_lock);
	if (ret) {
		drm_err(&q35->drm, "card does not come back from reset (%d), giving it up\n", ret);
		pci_clear_master(pdev);
		q35->lost = true;
	} else {
		pci_set_master(pdev);
		for (u32 i = 0; i < q35->caps.vms; i++)
			if (q35->vms[i])
				q35_vm_set_root(q35->vms[i]);
		q35_write(q35, Q35_REG_COALESCE, q35->coalesce);
		q35_write(q35, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	}
	q35_device_restart_queues(q35);
	mutex_unlock(&q35->slots_lock);
}

/*
 * q35_device_give_up() - the card will not be used any more
 *
 * Nothing of it is touched, since it may not answer; it can no longer reach the host's memory.
 */
void q35_device_give_up(struct q35_device *q35)
{
	bool cookie = dma_fence_begin_signalling();

	down_write(&q35->reset_sem);
	pci_clear_master(to_pci_dev(q35->drm.dev));
	q35->lost = true;
	WRITE_ONCE(q35->asleep, false);
	mutex_lock(&q35->slots_lock);
	q35_device_restart_queues(q35);
	mutex_unlock(&q35->slots_lock);
	up_write(&q35->reset_sem);
	dma_fence_end_signalling(cookie);
}

static void q35_device_save_counters(struct q35_device *q35)
{
	if (q35_read(q35, Q35_REG_MAGIC) != Q35_MAGIC)
		return; /* it does not answer */
	mutex_lock(&q35->slots_lock);
	for (u32 i = 0; i < q35->caps.queues; i++)
		if (q35->queues[i])
			q35_queue_save_counters(q35->queues[i]);
	mutex_unlock(&q35->slots_lock);
}

/* q35_device_unpark() - what was parked for this reason alone may run */
void q35_device_unpark(struct q35_device *q35, enum q35_park why)
{
	mutex_lock(&q35->slots_lock);
	q35->park &= ~why;
	for (u32 i = 0; i < q35->caps.queues; i++)
		if (q35->queues[i])
			q35_queue_unpark(q35->queues[i], why);
	mutex_unlock(&q35->slots_lock);
}

static void q35_device_reset_work(struct work_struct *work)
{
	struct q35_device *q35 = container_of(work, struct q35_device, reset_work);
	struct q35_dump *dump;
	bool cookie;
	int idx;

	if (q35_pm_enter(q35, &idx))
		return;
	cookie = dma_fence_begin_signalling();
	down_write(&q35->reset_sem);
	if (!q35_device_is_stopped(q35)) {
		dump = q35_dump_begin(q35, "card reset");
		if (dump)
			q35_dump_end(dump);
		atomic_inc(&q35->card_resets);
		drm_warn(&q35->drm, "resetting the card\n");
		q35_device_save_counters(q35);
		q35_device_restart(q35);
		q35_device_unpark(q35, Q35_PARK_RESET);
	}
	up_write(&q35->reset_sem);
	dma_fence_end_signalling(cookie);
	q35_pm_exit(q35, idx);
}

/*
 * q35_device_request_reset() - have the card reset, soon
 *
 * The caller flushes reset_work, holding none of the locks from reset_sem on, if it must know that
 * the card has stopped.
 */
void q35_device_request_reset(struct q35_device *q35)
{
	queue_work(q35_wq, &q35->reset_work);
}

/* q35_device_park() - nothing more goes to the card, until q35_device_unpark() for the same reason */
void q35_device_park(struct q35_device *q35, enum q35_park why)
{
	mutex_lock(&q35->slots_lock);
	q35->park |= why;
	for (u32 i = 0; i < q35->caps.queues; i++)
		if (q35->queues[i])
			q35_queue_park(q35->queues[i], why);
	mutex_unlock(&q35->slots_lock);
}

/*
 * q35_device_sleep() - park all queues and stop the card
 *
 * Until q35_device_wake() nobody touches registers or device memory, page tables need no
 * invalidation, and queues may be destroyed, but not created.
 */
void q35_device_sleep(struct q35_device *q35)
{
	down_write(&q35->reset_sem);
	/* Not earlier: a reset that the driver has begun itself would unpark them. */
	q35_device_park(q35, Q35_PARK_RESET);
	if (!q35->lost) {
		q35_device_save_counters(q35);
		if (q35_device_reset_card(q35))
			pci_clear_master(to_pci_dev(q35->drm.dev));
	}
	WRITE_ONCE(q35->asleep, true);
	up_write(&q35->reset_sem);
	q35_device_zap_mappings(q35);
}

/* q35_device_wake() - undo q35_device_sleep(); what was parked may run, if that was the reason */
void q35_device_wake(struct q35_device *q35)
{
	bool cookie = dma_fence_begin_signalling();

	down_write(&q35->reset_sem);
	WRITE_ONCE(q35->asleep, false);
	if (!q35->lost) {
		q35_device_restart(q35);
		q35_device_unpark(q35, Q35_PARK_RESET);
	}
	up_write(&q35->reset_sem);
	dma_fence_end_signalling(cookie);
}

/*
 * q35_device_begin_access() - the card is not being reset by others, until q35_device_end_access()
 *
 * In q35_pm_enter(), without locks. It holds reset_sem for reading. Return: 0, -EINTR while waiting, or
 * -ENODEV for a card that has been given up.
 */
int q35_device_begin_access(struct q35_device *q35)
{
	down_read(&q35->reset_sem);
	while (q35->asleep && !q35->lost) {
		up_read(&q35->reset_sem);
		if (msleep_interruptible(Q35_ASLEEP_POLL_MS))
			return -EINTR;
		down_read(&q35->reset_sem);
	}
	if (!q35->lost)
		return 0;
	up_read(&q35->reset_sem);
	return -ENODEV;
}

void q35_device_end_access(struct q35_device *q35)
{
	up_read(&q35->reset_sem);
}

/* Mappings of host memory go as well: there is one address_space, and they come back cheaply. */
void q35_device_zap_mappings(struct q35_device *q35)
{
	unmap_mapping_range(q35->drm.anon_inode->i_mapping, 0, 0, 1);
}

static void q35_memory_fini(struct drm_device *drm, void *arg)
{
	q35_buddy_fini(&to_q35_device(drm)->memory.buddy);
}

static int q35_memory_init(struct q35_device *q35)
{
	struct pci_dev *pdev = to_pci_dev(q35->drm.dev);
	u64 size = round_down(q35->caps.memory, PAGE_SIZE);
	int ret;

	q35->memory.bus = pci_resource_start(pdev, Q35_BAR_MEMORY);
	q35->memory.cpu = devm_ioremap_wc(&pdev->dev, q35->memory.bus, size);
	if (!q35->memory.cpu)
		return dev_err_probe(&pdev->dev, -ENOMEM, "cannot map %llu bytes of BAR%u\n", size,
				     Q35_BAR_MEMORY);

	ret = drmm_mutex_init(&q35->drm, &q35->memory.lock);
	if (ret)
		return ret;
	ret = q35_buddy_init(&q35->memory.buddy, size, PAGE_SIZE);
	if (ret)
		return ret;
	return drmm_add_action_or_reset(&q35->drm, q35_memory_fini, NULL);
}

/*
 * q35_device_init() - bring the card up
 *
 * Everything is managed: memory by the DRM device, mappings by the PCI device.
 */
int q35_device_init(struct q35_device *q35)
{
	struct pci_dev *pdev = to_pci_dev(q35->drm.dev);
	struct device *dev = &pdev->dev;
	int ret;

	init_rwsem(&q35->reset_sem);
	INIT_WORK(&q35->reset_work, q35_device_reset_work);
	q35_recovery_init(q35);
	ret = drmm_mutex_init(&q35->drm, &q35->slots_lock);
	if (ret)
		return ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return dev_err_probe(dev, ret, "cannot enable the PCI device\n");
	ret = pcim_iomap_regions(pdev, BIT(Q35_BAR_REGS), "q35");
	if (ret)
		return dev_err_probe(dev, ret, "cannot map BAR%u\n", Q35_BAR_REGS);
	q35->regs = pcim_iomap_table(pdev)[Q35_BAR_REGS];
	if (pci_resource_len(pdev, Q35_BAR_REGS) < PAGE_SIZE)
		return dev_err_probe(dev, -ENODEV, "BAR%u has only %llu bytes\n", Q35_BAR_REGS,
				     (u64)pci_resource_len(pdev, Q35_BAR_REGS));

	ret = q35_device_read_caps(q35);
	if (ret)
		return ret;

	ret = q35_device_set_dma_mask(q35);
	if (ret)
		return ret;

	q35->queues = drmm_kcalloc(&q35->drm, q35->caps.queues, sizeof(*q35->queues), GFP_KERNEL);
	q35->vms = drmm_kcalloc(&q35->drm, q35->caps.vms, sizeof(*q35->vms), GFP_KERNEL);
	if (!q35->queues || !q35->vms)
		return -ENOMEM;

	ret = q35_memory_init(q35);
	if (ret)
		return ret;
	ret = q35_dump_init(q35);
	if (ret)
		return ret;

	/* Another driver may have left it running: silence it before it may reach memory. */
	ret = q35_device_reset_card(q35);
	if (ret)
		return dev_err_probe(dev, ret, "card does not come back from reset\n");

	ret = q35_irq_init(q35);
	if (ret)
		return ret;
	pci_set_master(pdev);
	q35_write(q35, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	return 0;
}

/*
 * q35_device_remove() - stop the card for good
 *
 * After drm_dev_unplug(): nobody else touches registers any more.
 */
void q35_device_remove(struct q35_device *q35)
{
	q35_recovery_fini(q35);
	cancel_work_sync(&q35->reset_work);
	q35_dump_fini(q35);

	down_write(&q35->reset_sem);
	if (q35_device_reset_card(q35))
		drm_warn(&q35->drm, "card did not stop, or had left already\n");
	pci_clear_master(to_pci_dev(q35->drm.dev));
	q35->lost = true;
	up_write(&q35->reset_sem);

	for (u32 i = 0; i < q35->caps.queues; i++)
		q35_queue_remove(q35, i);
	for (u32 i = 0; i < q35->caps.vms; i++)
		q35_vm_remove(q35, i);
}

#if IS_BUILTIN(CONFIG_KUNIT)
#include "tests/q35_device_test.c"
#endif
