/* SPDX-License-Identifier: MIT */
/*
 * The card backend: one DRM file, one address space, one timeline syncobj a slot. card.c opens the
 * node and describes the card, card_buffer.c and card_queue.c do what their names say.
 */
#ifndef Q35_CARD_H
#define Q35_CARD_H

#include "device.h"
#include "discover.h"
#include "drm/q35_accel.h"

struct card_buffer {
	struct q35_buffer base;
	uint32_t handle;
	uint64_t size; /* whole pages */
	struct card_buffer *prev, *next; /* by rising address */
};

struct card {
	struct q35 base;
	int fd;
	char node[Q35_NODE_SIZE];
	struct drm_q35_device device;
	uint32_t vm_id;
	uint32_t timelines[Q35_SLOTS]; /* syncobjs, 0 until the slot's first queue */

	pthread_mutex_t
		va_lock; /* the list of buffers, which is also the map of addresses in use */
	struct card_buffer *buffers;
};

struct card_queue {
	struct q35_queue base;
	uint32_t id;
};

/* DEV_QUERY: the driver knows of size bytes, or the rest is zero. A negative errno, no sentence. */
int q35_card_query(int fd, enum drm_q35_query type, void *out, uint32_t size);

int q35_card_buffer_create(struct q35 *dev, enum q35_memory where, size_t size,
			   struct q35_buffer **buf);
void q35_card_buffer_destroy(struct q35_buffer *buf);

int q35_card_queue_create(struct q35 *dev, unsigned int slot, unsigned int priority,
			  unsigned int timeout_ms, struct q35_queue **queue);
void q35_card_queue_destroy(struct q35_queue *queue);
int q35_card_submit(struct q35_queue *queue, const struct q35_hw_desc *descs, uint32_t count,
		    const uint64_t after[Q35_SLOTS]);
int q35_card_wait(struct q35_queue *queue, uint64_t point, int64_t deadline_ns);
void q35_card_drain(struct q35 *dev, unsigned int slot, uint64_t point);
int q35_card_get_counters(struct q35_queue *queue, struct q35_counters *counters);

#endif /* Q35_CARD_H */
