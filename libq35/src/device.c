// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discover.h"

void q35_device_init(struct q35 *dev, const struct q35_backend *backend,
		     const struct q35_limits *limits)
{
	static _Atomic uint64_t opened;

	dev->backend = backend;
	dev->id = atomic_fetch_add(&opened, 1) + 1;
	dev->limits = *limits;
	if (dev->limits.queues > Q35_SLOTS)
		dev->limits.queues = Q35_SLOTS;
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->matmul_lock, NULL);
}

void q35_device_fini(struct q35 *dev)
{
	pthread_mutex_destroy(&dev->matmul_lock);
	pthread_mutex_destroy(&dev->lock);
}

static int is_pci_address(const char *name)
{
	unsigned int domain, bus, slot, function;
	char end;

	return sscanf(name, "%4x:%2x:%2x.%1x%c", &domain, &bus, &slot, &function, &end) == 4;
}

static int open_pci(const char *pci, struct q35 **dev)
{
	char node[Q35_NODE_SIZE];
	int ret = q35_discover(Q35_SYSFS, pci, node);

	if (ret == Q35_NO_CARD)
		return q35_fail(NULL, -ENOENT, "there is no Q35 card at PCI address %s", pci);
	return ret ? ret : q35_card_open(node, dev);
}

static int open_first(struct q35 **dev)
{
	char node[Q35_NODE_SIZE];
	int ret = q35_discover(Q35_SYSFS, NULL, node);

	if (ret == Q35_NO_CARD)
		return q35_cpu_open(dev);
	return ret ? ret : q35_card_open(node, dev);
}

int q35_open(const char *name, struct q35 **dev)
{
	if (!name) {
		name = secure_getenv("Q35_DEVICE");
		if (!name || !name[0])
			return open_first(dev);
	}
	if (!strcmp(name, "cpu"))
		return q35_cpu_open(dev);
	if (name[0] == '/')
		return q35_card_open(name, dev);
	if (is_pci_address(name))
		return open_pci(name, dev);
	return q35_fail(
		NULL, -ENOENT,
		"'%.64s' names no device: give cpu, a node such as /dev/accel/accel0, or a PCI address such as 0000:00:04.0",
		name);
}

void q35_close(struct q35 *dev)
{
	if (!dev)
		return;
	q35_queue_destroy(dev->matmul_queue);
	q35_buffer_destroy(dev->matmul_x);
	q35_buffer_destroy(dev->matmul_y);
	dev->backend->close(dev);
}

int q35_get_info(struct q35 *dev, struct q35_info *info)
{
	return dev->backend->get_info(dev, info);
}
