// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "threads.h"

struct q35_pool {
	pthread_mutex_t turn; /* held by the caller of q35_parallel(); taken before lock */
	pthread_mutex_t lock; /* protects the fields down to the next comment */
	pthread_cond_t start, done;
	unsigned int generation; /* of the loop that the workers are to join */
	unsigned int busy; /* workers that have not left that loop */
	int stop;
	/* Written under lock before generation changes, constant while busy is not 0. */
	void (*fn)(void *context, size_t index);
	void *context;
	size_t count;

	atomic_size_t next;
	unsigned int workers; /* constant */
	pthread_t thread[];
};

static void run(struct q35_pool *pool)
{
	size_t i;

	while ((i = atomic_fetch_add(&pool->next, 1)) < pool->count)
		pool->fn(pool->context, i);
}

static void *worker(void *arg)
{
	struct q35_pool *pool = arg;
	unsigned int seen = 0;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (pool->generation == seen && !pool->stop)
			pthread_cond_wait(&pool->start, &pool->lock);
		if (pool->stop)
			break;
		seen = pool->generation;
		pthread_mutex_unlock(&pool->lock);
		run(pool);
		pthread_mutex_lock(&pool->lock);
		if (!--pool->busy)
			pthread_cond_signal(&pool->done);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static unsigned int usable_cpus(void)
{
	cpu_set_t set;

	if (!sched_getaffinity(0, sizeof(set), &set))
		return CPU_COUNT(&set);
	/* There are more CPUs than the set has room for. */
	return sysconf(_SC_NPROCESSORS_ONLN);
}

int q35_pool_create(unsigned int threads, struct q35_pool **out)
{
	struct q35_pool *pool;
	sigset_t all, old;
	int err = 0;

	if (!threads)
		threads = usable_cpus();
	pool = calloc(1, sizeof(*pool) + (threads - 1) * sizeof(pool->thread[0]));
	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->turn, NULL);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->start, NULL);
	pthread_cond_init(&pool->done, NULL);

	/* The program's signals are for the program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (pool->workers < threads - 1 && !err) {
		err = pthread_create(&pool->thread[pool->workers], NULL, worker, pool);
		if (!err)
			pool->workers++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		q35_pool_destroy(pool);
		return -err;
	}
	*out = pool;
	return 0;
}

void q35_pool_destroy(struct q35_pool *pool)
{
	unsigned int i;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stop = 1;
	pthread_cond_broadcast(&pool->start);
	pthread_mutex_unlock(&pool->lock);
	for (i = 0; i < pool->workers; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_cond_destroy(&pool->done);
	pthread_cond_destroy(&pool->start);
	pthread_mutex_destroy(&pool->lock);
	pthread_mutex_destroy(&pool->turn);
	free(pool);
}

unsigned int q35_pool_threads(const struct q35_pool *pool)
{
	return pool ? pool->workers + 1 : 1;
}

void q35_parallel(struct q35_pool *pool, size_t count, void (*fn)(void *context, size_t index),
		  void *context)
{
	size_t i;

	if (!pool || !pool->workers || count < 2) {
		for (i = 0; i < count; i++)
			fn(context, i);
		return;
	}

	pthread_mutex_lock(&pool->turn);
	pthread_mutex_lock(&pool->lock);
	pool->fn = fn;
	pool->context = context;
	pool->count = count;
	atomic_store(&pool->next, 0);
	pool->busy = pool->workers;
	pool->generation++;
	pthread_cond_broadcast(&pool->start);
	pthread_mutex_unlock(&pool->lock);

	run(pool);

	pthread_mutex_lock(&pool->lock);
	while (pool->busy)
		pthread_cond_wait(&pool->done, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	pthread_mutex_unlock(&pool->turn);
}
