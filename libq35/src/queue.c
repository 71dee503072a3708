// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>

#include "device.h"

int q35_queue_create(struct q35 *dev, unsigned int priority, unsigned int timeout_ms,
		     struct q35_queue **queue)
{
	struct q35_queue *created;
	unsigned int slot;
	int ret;

	if (priority > 3)
		return q35_fail(dev, -EINVAL, "priority %u, the highest is 3", priority);

	pthread_mutex_lock(&dev->lock);
	for (slot = 0; slot < dev->limits.queues; slot++) {
		if (!dev->queues[slot])
			break;
	}
	if (slot == dev->limits.queues)
		ret = q35_fail(dev, -ENOSPC, "all %u queues are in use", dev->limits.queues);
	else
		ret = dev->backend->queue_create(dev, slot, priority, timeout_ms, &created);
	if (!ret) {
		created->dev = dev;
		created->slot = slot;
		created->first = dev->retired[slot];
		atomic_init(&created->last, created->first);
		dev->queues[slot] = created;
	}
	pthread_mutex_unlock(&dev->lock);

	if (!ret)
		*queue = created;
	return ret;
}

void q35_queue_destroy(struct q35_queue *queue)
{
	struct q35 *dev;

	if (!queue)
		return;
	dev = queue->dev;
	free(queue->descs);

	/* Under the lock throughout: the slot is free only when the backend is done with it. */
	pthread_mutex_lock(&dev->lock);
	dev->queues[queue->slot] = NULL;
	dev->retired[queue->slot] = atomic_load(&queue->last);
	dev->backend->queue_destroy(queue);
	pthread_mutex_unlock(&dev->lock);
}

int q35_wait(struct q35_point point, int64_t deadline_ns)
{
	uint64_t last = atomic_load(&point.queue->last);

	if (point.value > last)
		return q35_fail(point.queue->dev, -EINVAL,
				"point %llu of a queue whose newest is %llu",
				(unsigned long long)point.value, (unsigned long long)last);
	if (point.value <= point.queue->first)
		return 0;
	return point.queue->dev->backend->wait(point.queue, point.value, deadline_ns);
}

int q35_get_counters(struct q35_queue *queue, struct q35_counters *counters)
{
	return queue->dev->backend->get_counters(queue, counters);
}
