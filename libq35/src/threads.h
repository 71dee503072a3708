/* SPDX-License-Identifier: MIT */
/*
 * A pool of worker threads and a parallel for.
 */
#ifndef Q35_THREADS_H
#define Q35_THREADS_H

#include <stddef.h>

struct q35_pool;

/* threads counts the calling one; 0: one per CPU that the process may use. -ENOMEM, -EAGAIN. */
int q35_pool_create(unsigned int threads, struct q35_pool **pool);
void q35_pool_destroy(struct q35_pool *pool);
unsigned int q35_pool_threads(const struct q35_pool *pool);

/*
 * Calls fn(context, i) once for every i < count, handed out in rising order, and returns when all
 * calls have. The caller's thread works too; pool NULL: it works alone. Several threads may call
 * this on one pool, and take turns; fn must not.
 */
void q35_parallel(struct q35_pool *pool, size_t count, void (*fn)(void *context, size_t index),
		  void *context);

#endif /* Q35_THREADS_H */
