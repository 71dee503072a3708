// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xf86drm.h>

#include "card.h"

#define LARGE_PAGE (2ull << 20)

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/*
 * First fit between the buffers that exist, 0 if there is no gap. Large buffers lie so that the
 * card's 2 MiB pages can map them.
 */
static uint64_t find_address(const struct card *card, uint64_t size, struct card_buffer **prev)
{
	uint64_t align = size >= LARGE_PAGE ? LARGE_PAGE : card->device.page_size;
	uint64_t address = align_up(card->device.va_start, align);
	struct card_buffer *next = card->buffers;

	*prev = NULL;
	while (next && (address > next->base.address || next->base.address - address < size)) {
		*prev = next;
		address = align_up(next->base.address + next->size, align);
		next = next->next;
	}
	if (address > card->device.va_end || card->device.va_end - address < size)
		return 0;
	return address;
}

static int take_address(struct card *card, struct card_buffer *buf)
{
	struct card_buffer *prev;
	uint64_t address;

	pthread_mutex_lock(&card->va_lock);
	address = find_address(card, buf->size, &prev);
	if (address) {
		buf->base.address = address;
		buf->prev = prev;
		buf->next = prev ? prev->next : card->buffers;
		if (prev)
			prev->next = buf;
		else
			card->buffers = buf;
		if (buf->next)
			buf->next->prev = buf;
	}
	pthread_mutex_unlock(&card->va_lock);
	if (!address)
		return q35_fail(&card->base, -ENOSPC, "no %llu bytes of device addresses are left",
				(unsigned long long)buf->size);
	return 0;
}

static void release_address(struct card *card, struct card_buffer *buf)
{
	pthread_mutex_lock(&card->va_lock);
	if (buf->prev)
		buf->prev->next = buf->next;
	else
		card->buffers = buf->next;
	if (buf->next)
		buf->next->prev = buf->prev;
	pthread_mutex_unlock(&card->va_lock);
}

static int bind(struct card *card, struct card_buffer *buf, uint32_t flags)
{
	struct drm_q35_bind_op op = {.flags = flags,
				     .handle = flags & DRM_Q35_BIND_UNMAP ? 0 : buf->handle,
				     .va = buf->base.address,
				     .size = buf->size};
	struct drm_q35_vm_bind arg = {
		.vm_id = card->vm_id,
		.ops = {.stride = sizeof(op), .count = 1, .array = (uintptr_t)&op}};

	return drmIoctl(card->fd, DRM_IOCTL_Q35_VM_BIND, &arg) ? -errno : 0;
}

static int fail_create(struct card *card, int error, enum q35_memory where, size_t size)
{
	struct drm_q35_memory memory;

	if (error == -ENOSPC && where == Q35_DEVICE &&
	    !q35_card_query(card->fd, DRM_Q35_QUERY_MEMORY, &memory, sizeof(memory)))
		return q35_fail(&card->base, error,
				"device memory is full: %zu bytes wanted, %llu of %llu free", size,
				(unsigned long long)memory.free, (unsigned long long)memory.total);
	return q35_fail(&card->base, error, "a buffer of %zu bytes of %s memory: %s", size,
			where == Q35_DEVICE ? "device" : "host", strerror(-error));
}

/* Gives the new buffer object its place in both address spaces, the card's and the process's. */
static int map_both(struct card *card, struct card_buffer *buf)
{
	struct drm_q35_bo_mmap_offset arg = {.handle = buf->handle};
	int ret;

	ret = take_address(card, buf);
	if (ret)
		return ret;
	ret = bind(card, buf, 0);
	if (ret) {
		q35_fail(&card->base, ret, "mapping %llu bytes for the card: %s",
			 (unsigned long long)buf->size, strerror(-ret));
		goto err_address;
	}
	if (drmIoctl(card->fd, DRM_IOCTL_Q35_BO_MMAP_OFFSET, &arg)) {
		ret = -errno;
		q35_fail(&card->base, ret, "mapping %llu bytes: %s", (unsigned long long)buf->size,
			 strerror(-ret));
		goto err_bind;
	}
	buf->base.map = mmap(NULL, buf->size, PROT_READ | PROT_WRITE, MAP_SHARED, card->fd,
			     (off_t)arg.offset);
	if (buf->base.map == MAP_FAILED) {
		ret = -errno;
		q35_fail(&card->base, ret, "mapping %llu bytes: %s", (unsigned long long)buf->size,
			 strerror(-ret));
		goto err_bind;
	}
	return 0;

err_bind:
	bind(card, buf, DRM_Q35_BIND_UNMAP);
err_address:
	release_address(card, buf);
	return ret;
}

int q35_card_buffer_create(struct q35 *dev, enum q35_memory where, size_t size,
			   struct q35_buffer **out)
{
	struct card *card = (struct card *)dev;
	struct drm_q35_bo_create create = {.size = size,
					   .flags = where == Q35_DEVICE ? DRM_Q35_BO_DEVICE : 0};
	struct card_buffer *buf;
	int ret;

	/* More than can be addressed: said here, so that rounding up to pages cannot wrap. */
	if (size > card->device.va_end)
		return fail_create(card, where == Q35_DEVICE ? -ENOSPC : -ENOMEM, where, size);
	buf = calloc(1, sizeof(*buf));
	if (!buf)
		return q35_fail(dev, -ENOMEM, "no memory for a buffer");
	if (drmIoctl(card->fd, DRM_IOCTL_Q35_BO_CREATE, &create)) {
		ret = fail_create(card, -errno, where, size);
		goto err_free;
	}
	buf->base.dev = dev;
	buf->base.size = size;
	buf->handle = create.handle;
	buf->size = create.size;
	ret = map_both(card, buf);
	if (ret)
		goto err_handle;
	*out = &buf->base;
	return 0;

err_handle:
	drmCloseBufferHandle(card->fd, buf->handle);
err_free:
	free(buf);
	return ret;
}

void q35_card_buffer_destroy(struct q35_buffer *base)
{
	struct card_buffer *buf = (struct card_buffer *)base;
	struct card *card = (struct card *)base->dev;

	munmap(base->map, buf->size);
	/* Unmapping fails only when the card has gone, and its page tables with it. */
	bind(card, buf, DRM_Q35_BIND_UNMAP);
	drmCloseBufferHandle(card->fd, buf->handle);
	release_address(card, buf);
	free(buf);
}
