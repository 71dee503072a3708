// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Sleep
 *
 * When the system goes to sleep, user space is frozen, but submissions that it has made are still
 * about: some on the card, others waiting for fences. Those on the card are let finish, since not
 * every job that was cut off can be run again; those that the scheduler hands over from then on are
 * parked. Then the card is reset. On the way back it gets its address spaces and queues again, and
 * what was parked. So nobody notices, but for timestamps, which count from the card's reset.
 *
 * A card that does not finish its jobs in Q35_SUSPEND_WAIT_MS keeps the system awake: the
 * alternative would be to fail jobs that are well.
 *
 * Device memory is the card's to keep. Hibernation, which takes its power, is refused.
 *
 * While nobody has work for it the card sleeps too, in D3hot, even if clients have it open. It keeps
 * all its state then, so nothing is parked, saved or restored, and time does not stop; only the BARs
 * do not answer. So whoever touches one does so in q35_pm_enter(), each job holds a reference, and
 * mappings of device memory are taken away, to wake the card when they are touched again. D3cold
 * would lose the memory and is ruled out. A card that turns out to have forgotten is reset.
 */
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/pm.h>
#include <linux/pm_runtime.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "q35_device.h"
#include "q35_pm.h"
#include "q35_queue.h"

#define Q35_SUSPEND_WAIT_MS (5 * MSEC_PER_SEC)
#define Q35_AUTOSUSPEND_MS 500 /* the default; power/autosuspend_delay_ms in sysfs */

/*
 * q35_pm_enter() - keep the card in place and awake until q35_pm_exit()
 *
 * Process context, none of the locks held that q35_device.h lists. Whoever has entered already, or
 * acts for a job in flight, needs no more than drm_dev_enter().
 *
 * Return: 0, or -ENODEV if the card has gone or does not wake up.
 */
int q35_pm_enter(struct q35_device *q35, int *idx)
{
	if (!drm_dev_enter(&q35->drm, idx))
		return -ENODEV;
	if (!pm_runtime_resume_and_get(q35->drm.dev))
		return 0;
	drm_dev_exit(*idx);
	return -ENODEV;
}

void q35_pm_exit(struct q35_device *q35, int idx)
{
	q35_pm_put(q35);
	drm_dev_exit(idx);
}

/* Keep the card awake until q35_pm_put(). The caller has entered. */
void q35_pm_get(struct q35_device *q35)
{
	pm_runtime_get_noresume(q35->drm.dev);
}

/* Any context. */
void q35_pm_put(struct q35_device *q35)
{
	pm_runtime_mark_last_busy(q35->drm.dev);
	pm_runtime_put_autosuspend(q35->drm.dev);
}

/* The end of probe: from here on the card may sleep. */
void q35_pm_init(struct q35_device *q35)
{
	struct device *dev = q35->drm.dev;

	pci_d3cold_disable(to_pci_dev(dev));
	pm_runtime_set_autosuspend_delay(dev, Q35_AUTOSUSPEND_MS);
	pm_runtime_use_autosuspend(dev);
	pm_runtime_allow(dev);
	q35_pm_put(q35); /* the PCI core's */
}

void q35_pm_fini(struct q35_device *q35)
{
	struct device *dev = q35->drm.dev;

	pm_runtime_get_sync(dev);
	pm_runtime_forbid(dev);
	pm_runtime_dont_use_autosuspend(dev);
	pci_d3cold_enable(to_pci_dev(dev));
}

static int q35_pm_runtime_suspend(struct device *dev)
{
	struct q35_device *q35 = dev_to_q35_device(dev);

	q35_device_zap_mappings(q35);
	for (u32 i = 0; i < Q35_VECTORS; i++)
		synchronize_irq(q35->irq[i]);
	return 0;
}

static int q35_pm_runtime_resume(struct device *dev)
{
	struct q35_device *q35 = dev_to_q35_device(dev);

	if (!(q35_read(q35, Q35_REG_CONTROL) & Q35_CONTROL_ENABLE))
		q35_device_request_reset(q35);
	return 0;
}

/* The queue in the slot with a reference to its memory, or NULL. */
static struct q35_queue *q35_pm_get_queue(struct q35_device *q35, u32 slot)
{
	struct q35_queue *queue;

	mutex_lock(&q35->slots_lock);
	queue = q35->queues[slot];
	if (queue)
		kref_get(&queue->kref);
	mutex_unlock(&q35->slots_lock);
	return queue;
}

/* Let what is on the card end. The queues are parked. */
static int q35_pm_drain(struct q35_device *q35)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(Q35_SUSPEND_WAIT_MS);

	for (u32 i = 0; i < q35->caps.queues; i++) {
		struct q35_queue *queue = q35_pm_get_queue(q35, i);
		int ret;

		if (!queue)
			continue;
		ret = q35_queue_drain(queue, deadline);
		q35_queue_put(queue);
		if (ret) {
			drm_info(&q35->drm, "queue %u is still busy, the system cannot sleep\n", i);
			return ret;
		}
	}
	return 0;
}

static int q35_pm_suspend(struct device *dev)
{
	struct q35_device *q35 = dev_to_q35_device(dev);
	int ret;

	q35_device_park(q35, Q35_PARK_SLEEP);
	ret = q35_pm_drain(q35);
	if (ret) {
		q35_device_unpark(q35, Q35_PARK_SLEEP);
		return ret;
	}
	q35_device_sleep(q35);
	return 0;
}

static int q35_pm_resume(struct device *dev)
{
	struct q35_device *q35 = dev_to_q35_device(dev);

	q35_device_wake(q35);
	q35_device_unpark(q35, Q35_PARK_SLEEP);
	return 0;
}

static int q35_pm_freeze(struct device *dev)
{
	drm_info(&dev_to_q35_device(dev)->drm, "hibernation would lose the card's memory\n");
	return -EOPNOTSUPP;
}

const struct dev_pm_ops q35_pm_ops = {
	.suspend = pm_sleep_ptr(q35_pm_suspend),
	.resume = pm_sleep_ptr(q35_pm_resume),
	.freeze = pm_sleep_ptr(q35_pm_freeze),
	RUNTIME_PM_OPS(q35_pm_runtime_suspend, q35_pm_runtime_resume, NULL)};
