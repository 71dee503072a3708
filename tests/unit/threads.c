// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "threads.h"

#include "kselftest_harness.h"

#define COUNT 1000

struct loop {
	struct q35_pool *pool;
	atomic_int calls[COUNT];
};

static void call(void *context, size_t index)
{
	struct loop *loop = context;

	atomic_fetch_add(&loop->calls[index], 1);
}

static void *run_loops(void *context)
{
	struct loop *loop = context;

	for (size_t i = 0; i < 100; i++)
		q35_parallel(loop->pool, i % 3 ? COUNT : i, call, loop);
	return NULL;
}

static void check(struct __test_metadata *_metadata, const struct loop *loop)
{
	for (size_t i = 0; i < COUNT; i++) {
		int expected = 66;

		for (size_t j = 0; j < 100; j += 3)
			expected += i < j;
		ASSERT_EQ(expected, loop->calls[i]);
	}
}

TEST(every_index_is_called_once_with_any_number_of_threads)
{
	for (unsigned int threads = 1; threads < 6; threads++) {
		struct loop loop = {0};

		ASSERT_EQ(0, q35_pool_create(threads, &loop.pool));
		ASSERT_EQ(threads, q35_pool_threads(loop.pool));
		run_loops(&loop);
		q35_pool_destroy(loop.pool);
		check(_metadata, &loop);
	}
}

TEST(without_a_pool_the_caller_works_alone)
{
	struct loop loop = {0};

	ASSERT_EQ(1, q35_pool_threads(NULL));
	run_loops(&loop);
	check(_metadata, &loop);
	q35_pool_destroy(NULL);
}

TEST(callers_on_one_pool_take_turns)
{
	static struct loop loops[3];
	pthread_t thread[3];

	ASSERT_EQ(0, q35_pool_create(0, &loops[0].pool));
	for (int i = 0; i < 3; i++) {
		loops[i].pool = loops[0].pool;
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, run_loops, &loops[i]));
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
		check(_metadata, &loops[i]);
	}
	q35_pool_destroy(loops[0].pool);
}

TEST_HARNESS_MAIN
