// SPDX-License-Identifier: MIT
#include "card.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xf86drm.h>

#define DRIVER_MAJOR 1 /* of the uAPI, as drmGetVersion() tells it */

int q35_card_query(int fd, enum drm_q35_query type, void *out, uint32_t size)
{
	struct drm_q35_dev_query query = {.type = type, .size = size, .pointer = (uintptr_t)out};

	return drmIoctl(fd, DRM_IOCTL_Q35_DEV_QUERY, &query) ? -errno : 0;
}

static void card_close(struct q35 *dev)
{
	struct card *card = (struct card *)dev;

	/* The file takes its address space and syncobjs with it. */
	close(card->fd);
	pthread_mutex_destroy(&card->va_lock);
	q35_device_fini(dev);
	free(card);
}

static int card_get_info(struct q35 *dev, struct q35_info *info)
{
	const struct card *card = (const struct card *)dev;
	const struct drm_q35_device *device = &card->device;
	struct drm_q35_memory memory;
	int ret = q35_card_query(card->fd, DRM_Q35_QUERY_MEMORY, &memory, sizeof(memory));

	if (ret)
		return q35_fail(dev, ret, "%s: its memory: %s", card->node, strerror(-ret));
	*info = (struct q35_info){.isa = "card",
				  .is_card = 1,
				  .version = device->version,
				  .memory_total = memory.total,
				  .memory_free = memory.free,
				  .queues = device->queues,
				  .max_jobs = device->max_jobs,
				  .lanes = device->lanes,
				  .clock_mhz = device->clock_mhz,
				  .memory_gbps = device->memory_gbps,
				  .link_gbps = device->link_gbps};
	memcpy(info->name, card->node, sizeof(info->name));
	return 0;
}

static const struct q35_backend card_backend = {
	.close = card_close,
	.get_info = card_get_info,
	.buffer_create = q35_card_buffer_create,
	.buffer_destroy = q35_card_buffer_destroy,
	.queue_create = q35_card_queue_create,
	.queue_destroy = q35_card_queue_destroy,
	.submit = q35_card_submit,
	.wait = q35_card_wait,
	.drain = q35_card_drain,
	.get_counters = q35_card_get_counters,
};

static int explain_permission(const char *node)
{
	char names[1024];
	struct group entry, *group = NULL;
	struct stat st;

	if (stat(node, &st))
		return q35_fail(NULL, -EACCES, "no permission to open %s", node);
	if ((st.st_mode & 0060) != 0060)
		return q35_fail(NULL, -EACCES,
				"no permission to open %s: its mode is %04o, for its owner alone",
				node, st.st_mode & 07777);
	if (getgrgid_r(st.st_gid, &entry, names, sizeof(names), &group) || !group)
		return q35_fail(NULL, -EACCES,
				"no permission to open %s: its mode is %04o, its group number %u",
				node, st.st_mode & 07777, st.st_gid);
	return q35_fail(NULL, -EACCES,
			"no permission to open %s: its mode is %04o, its group %s (are you in it?)",
			node, st.st_mode & 07777, group->gr_name);
}

static int explain_missing(const char *node)
{
	char existing[Q35_NODE_SIZE];
	int ret = q35_discover(Q35_SYSFS, NULL, existing);

	if (ret == Q35_NO_CARD)
		return q35_fail(NULL, -ENOENT, "there is no %.64s, nor any Q35 card", node);
	if (ret)
		return q35_fail(NULL, ret, "there is no %.64s: %s", node, q35_error(NULL));
	if (!strcmp(existing, node))
		return q35_fail(NULL, -ENOENT, "the kernel has the card %s but not its node", node);
	return q35_fail(NULL, -ENOENT, "there is no %.64s; the first Q35 card is %s", node,
			existing);
}

static int open_node(const char *node)
{
	int fd = open(node, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
		return explain_missing(node);
	case EACCES:
	case EPERM:
		return explain_permission(node);
	}
	return q35_fail(NULL, -errno, "%.64s: %s", node, strerror(errno));
}

static int check_driver(const char *node, int fd)
{
	drmVersionPtr version = drmGetVersion(fd);
	int ret = 0;

	if (!version)
		return q35_fail(NULL, -ENOENT, "%.64s is no DRM device", node);
	if (strcmp(version->name, Q35_DRIVER_NAME))
		ret = q35_fail(NULL, -ENOENT, "%.64s is driven by %.32s and not a Q35 card", node,
			       version->name);
	else if (version->version_major != DRIVER_MAJOR)
		ret = q35_fail(NULL, -EPROTO, "%.64s: the driver is version %d.%d, libq35 needs %d",
			       node, version->version_major, version->version_minor, DRIVER_MAJOR);
	drmFreeVersion(version);
	return ret;
}

static int check_card(const char *node, const struct drm_q35_device *device)
{
	const uint32_t needed = Q35_FEATURE_GEMM | Q35_FEATURE_COPY | Q35_FEATURE_FILL;
	uint32_t major = device->version >> 16;

	if (major != Q35_VERSION_MAJOR)
		return q35_fail(NULL, -EPROTO, "%.64s: the card is version %u.%u, libq35 needs %u",
				node, major, device->version & 0xffff, Q35_VERSION_MAJOR);
	if ((device->features & needed) != needed)
		return q35_fail(NULL, -EPROTO, "%.64s: the card lacks features 0x%x", node,
				needed & ~device->features);
	if (!device->page_size || device->page_size & (device->page_size - 1) ||
	    !device->max_syncs || device->dim_order_max > 31)
		return q35_fail(NULL, -EPROTO, "%.64s: the driver's figures make no sense", node);
	return 0;
}

int q35_card_open(const char *node, struct q35 **dev)
{
	struct drm_q35_vm_create vm = {0};
	struct q35_limits limits;
	struct card *card;
	int ret;

	if (strlen(node) >= Q35_NODE_SIZE)
		return q35_fail(NULL, -ENOENT, "'%.64s…' is too long for a device node", node);
	card = calloc(1, sizeof(*card));
	if (!card)
		return q35_fail(NULL, -ENOMEM, "no memory to open %s", node);
	strcpy(card->node, node);

	ret = open_node(node);
	if (ret < 0)
		goto err_free;
	card->fd = ret;
	ret = check_driver(node, card->fd);
	if (ret)
		goto err_close;
	ret = q35_card_query(card->fd, DRM_Q35_QUERY_DEVICE, &card->device, sizeof(card->device));
	if (ret) {
		q35_fail(NULL, ret, "%s: its capabilities: %s", node, strerror(-ret));
		goto err_close;
	}
	ret = check_card(node, &card->device);
	if (ret)
		goto err_close;
	if (drmIoctl(card->fd, DRM_IOCTL_Q35_VM_CREATE, &vm)) {
		ret = -errno;
		if (ret == -ENOSPC)
			q35_fail(NULL, ret, "%s: all %u address spaces are in use", node,
				 card->device.vms);
		else
			q35_fail(NULL, ret, "%s: an address space: %s", node, strerror(-ret));
		goto err_close;
	}
	card->vm_id = vm.vm_id;

	limits = (struct q35_limits){.queues = card->device.queues,
				     .max_jobs = card->device.max_jobs,
				     .max_after = card->device.max_syncs - 1,
				     .windows = card->device.windows,
				     .act_blocks = card->device.act_blocks,
				     .dim_order_max = card->device.dim_order_max};
	pthread_mutex_init(&card->va_lock, NULL);
	q35_device_init(&card->base, &card_backend, &limits);
	*dev = &card->base;
	return 0;

err_close:
	close(card->fd);
err_free:
	free(card);
	return ret;
}
