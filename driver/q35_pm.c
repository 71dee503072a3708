// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Sleep
 *
 * When the system goes to sleep, user space is frozen, but submissions that it has made are still
 * about: some on the card, others waiting for fences. Those on the card are let finish, since a job
 * that was cut off cannot be run again; those that the scheduler hands over from then on are
 * parked. Then the card is reset. On the way back it gets its address spaces and queues again, and
 * what was parked. So nobody notices, but for timestamps, which count from the card's reset.
 *
 * A card that does not finish its jobs in Q35_SUSPEND_WAIT_MS keeps the system awake: the
 * alternative would be to fail jobs that are well.
 *
 * Device memory is the card's to keep. Hibernation, which takes its power, is refused.
 */
#include <linux/jiffies.h>
#include <linux/pm.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "q35_device.h"
#include "q35_pm.h"
#include "q35_queue.h"

#define Q35_SUSPEND_WAIT_MS (5 * MSEC_PER_SEC)

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

static void q35_pm_unpark(struct q35_device *q35)
{
	for (u32 i = 0; i < q35->caps.queues; i++) {
		struct q35_queue *queue = q35_pm_get_queue(q35, i);

		if (queue) {
			q35_queue_unpark(queue);
			q35_queue_put(queue);
		}
	}
}

static int q35_pm_park(struct q35_device *q35)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(Q35_SUSPEND_WAIT_MS);

	for (u32 i = 0; i < q35->caps.queues; i++) {
		struct q35_queue *queue = q35_pm_get_queue(q35, i);
		int ret;

		if (!queue)
			continue;
		ret = q35_queue_park(queue, deadline);
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
	int ret = q35_pm_park(q35);

	if (ret) {
		q35_pm_unpark(q35);
		return ret;
	}
	q35_device_sleep(q35);
	return 0;
}

static int q35_pm_resume(struct device *dev)
{
	struct q35_device *q35 = dev_to_q35_device(dev);

	q35_device_wake(q35);
	q35_pm_unpark(q35);
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
};
