// SPDX-License-Identifier: MIT
/*
 * libq35 where things end early: deadlines, buffers and queues destroyed at work, full device
 * memory, queues that fault and hang.
 */
#include "kselftest_harness.h"

#include <time.h>

#include "backends.h"
#include "device.h" /* for descriptors that q35_submit() would refuse */

#define SIZE (1u << 20)

FIXTURE(failures)
{
	struct backends b;
	struct q35 *dev;
	struct q35_queue *queue;
	struct q35_buffer *buf;
	struct q35_job fill; /* of all of buf */
};

FIXTURE_SETUP(failures)
{
	const char *wrong = backends_open(&self->b);

	ASSERT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	self->dev = self->b.dev;
	ASSERT_EQ(0, q35_queue_create(self->dev, 1, 0, &self->queue));
	ASSERT_EQ(0, q35_buffer_create(self->dev, Q35_HOST, SIZE, &self->buf));
	self->fill = (struct q35_job){.kind = Q35_JOB_FILL,
				      .fill = {.dst = self->buf, .size = SIZE, .value = 3}};
}

FIXTURE_TEARDOWN(failures)
{
	q35_buffer_destroy(self->buf);
	q35_queue_destroy(self->queue);
	backends_close(&self->b);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

TEST_F(failures, wait_ends_at_its_deadline)
{
	struct q35_point point;
	struct big big;
	int64_t start;

	ASSERT_EQ(0, big_create(self->dev, &big));
	ASSERT_EQ(0, q35_submit(self->queue, big.jobs, big.count, NULL, 0, &point));
	if (self->b.is_card) {
		EXPECT_EQ(-ETIME, q35_wait(point, 0));
		EXPECT_EQ(-ETIME, q35_wait(point, -1));
		EXPECT_STREQ("submission 0 was not complete at the deadline", q35_error(self->dev));
		start = now_ns();
		EXPECT_EQ(-ETIME, q35_wait(point, start + 2000000));
		EXPECT_LE(2000000, now_ns() - start);
	}
	EXPECT_EQ(0, q35_wait(point, now_ns() + 60000000000ll)) TH_LOG("%s", q35_error(self->dev));
	EXPECT_EQ(0, q35_wait(point, 0));
	big_destroy(&big);
}

TEST_F(failures, operands_may_be_destroyed_in_flight)
{
	struct q35_point point;
	struct big big;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, big_create(self->dev, &big));
		ASSERT_EQ(0, q35_submit(self->queue, big.jobs, big.count, NULL, 0, &point));
		big_destroy(&big);
		EXPECT_EQ(0, q35_wait(point, Q35_FOREVER)) TH_LOG("%s", q35_error(self->dev));
	}
}

TEST_F(failures, a_queue_may_be_destroyed_at_work)
{
	struct q35_queue *queue;
	struct big big;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, big_create(self->dev, &big));
		ASSERT_EQ(0, q35_queue_create(self->dev, 0, 0, &queue));
		ASSERT_EQ(0, q35_submit(queue, big.jobs, big.count, NULL, 0, NULL));
		q35_queue_destroy(queue);
		big_destroy(&big);
	}
	/* Neither the next queue in that slot nor the others noticed. */
	ASSERT_EQ(0, q35_queue_create(self->dev, 0, 0, &queue));
	EXPECT_EQ(0, run(queue, &self->fill, 1)) TH_LOG("%s", q35_error(self->dev));
	EXPECT_EQ(0, run(self->queue, &self->fill, 1)) TH_LOG("%s", q35_error(self->dev));
	q35_queue_destroy(queue);
}

/* It takes as long as the driver takes to zero all of it. */
TEST_F_TIMEOUT(failures, full_device_memory_is_an_error_and_no_more, 120)
{
	struct q35_buffer *buffers[1024], *last;
	struct q35_info before, full, after;
	size_t size = 64 << 20;
	unsigned int count = 0;
	int ret;

	if (!self->b.is_card)
		SKIP(return, "the CPU backend has no device memory");
	ASSERT_EQ(0, q35_get_info(self->dev, &before));
	while (size >= 4096 && count < ARRAY_SIZE(buffers)) {
		ret = q35_buffer_create(self->dev, Q35_DEVICE, size, &buffers[count]);
		if (ret) {
			ASSERT_EQ(-ENOSPC, ret);
			size /= 2;
		} else {
			count++;
		}
	}
	ASSERT_EQ(0, q35_get_info(self->dev, &full));
	EXPECT_GT(4096, full.memory_free);
	EXPECT_EQ(-ENOSPC, q35_buffer_create(self->dev, Q35_DEVICE, 123456, &last));
	EXPECT_EQ(0,
		  strncmp(q35_error(self->dev), "device memory is full: 123456 bytes wanted, ", 44))
	TH_LOG("%s", q35_error(self->dev));
	EXPECT_EQ(0, q35_buffer_create(self->dev, Q35_HOST, 123456, &last));
	q35_buffer_destroy(last);
	while (count)
		q35_buffer_destroy(buffers[--count]);
	ASSERT_EQ(0, q35_get_info(self->dev, &after));
	EXPECT_EQ(before.memory_free, after.memory_free);
}

/* A descriptor that got past the library's checks: its own queue fails, with the reason. */
static int run_unchecked(struct q35_queue *queue, const struct q35_hw_desc *descs, uint32_t count)
{
	const uint64_t after[Q35_SLOTS] = {0};
	int ret = queue->dev->backend->submit(queue, descs, count, after);

	if (ret)
		return ret;
	queue->last++;
	return q35_wait((struct q35_point){queue, queue->last}, Q35_FOREVER);
}

TEST_F(failures, a_fault_is_told_to_its_queue_alone)
{
	const uint64_t address = self->buf->address;
	/* A write to nowhere, and a product with an activation that does not exist. */
	const struct q35_hw_desc fills[2] = {
		{.op = Q35_OP_FILL, .fill = {.dst_va = address, .size = 64}},
		{.op = Q35_OP_FILL, .fill = {.dst_va = 0x7f12345000, .size = 64}},
	};
	const struct q35_hw_desc gemm = {.op = Q35_OP_GEMM,
					 .gemm = {.x_va = address,
						  .tiles_va = address,
						  .meta_va = address,
						  .codebook_va = address,
						  .y_va = address,
						  .m = 1,
						  .n = 1,
						  .k = 1,
						  .x_stride = 4,
						  .y_stride = 4,
						  .window_bits = 8,
						  .activation = 77}};
	struct q35_queue *queue;
	struct q35_point good;

	if (!self->b.is_card)
		SKIP(return, "the CPU backend has no queues that can fail");
	ASSERT_EQ(0, q35_queue_create(self->dev, 1, 0, &queue));
	ASSERT_EQ(0, q35_submit(queue, &self->fill, 1, NULL, 0, &good));
	EXPECT_EQ(-EIO, run_unchecked(queue, fills, 2));
	EXPECT_STREQ(
		"job 1 of the queue's submission 1: fault UNMAPPED: write to address 0x7f12345000",
		q35_error(self->dev));
	EXPECT_EQ(0, q35_wait(good, Q35_FOREVER));
	/* It stays failed, and says so again. */
	EXPECT_EQ(-EIO, q35_submit(queue, &self->fill, 1, NULL, 0, NULL));
	EXPECT_STREQ(
		"job 1 of the queue's submission 1: fault UNMAPPED: write to address 0x7f12345000",
		q35_error(self->dev));
	EXPECT_EQ(0, run(self->queue, &self->fill, 1)) TH_LOG("%s", q35_error(self->dev));
	q35_queue_destroy(queue);

	ASSERT_EQ(0, q35_queue_create(self->dev, 1, 0, &queue));
	EXPECT_EQ(-EIO, run_unchecked(queue, &gemm, 1));
	EXPECT_NE(NULL, strstr(q35_error(self->dev), "(activation, if a product)"))
	TH_LOG("%s", q35_error(self->dev));
	q35_queue_destroy(queue);
}

TEST_F(failures, a_hang_is_told_to_its_queue_alone)
{
	struct q35_queue *queue;
	struct q35_point point;
	struct big big;

	if (!self->b.is_card)
		SKIP(return, "the CPU backend has no queues that can fail");
	ASSERT_EQ(0, big_create(self->dev, &big));
	ASSERT_EQ(0, q35_queue_create(self->dev, 1, 1, &queue));
	ASSERT_EQ(0, q35_submit(queue, big.jobs, big.count, NULL, 0, &point));
	EXPECT_EQ(-EIO, q35_wait(point, Q35_FOREVER));
	EXPECT_NE(NULL, strstr(q35_error(self->dev), "outran the queue's timeout"))
	TH_LOG("%s", q35_error(self->dev));
	EXPECT_EQ(0, run(self->queue, &self->fill, 1)) TH_LOG("%s", q35_error(self->dev));
	q35_queue_destroy(queue);
	big_destroy(&big);
}

TEST_HARNESS_MAIN
