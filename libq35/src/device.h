/* SPDX-License-Identifier: MIT */
/*
 * Handles and the two backends behind them.
 *
 * q35.h is implemented once, in device.c, buffer.c, matrix.c, queue.c and job.c: arguments are
 * checked there and jobs are lowered to the card's own descriptors (q35_hw.h). A backend only
 * provides memory with addresses, and queues that execute descriptors: card.c hands them to the
 * driver, cpu.c runs them at once in an address space that is the process's own.
 *
 * Points. Every queue occupies a slot of its handle, and a slot numbers its submissions 1, 2, 3 …
 * for as long as the handle lives, over all the queues that occupy it one after the other. So a
 * buffer can remember its last use by each slot in a plain array, and a queue may be destroyed
 * while buffers still name points of it.
 *
 * Threads. One thread at a time uses a queue, so its fields and the used[] entries of its slot
 * need no lock. struct q35's lock covers its queues[], matmul_lock the buffers of q35_matmul();
 * the latter is taken first.
 */
#ifndef Q35_DEVICE_H
#define Q35_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "error.h"
#include "q35.h"
#include "q35_hw.h"

#define Q35_SLOTS 64 /* as many queues as Q35_REG_FAULTED has bits */

static inline int64_t q35_now_ns(void) /* of the clock that deadlines are of */
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

struct q35_backend {
	void (*close)(struct q35 *dev);
	int (*get_info)(struct q35 *dev, struct q35_info *info);

	int (*buffer_create)(struct q35 *dev, enum q35_memory where, size_t size,
			     struct q35_buffer **buf);
	void (*buffer_destroy)(struct q35_buffer *buf); /* no job uses it any more */

	int (*queue_create)(struct q35 *dev, unsigned int slot, unsigned int priority,
			    unsigned int timeout_ms, struct q35_queue **queue);
	void (*queue_destroy)(struct q35_queue *queue);

	/*
	 * All or none of descs; queue->last + 1 becomes their point. They begin when point
	 * after[slot] of each of the other slots is complete, 0 being none.
	 */
	int (*submit)(struct q35_queue *queue, const struct q35_hw_desc *descs, uint32_t count,
		      const uint64_t after[Q35_SLOTS]);
	int (*wait)(struct q35_queue *queue, uint64_t point, int64_t deadline_ns);
	/* Until the slot's point is complete or has failed, whichever. */
	void (*drain)(struct q35 *dev, unsigned int slot, uint64_t point);
	int (*get_counters)(struct q35_queue *queue, struct q35_counters *counters);
};

struct q35_limits {
	uint32_t queues; /* at most Q35_SLOTS */
	uint32_t max_jobs; /* of a submission */
	uint32_t max_after; /* other queues that a submission can wait for */
	uint32_t windows, act_blocks, dim_order_max; /* as Q35_REG_* */
};

struct q35 {
	const struct q35_backend *backend;
	uint64_t id; /* never reused, unlike the address */
	struct q35_limits limits;

	pthread_mutex_t lock;
	struct q35_queue *queues[Q35_SLOTS];
	uint64_t retired[Q35_SLOTS]; /* newest point of the slot's last queue that is gone */

	pthread_mutex_t matmul_lock;
	struct q35_queue *matmul_queue; /* of q35_matmul(), as are the buffers */
	struct q35_buffer *matmul_x, *matmul_y;
};

struct q35_buffer {
	struct q35 *dev;
	size_t size;
	void *map;
	uint64_t address; /* as jobs see it, at least 64-byte aligned */
	uint64_t used[Q35_SLOTS]; /* newest point of each slot whose jobs use the buffer */
};

struct q35_queue {
	struct q35 *dev;
	unsigned int slot;
	uint64_t first; /* the slot's newest point before this queue */
	atomic_uint_least64_t last; /* newest point submitted */
	struct q35_hw_desc *descs; /* room for the jobs of one submission */
	size_t descs_max;
};

struct q35_matrix {
	struct q35_buffer *buffer; /* tiles, meta, codebook, each 64-byte aligned */
	size_t meta_offset, codebook_offset;
	uint32_t n, k;
	uint16_t group;
	uint8_t window_bits, meta_flags;
};

/* For the backends' own open functions: what every handle starts as, and its end. */
void q35_device_init(struct q35 *dev, const struct q35_backend *backend,
		     const struct q35_limits *limits);
void q35_device_fini(struct q35 *dev);

/* The sentences of a failure to open are q35_error(NULL)'s. */
int q35_cpu_open(struct q35 **dev);
int q35_card_open(const char *node, struct q35 **dev);

#endif /* Q35_DEVICE_H */
