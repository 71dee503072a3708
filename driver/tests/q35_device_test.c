// SPDX-License-Identifier: GPL-2.0-only
/* Of q35_device.c, and part of it: waits end, and only a card that makes sense is taken. */
#include <kunit/test.h>

#include "q35_mock.h"

#define TEST_REG Q35_REG_STATUS

static void q35_poll_test_at_once(struct kunit *test)
{
	struct q35_device *q35 = q35_mock(test);

	q35_write(q35, TEST_REG, 0xf5);
	KUNIT_EXPECT_EQ(test, 0, q35_poll(q35, TEST_REG, 0xf, 5, 0));
}

static void q35_poll_test_timeout(struct kunit *test)
{
	struct q35_device *q35 = q35_mock(test);
	ktime_t start = ktime_get();

	q35_write(q35, TEST_REG, 6);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, q35_poll(q35, TEST_REG, U32_MAX, 5, 20000));
	KUNIT_EXPECT_GE(test, ktime_us_delta(ktime_get(), start), 20000);
}

/* All ones is no value, though its bits match, and is not waited for. */
static void q35_poll_test_gone(struct kunit *test)
{
	struct q35_device *q35 = q35_mock(test);
	ktime_t start = ktime_get();

	q35_write(q35, TEST_REG, U32_MAX);
	KUNIT_EXPECT_EQ(test, -ENODEV, q35_poll(q35, TEST_REG, 1, 1, 60 * USEC_PER_SEC));
	KUNIT_EXPECT_EQ(test, -ENODEV, q35_poll(q35, TEST_REG, 1, 0, 60 * USEC_PER_SEC));
	KUNIT_EXPECT_LT(test, ktime_us_delta(ktime_get(), start), 30 * USEC_PER_SEC);
}

struct q35_late_write {
	struct delayed_work work;
	struct q35_device *q35;
	u32 value;
};

static void q35_late_write_work(struct work_struct *work)
{
	struct q35_late_write *late = container_of(work, struct q35_late_write, work.work);

	q35_write(late->q35, TEST_REG, late->value);
}

/* The register says 0 for 50 ms, then what. */
static int q35_poll_late(struct kunit *test, u32 what)
{
	struct q35_late_write late = {.q35 = q35_mock(test), .value = what};
	int ret;

	q35_write(late.q35, TEST_REG, 0);
	INIT_DELAYED_WORK_ONSTACK(&late.work, q35_late_write_work);
	schedule_delayed_work(&late.work, msecs_to_jiffies(50));
	ret = q35_poll(late.q35, TEST_REG, U32_MAX, 5, 60 * USEC_PER_SEC);
	flush_delayed_work(&late.work);
	destroy_delayed_work_on_stack(&late.work);
	return ret;
}

static void q35_poll_test_later(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0, q35_poll_late(test, 5));
	KUNIT_EXPECT_EQ(test, -ENODEV, q35_poll_late(test, U32_MAX));
}

static void q35_late_wake(struct work_struct *work)
{
	struct q35_device *q35 = container_of(work, struct q35_late_write, work.work)->q35;

	down_write(&q35->reset_sem);
	q35->asleep = false;
	up_write(&q35->reset_sem);
}

/* While others reset the card, nobody reads its registers or writes its memory. */
static void q35_access_test_waits(struct kunit *test)
{
	struct q35_late_write late = {.q35 = q35_mock(test)};
	ktime_t start = ktime_get();

	init_rwsem(&late.q35->reset_sem);
	late.q35->asleep = true;
	INIT_DELAYED_WORK_ONSTACK(&late.work, q35_late_wake);
	schedule_delayed_work(&late.work, msecs_to_jiffies(100));
	KUNIT_EXPECT_EQ(test, 0, q35_device_begin_access(late.q35));
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), start), 50);
	q35_device_end_access(late.q35);
	flush_delayed_work(&late.work);
	destroy_delayed_work_on_stack(&late.work);
}

static void q35_caps_test_good(struct kunit *test)
{
	struct q35_device *q35 = q35_mock(test);

	KUNIT_ASSERT_EQ(test, 0, q35_device_read_caps(q35));
	KUNIT_EXPECT_EQ(test, Q35_MOCK_QUEUES, q35->caps.queues);
	KUNIT_EXPECT_EQ(test, SZ_16M, q35->caps.memory);
	KUNIT_EXPECT_EQ(test, SZ_32K, q35->caps.doorbell_offset);
}

/* The card reaches what its capability and its page tables both can say. */
static void q35_dma_mask_test(struct kunit *test)
{
	static const u32 bits[][2] = {{32, 32}, {40, 40}, {52, 52}, {53, 52}, {64, 52}};
	struct device_dma_parameters parms = {};
	struct q35_device *q35 = q35_mock(test);
	struct device *dev = q35->drm.dev;
	u64 mask;

	dev->dma_mask = &mask;
	dev->dma_parms = &parms;
	for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
		mask = 0;
		q35->caps.dma_bits = bits[i][0];
		KUNIT_EXPECT_EQ(test, 0, q35_device_set_dma_mask(q35));
		KUNIT_EXPECT_EQ(test, DMA_BIT_MASK(bits[i][1]), mask);
		KUNIT_EXPECT_EQ(test, DMA_BIT_MASK(bits[i][1]), dev->coherent_dma_mask);
	}
	KUNIT_EXPECT_EQ(test, UINT_MAX, parms.max_segment_size);
	dev->dma_mask = NULL;
	dev->dma_parms = NULL;
}

struct q35_cap {
	const char *name;
	u32 reg, value;
};

static const struct q35_cap q35_bad_caps[] = {
	{"another magic", Q35_REG_MAGIC, Q35_MAGIC + 1},
	{"gone", Q35_REG_MAGIC, U32_MAX},
	{"version 0", Q35_REG_VERSION, 0},
	{"a later version", Q35_REG_VERSION, (Q35_VERSION_MAJOR + 1) << 16},
	{"no queue", Q35_REG_QUEUES, 0},
	{"65 queues", Q35_REG_QUEUES, 65},
	{"no address space", Q35_REG_VMS, 0},
	{"4097 address spaces", Q35_REG_VMS, 4097},
	{"rings of 16", Q35_REG_RING_ORDER_MAX, 4},
	{"rings of 2^25", Q35_REG_RING_ORDER_MAX, 25},
	{"rings of 2^(2^32 - 1)", Q35_REG_RING_ORDER_MAX, U32_MAX},
	{"31 DMA bits", Q35_REG_DMA_BITS, 31},
	{"65 DMA bits", Q35_REG_DMA_BITS, 65},
	{"30 address bits", Q35_REG_VA_BITS, Q35_LEVEL_SHIFT(2)},
	{"40 address bits", Q35_REG_VA_BITS, Q35_VA_BITS + 1},
	{"no memory", Q35_REG_MEMORY_LO, 0},
	{"more memory than its BAR", Q35_REG_MEMORY_LO, SZ_16M + 1},
	{"4 GiB more memory than its BAR", Q35_REG_MEMORY_HI, 1},
	{"queues outside BAR0", Q35_REG_QUEUE_OFFSET, Q35_MOCK_REGS - SZ_256 * 3},
	{"queues where 32 bits wrap", Q35_REG_QUEUE_OFFSET, -SZ_256},
	{"an odd offset of queues", Q35_REG_QUEUE_OFFSET, SZ_4K + 1},
	{"queues that overlap", Q35_REG_QUEUE_STRIDE, 4},
	{"queues far apart", Q35_REG_QUEUE_STRIDE, U32_MAX - 3},
	{"address spaces outside BAR0", Q35_REG_VM_OFFSET, Q35_MOCK_REGS},
	{"address spaces that overlap", Q35_REG_VM_STRIDE, 8},
	{"doorbells outside BAR0", Q35_REG_DOORBELL_OFFSET, Q35_MOCK_REGS - 4},
	{"doorbells that share a page", Q35_REG_DOORBELL_STRIDE, SZ_2K},
};

static void q35_cap_describe(const struct q35_cap *cap, char *text)
{
	strscpy(text, cap->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(q35_bad_cap, q35_bad_caps, q35_cap_describe);

static void q35_caps_test_bad(struct kunit *test)
{
	const struct q35_cap *cap = test->param_value;
	struct q35_device *q35 = q35_mock(test);

	q35_write(q35, cap->reg, cap->value);
	KUNIT_EXPECT_EQ(test, -ENODEV, q35_device_read_caps(q35));
}

static struct kunit_case q35_device_cases[] = {
	KUNIT_CASE(q35_poll_test_at_once),
	KUNIT_CASE(q35_poll_test_timeout),
	KUNIT_CASE(q35_poll_test_gone),
	KUNIT_CASE(q35_poll_test_later),
	KUNIT_CASE(q35_access_test_waits),
	KUNIT_CASE(q35_caps_test_good),
	KUNIT_CASE(q35_dma_mask_test),
	KUNIT_CASE_PARAM(q35_caps_test_bad, q35_bad_cap_gen_params),
	{},
};

static struct kunit_suite q35_device_suite = {
	.name = "q35_device",
	.test_cases = q35_device_cases,
};

kunit_test_suite(q35_device_suite);
