// SPDX-License-Identifier: MIT
/* What each operation but GEMM does, and what it reports. */
#include "card.h"
#include "kselftest_harness.h"

FIXTURE(card)
{
	struct card c;
};

FIXTURE_SETUP(card)
{
	card_start(&self->c, 4, 2);
}

FIXTURE_TEARDOWN(card)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

TEST_F(card, nop_completes)
{
	struct q35_hw_desc desc = {.op = Q35_OP_NOP};

	EXPECT_EQ(run(&self->c, 0, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(rd(&self->c, QREG(0, HEAD)), 1);
}

TEST_F(card, fill_writes_its_range_and_nothing_else)
{
	struct card *c = &self->c;
	const uint64_t size = (3ull << 20) + 4100; /* several parts */
	uint64_t va = card_alloc(c, size + 8, SYSTEM | SCATTERED), i;
	struct q35_hw_desc desc = {
		.op = Q35_OP_FILL,
		.fill = {.dst_va = va + 4, .size = size, .value = 0x12345678},
	};
	uint32_t value;

	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	for (i = 0; i < size + 8; i += 4) {
		card_peek(c, va + i, &value, 4);
		ASSERT_EQ(value, i < 4 || i >= size + 4 ? 0 : 0x12345678) TH_LOG("at %lu", i);
	}
}

TEST_F(card, large_copy_in_parts)
{
	struct card *c = &self->c;
	const uint64_t size = (4ull << 20) + 321;
	uint64_t src = card_alloc(c, size, SCATTERED), dst = card_alloc(c, size, SYSTEM), i,
		 seed = 1;
	struct q35_hw_desc desc = {.op = Q35_OP_COPY,
				   .copy = {.src_va = src, .dst_va = dst, .size = size}};

	for (i = 0; i < size; i++)
		*card_byte(c, src + i) = random_u32(&seed);
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	for (i = 0; i < size; i++)
		ASSERT_EQ(*card_byte(c, src + i), *card_byte(c, dst + i)) TH_LOG("at %lu", i);
	EXPECT_EQ(rd64(c, QCOUNTER(0, MEMORY)), size);
	EXPECT_EQ(rd64(c, QCOUNTER(0, LINK)), size);
	/* 10 GB/s at 1000 MHz: ten bytes a cycle. */
	EXPECT_EQ(rd64(c, QCOUNTER(0, CYCLES)), (size + 9) / 10);
	EXPECT_EQ(rd64(c, QCOUNTER(0, STALLS)), (size + 9) / 10);
}

/* Undefined what comes out, but out it comes. */
TEST_F(card, overlapping_copy_is_survived)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, 2 << 20, LOCAL);
	struct q35_hw_desc desc = {.op = Q35_OP_COPY,
				   .copy = {.src_va = va, .dst_va = va + 1, .size = 1 << 20}};

	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
}

TEST_F(card, fence_and_timestamp_write_8_bytes)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, SYSTEM), before, after, value[4];
	struct q35_hw_desc desc = {.op = Q35_OP_FENCE,
				   .fence = {.va = va + 8, .value = 0x1122334455667788}};

	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	before = rd64(c, Q35_REG_TIME_LO);
	desc = (struct q35_hw_desc){.op = Q35_OP_TIMESTAMP, .timestamp = {.va = va + 16}};
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	after = rd64(c, Q35_REG_TIME_LO);
	card_peek(c, va, value, sizeof(value));
	EXPECT_EQ(value[0], 0);
	EXPECT_EQ(value[1], 0x1122334455667788);
	EXPECT_GE(value[2], before);
	EXPECT_LE(value[2], after);
	EXPECT_EQ(value[3], 0);
}

TEST_F(card, completion_is_written_back)
{
	struct card *c = &self->c;
	struct q35_hw_writeback *w = c->queue[0].writeback;
	struct q35_hw_desc desc = {.op = Q35_OP_NOP};
	int i;

	for (i = 0; i < 5; i++)
		queue_put(c, 0, &desc);
	c->queue[0].ring[4].seqno = 0x123456789abcdef0;
	queue_ring(c, 0);
	ASSERT_TRUE(wait_seqno(c, 0, 0x123456789abcdef0));
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_IDLE));
	EXPECT_EQ(w->seqno, 0x123456789abcdef0);
	EXPECT_EQ(w->head, 5);
	EXPECT_EQ(w->fault_code, 0);
	EXPECT_LE(w->time_ns, rd64(c, Q35_REG_TIME_LO));
	EXPECT_LE(w->busy_ns, w->time_ns);
	EXPECT_EQ(w->cycles, rd64(c, QCOUNTER(0, CYCLES)));
	EXPECT_EQ(w->cycles, 5); /* the least there is */
	EXPECT_EQ(w->reserved, 0);
	EXPECT_EQ(rd(c, QREG(0, HEAD)), 5);
	EXPECT_EQ(rd64(c, QCOUNTER(0, JOBS)), 5);
	EXPECT_EQ(c->raised[Q35_VECTOR_COMPLETION], 5);
	EXPECT_EQ(c->raised[Q35_VECTOR_FAULT], 0);
}

TEST_F(card, only_notify_and_irq_together_interrupt)
{
	static const uint16_t flags[] = {0, Q35_DESC_BARRIER, Q35_DESC_NOTIFY, Q35_DESC_IRQ};
	struct card *c = &self->c;
	struct q35_hw_desc desc = {.op = Q35_OP_NOP};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		queue_put(c, 0, &desc);
		c->queue[0].ring[i].flags = flags[i];
	}
	queue_ring(c, 0);
	ASSERT_TRUE(poll_reg(c, QREG(0, HEAD), ARRAY_SIZE(flags)));
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_IDLE));
	EXPECT_EQ(c->raised[Q35_VECTOR_COMPLETION], 0);
	EXPECT_EQ(c->queue[0].writeback->seqno, 3); /* the one that had NOTIFY */
	EXPECT_EQ(c->queue[0].writeback->head, 4);
}

TEST_F(card, interrupts_coalesce_up_to_a_count)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = {.op = Q35_OP_NOP};
	uint64_t seqno = 0;
	int i;

	wr(c, Q35_REG_COALESCE, 60000u << 16 | 4);
	for (i = 0; i < 10; i++)
		seqno = submit(c, 0, &desc);
	ASSERT_TRUE(wait_seqno(c, 0, seqno));
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_IDLE));
	EXPECT_EQ(c->raised[Q35_VECTOR_COMPLETION], 2);
	usleep(100000);
	EXPECT_EQ(c->raised[Q35_VECTOR_COMPLETION], 3);
}

TEST_F(card, interrupts_wait_no_longer_than_the_time)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = {.op = Q35_OP_NOP};
	uint64_t start = now_ns();

	wr(c, Q35_REG_COALESCE, 20000u << 16 | 100);
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	while (!c->raised[Q35_VECTOR_COMPLETION] && now_ns() - start < 5000000000)
		usleep(100);
	EXPECT_GE(now_ns() - start, 20000000);
	EXPECT_EQ(c->raised[Q35_VECTOR_COMPLETION], 1);
	/* Without a time there is no waiting. */
	wr(c, Q35_REG_COALESCE, 100);
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_IDLE));
	EXPECT_EQ(c->raised[Q35_VECTOR_COMPLETION], 2);
}

TEST_F(card, writes_to_device_memory_are_told_to_the_host)
{
	struct card *c = &self->c;
	uint64_t local = card_alloc(c, PAGE, LOCAL), sys = card_alloc(c, PAGE, SYSTEM);
	struct q35_hw_desc desc = {.op = Q35_OP_FILL,
				   .fill = {.dst_va = local, .size = 64, .value = 1}};

	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(c->written, 64);
	desc.fill.dst_va = sys;
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(c->written, 64);
}

TEST_HARNESS_MAIN
