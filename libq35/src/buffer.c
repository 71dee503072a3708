// SPDX-License-Identifier: MIT
#include <errno.h>

#include "device.h"

int q35_buffer_create(struct q35 *dev, enum q35_memory where, size_t size, struct q35_buffer **buf)
{
	if (where != Q35_HOST && where != Q35_DEVICE)
		return q35_fail(dev, -EINVAL, "where is %d, neither Q35_HOST nor Q35_DEVICE",
				(int)where);
	if (!size)
		return q35_fail(dev, -EINVAL, "a buffer of 0 bytes");
	return dev->backend->buffer_create(dev, where, size, buf);
}

void q35_buffer_destroy(struct q35_buffer *buf)
{
	unsigned int slot;

	if (!buf)
		return;
	for (slot = 0; slot < Q35_SLOTS; slot++) {
		if (buf->used[slot])
			buf->dev->backend->drain(buf->dev, slot, buf->used[slot]);
	}
	buf->dev->backend->buffer_destroy(buf);
}

void *q35_buffer_map(struct q35_buffer *buf)
{
	return buf->map;
}

size_t q35_buffer_size(const struct q35_buffer *buf)
{
	return buf->size;
}
