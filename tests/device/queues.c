// SPDX-License-Identifier: MIT
/* Rings, faults, resets, scheduling and the state of a paused card. */
#include "card.h"
#include "kselftest_harness.h"

FIXTURE(card)
{
	struct card c;
};

FIXTURE_SETUP(card)
{
	card_start(&self->c, 8, 2);
}

FIXTURE_TEARDOWN(card)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

static const struct q35_hw_desc nop = {.op = Q35_OP_NOP};
static const struct q35_hw_desc hang = {
	.op = Q35_OP_FILL, .fill = {.dst_va = VA_BASE, .size = 4, .value = Q35_HANG_VALUE}};

static struct q35_hw_desc fence(uint64_t va, uint64_t value)
{
	return (struct q35_hw_desc){.op = Q35_OP_FENCE, .fence = {.va = va, .value = value}};
}

/* Seconds of work, cut into parts. */
static struct q35_hw_desc long_product(struct card *c)
{
	uint64_t va = card_alloc(c, 1 << 20, LOCAL);

	/* Every row of x and y is the same one, so that little memory goes a long way. */
	return (struct q35_hw_desc){.op = Q35_OP_GEMM,
				    .gemm = {.x_va = va,
					     .tiles_va = va + 64 * PAGE,
					     .meta_va = va + 8 * PAGE,
					     .codebook_va = va + 16 * PAGE,
					     .y_va = va + 32 * PAGE,
					     .m = 131072,
					     .n = 1024,
					     .k = 1024,
					     .window_bits = 8}};
}

TEST_F(card, rings_wrap)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, LOCAL), value;
	struct q35_hw_desc desc;
	uint32_t i, n;

	queue_program(c, 1, 1, 2, 0); /* 4 descriptors */
	queue_enable(c, 1);
	for (i = 0; i < 100; i += n) {
		for (n = 0; n < 1 + i % 4; n++) {
			desc = fence(va + n * 8, i + n);
			queue_put(c, 1, &desc);
		}
		queue_ring(c, 1);
		ASSERT_TRUE(wait_seqno(c, 1, c->queue[1].seqno));
		card_peek(c, va + (n - 1) * 8, &value, 8);
		ASSERT_EQ(value, i + n - 1);
	}
	EXPECT_EQ(rd(c, QREG(1, HEAD)), i);
}

TEST_F(card, a_ring_of_one_descriptor_works)
{
	struct card *c = &self->c;
	int i;

	queue_start(c, 1, 0, 0);
	for (i = 0; i < 10; i++)
		ASSERT_EQ(run(c, 1, &nop), Q35_FAULT_NONE);
}

TEST_F(card, descriptors_complete_in_order)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, 8 << 20, LOCAL), last;
	struct q35_hw_desc desc;
	uint32_t value;
	int i;

	for (i = 0; i < 30; i++) {
		desc = (struct q35_hw_desc){.op = Q35_OP_FILL,
					    .fill = {.dst_va = va, .size = 8 << 20, .value = i}};
		queue_put(c, 0, &desc);
	}
	queue_ring(c, 0);
	for (last = 0; last < 30;) {
		uint64_t seqno = __atomic_load_n(&c->queue[0].writeback->seqno, __ATOMIC_ACQUIRE);

		ASSERT_GE(seqno, last);
		last = seqno;
	}
	for (i = 0; i < 8 << 20; i += PAGE / 2) {
		card_peek(c, va + i, &value, 4);
		ASSERT_EQ(value, 29);
	}
}

TEST_F(card, a_tail_too_far_is_a_fault)
{
	struct card *c = &self->c;

	wr(c, DOORBELL(0), 65);
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_FAULTED));
	EXPECT_EQ(rd(c, QREG(0, FAULT_CODE)), Q35_FAULT_RING);
	EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), c->queue[0].ring_address);
	EXPECT_EQ(c->queue[0].writeback->fault_code, Q35_FAULT_RING);
	EXPECT_EQ(rd64(c, Q35_REG_FAULTED_LO), 1);
	EXPECT_EQ(c->raised[Q35_VECTOR_FAULT], 1);
	/* A full ring is not too far. */
	ASSERT_TRUE(queue_reset(c, 0));
	queue_enable(c, 0);
	wr(c, DOORBELL(0), 64);
	ASSERT_TRUE(poll_reg(c, QREG(0, HEAD), 64));
	EXPECT_EQ(rd(c, QREG(0, FAULT_CODE)), 0);
	/* Nor may it go back. */
	wr(c, DOORBELL(0), 63);
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_FAULTED));
}

TEST_F(card, an_unreachable_ring_is_a_fault)
{
	struct card *c = &self->c;

	queue_program(c, 1, 1, 4, 0);
	wr64(c, QREG(1, RING_LO), SYSTEM_BASE + SYSTEM_SIZE);
	queue_enable(c, 1);
	wr(c, DOORBELL(1), 1);
	ASSERT_TRUE(poll_reg(c, QREG(1, STATE), Q35_QUEUE_FAULTED));
	EXPECT_EQ(rd(c, QREG(1, FAULT_CODE)), Q35_FAULT_RING);
	EXPECT_EQ(rd64(c, QREG(1, FAULT_ADDR_LO)), SYSTEM_BASE + SYSTEM_SIZE);
	EXPECT_EQ(rd(c, QREG(1, FAULT_INDEX)), 0);
}

TEST_F(card, an_unreachable_write_back_is_a_fault)
{
	struct card *c = &self->c;

	queue_program(c, 1, 1, 4, 0);
	wr64(c, QREG(1, WRITEBACK_LO), 64);
	queue_enable(c, 1);
	queue_put(c, 1, &nop);
	queue_ring(c, 1);
	ASSERT_TRUE(poll_reg(c, QREG(1, STATE), Q35_QUEUE_FAULTED));
	EXPECT_EQ(rd(c, QREG(1, FAULT_CODE)), Q35_FAULT_RING);
	EXPECT_EQ(rd64(c, QREG(1, FAULT_ADDR_LO)), 64);
	EXPECT_EQ(rd(c, QREG(1, FAULT_INFO)), Q35_FAULT_WRITE);
}

TEST_F(card, a_ring_too_large_is_a_fault)
{
	struct card *c = &self->c;

	queue_program(c, 1, 1, 4, 0);
	wr(c, QREG(1, RING_ORDER), rd(c, Q35_REG_RING_ORDER_MAX) + 1);
	queue_enable(c, 1);
	ASSERT_TRUE(poll_reg(c, QREG(1, STATE), Q35_QUEUE_FAULTED));
	EXPECT_EQ(rd(c, QREG(1, FAULT_CODE)), Q35_FAULT_RING);
}

TEST_F(card, a_fault_stops_its_queue_alone)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, LOCAL), value = 0;
	struct q35_hw_desc bad = fence(0, 1), good = fence(va, 7);
	int i;

	queue_start(c, 1, 4, 1);
	queue_put(c, 0, &nop);
	queue_put(c, 0, &nop);
	queue_put(c, 0, &bad);
	queue_put(c, 0, &good);
	queue_ring(c, 0);
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_FAULTED));
	EXPECT_EQ(rd(c, QREG(0, FAULT_CODE)), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(rd(c, QREG(0, FAULT_INDEX)), 2);
	EXPECT_EQ(rd(c, QREG(0, HEAD)), 2);
	EXPECT_EQ(c->queue[0].writeback->head, 2);
	EXPECT_EQ(c->queue[0].writeback->seqno, 2);
	EXPECT_EQ(c->queue[0].writeback->fault_index, 2);
	EXPECT_EQ(rd64(c, QCOUNTER(0, JOBS)), 2);
	for (i = 0; i < 10; i++)
		ASSERT_EQ(run(c, 1, &good), Q35_FAULT_NONE);
	/* It stays stopped. */
	queue_ring(c, 0);
	wr(c, QREG(0, CONTROL), Q35_QCONTROL_ENABLE);
	usleep(2000);
	EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_FAULTED);
	card_peek(c, va, &value, 8);
	EXPECT_EQ(value, 7);
	EXPECT_EQ(rd64(c, Q35_REG_FAULTED_LO), 1);
	wr(c, Q35_REG_FAULTED_LO, 1);
	EXPECT_EQ(rd64(c, Q35_REG_FAULTED_LO), 0);
	EXPECT_EQ(c->raised[Q35_VECTOR_FAULT], 1);

	ASSERT_TRUE(queue_reset(c, 0));
	EXPECT_EQ(rd(c, QREG(0, FAULT_CODE)), 0);
	queue_enable(c, 0);
	EXPECT_EQ(run(c, 0, &good), Q35_FAULT_NONE);
}

TEST_F(card, nothing_is_fetched_while_the_card_is_disabled)
{
	struct card *c = &self->c;
	uint64_t seqno;

	wr(c, Q35_REG_CONTROL, 0);
	seqno = submit(c, 0, &nop);
	usleep(5000);
	EXPECT_EQ(rd(c, QREG(0, HEAD)), 0);
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	EXPECT_TRUE(wait_seqno(c, 0, seqno));
}

TEST_F(card, a_hung_queue_is_reset_alone)
{
	struct card *c = &self->c;
	int i;

	queue_start(c, 1, 4, 1);
	for (i = 0; i < 20; i++) {
		submit(c, 0, &hang);
		ASSERT_EQ(run(c, 1, &nop), Q35_FAULT_NONE);
		usleep(500);
		EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_RUNNING);
		EXPECT_EQ(rd(c, QREG(0, HEAD)), 0);
		ASSERT_TRUE(queue_reset(c, 0));
		queue_enable(c, 0);
	}
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
}

TEST_F(card, work_in_flight_is_abandoned_at_reset)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = long_product(c);
	uint64_t start;
	int i;

	for (i = 0; i < 10; i++) {
		submit(c, 0, &desc);
		submit(c, 0, &nop);
		usleep(1000 * i);
		start = now_ns();
		ASSERT_TRUE(queue_reset(c, 0));
		EXPECT_LT(now_ns() - start, 2000000000);
		EXPECT_EQ(rd(c, QREG(0, HEAD)), 0);
		EXPECT_EQ(rd64(c, QCOUNTER(0, JOBS)), 0);
		queue_enable(c, 0);
		ASSERT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
		ASSERT_TRUE(queue_reset(c, 0));
		queue_enable(c, 0);
	}
	/* Clearing ENABLE does the same. */
	submit(c, 0, &desc);
	usleep(1000);
	wr(c, QREG(0, CONTROL), 0);
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_DISABLED));
}

TEST_F(card, card_reset_abandons_everything)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = long_product(c);

	queue_start(c, 1, 4, 1);
	submit(c, 0, &desc);
	submit(c, 1, &hang);
	usleep(2000);
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	ASSERT_TRUE(poll_reg(c, Q35_REG_STATUS, Q35_STATUS_READY));
	EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_DISABLED);
	EXPECT_EQ(rd(c, QREG(1, STATE)), Q35_QUEUE_DISABLED);
	submit(c, 0, &nop); /* not enabled */
	EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_DISABLED);
}

/* The gate holds one worker inside queue 1. */
TEST_F(card, queues_run_at_the_same_time)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, SYSTEM);
	struct q35_hw_desc desc = fence(va, 1);
	uint64_t seqno;

	queue_start(c, 1, 4, 1);
	c->gate_address = *pte_of(c, va, 0) & Q35_PTE_FRAME;
	seqno = submit(c, 1, &desc);
	while (!c->gate_waiting)
		usleep(50);
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
	EXPECT_EQ(rd(c, QREG(1, STATE)), Q35_QUEUE_RUNNING);
	c->gate_open = 1;
	EXPECT_TRUE(wait_seqno(c, 1, seqno));
}

/* With one worker nothing depends on how the host schedules several. */
FIXTURE(one_worker)
{
	struct card c;
};

FIXTURE_SETUP(one_worker)
{
	card_start(&self->c, 8, 1);
}

FIXTURE_TEARDOWN(one_worker)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

/* Half-way marks of all come before the end of any. */
TEST_F(one_worker, queues_of_one_priority_share_the_card)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = long_product(c), stamp = {.op = Q35_OP_TIMESTAMP};
	uint64_t va = card_alloc(c, PAGE, LOCAL), middle[4], end[4];
	uint32_t q, i;

	desc.gemm.m = 128;
	wr(c, Q35_REG_CONTROL, 0);
	for (q = 0; q < 4; q++) {
		queue_start(c, q + 1, 4, 1);
		for (i = 0; i < 10; i++) {
			queue_put(c, q + 1, &desc);
			stamp.timestamp.va = va + (i < 5 ? 0 : 32) + q * 8;
			if (i == 4 || i == 9)
				queue_put(c, q + 1, &stamp);
		}
		queue_ring(c, q + 1);
	}
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	for (q = 0; q < 4; q++)
		ASSERT_TRUE(wait_seqno(c, q + 1, 12));
	card_peek(c, va, middle, sizeof(middle));
	card_peek(c, va + 32, end, sizeof(end));
	for (q = 0; q < 4; q++)
		for (i = 0; i < 4; i++)
			EXPECT_LT(middle[q], end[i]);
}

TEST_F(one_worker, higher_priority_goes_first)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, LOCAL), time[4];
	struct q35_hw_desc desc = long_product(c), stamp = {.op = Q35_OP_TIMESTAMP};
	uint32_t q, i;

	desc.gemm.m = 16;
	/* All rung while the card is disabled, lowest first; each ends with a time stamp. */
	wr(c, Q35_REG_CONTROL, 0);
	for (q = 0; q < 4; q++) {
		queue_start(c, q + 1, 4, q);
		for (i = 0; i < 5; i++)
			queue_put(c, q + 1, &desc);
		stamp.timestamp.va = va + q * 8;
		queue_put(c, q + 1, &stamp);
		queue_ring(c, q + 1);
	}
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	for (q = 0; q < 4; q++)
		ASSERT_TRUE(wait_seqno(c, q + 1, 6));
	card_peek(c, va, time, sizeof(time));
	EXPECT_LT(time[3], time[2]);
	EXPECT_LT(time[2], time[1]);
	EXPECT_LT(time[1], time[0]);
}

/* A long job of low priority is interrupted between its parts. */
TEST_F(one_worker, a_higher_priority_need_not_wait_for_a_job)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = long_product(c);

	submit(c, 0, &desc);
	queue_start(c, 1, 4, 2);
	while (rd(c, QREG(0, STATE)) != Q35_QUEUE_RUNNING)
		usleep(50);
	EXPECT_EQ(run(c, 1, &nop), Q35_FAULT_NONE);
	EXPECT_EQ(rd(c, QREG(0, HEAD)), 0);
	EXPECT_TRUE(queue_reset(c, 0));
}

/* Everything the host would save, as q35-accel.c does it. */
static void migrate(struct card *c)
{
	static Q35Asic saved;
	uint32_t q;

	q35_asic_pause(&c->asic);
	saved = c->asic;
	q35_asic_reset(&c->asic);
	memcpy(c->asic.regs, saved.regs, sizeof(saved.regs));
	c->asic.counters = saved.counters;
	for (q = 0; q < Q35_VMS; q++)
		c->asic.vm[q].root = saved.vm[q].root;
	for (q = 0; q < c->asic.config.queues; q++) {
		Q35Queue *queue = &c->asic.queue[q], *from = &saved.queue[q];

		memcpy(queue->regs, from->regs, sizeof(from->regs));
		queue->state = from->state;
		queue->vm = from->vm;
		queue->priority = from->priority;
		queue->ring_order = from->ring_order;
		queue->ring = from->ring;
		queue->writeback = from->writeback;
		queue->head = from->head;
		queue->tail = from->tail;
		queue->fault = from->fault;
		queue->fault_index = from->fault_index;
		queue->job.desc = from->job.desc;
		queue->job.round = from->job.round;
		queue->job.part = from->job.part;
		queue->job.active = from->job.active;
		queue->job.fault = from->job.fault;
		queue->seqno = from->seqno;
	}
}

TEST_F(card, a_paused_card_goes_on_elsewhere)
{
	struct card *c = &self->c;
	const uint32_t size = 4 << 20;
	uint64_t src = card_alloc(c, size, LOCAL), dst = card_alloc(c, size, SYSTEM), i, seqno = 0;
	struct q35_hw_desc desc = {.op = Q35_OP_COPY,
				   .copy = {.src_va = src, .dst_va = dst, .size = size}};
	uint64_t seed = 3;

	for (i = 0; i < size; i++)
		*card_byte(c, src + i) = random_u32(&seed);
	for (i = 0; i < 8; i++)
		seqno = submit(c, 0, &desc);
	for (i = 0; i < 20; i++) {
		usleep(300);
		migrate(c);
		usleep(300);
		ASSERT_TRUE(q35_asic_restored(&c->asic));
		q35_asic_resume(&c->asic);
	}
	ASSERT_TRUE(wait_seqno(c, 0, seqno));
	for (i = 0; i < size; i++)
		ASSERT_EQ(*card_byte(c, src + i), *card_byte(c, dst + i));
}

TEST_F(card, a_product_goes_on_elsewhere)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = long_product(c);
	uint64_t y, seqno, i;
	float value[1024], first[1024];

	desc.gemm.m = 2048;
	desc.gemm.n = 1024;
	y = card_alloc(c, 2048 * 4096, LOCAL);
	desc.gemm.y_va = y;
	desc.gemm.y_stride = 4096;
	for (i = 0; i < 4 * 1024; i++)
		*card_byte(c, desc.gemm.x_va + i) = i % 4 == 3 ? 0x3f : i;
	for (i = 0; i < 512; i++)
		*card_byte(c, desc.gemm.codebook_va + i) = i + 1;
	for (i = 0; i < 16 * 128 * 224; i++)
		*card_byte(c, desc.gemm.tiles_va + i) = i ^ i >> 8;
	for (i = 0; i < 2048; i++)
		*card_byte(c, desc.gemm.meta_va + i) = i % 2 ? 0x3c : i;
	seqno = submit(c, 0, &desc);
	for (i = 0; i < 30; i++) {
		usleep(300);
		migrate(c);
		ASSERT_TRUE(q35_asic_restored(&c->asic));
		q35_asic_resume(&c->asic);
	}
	ASSERT_TRUE(wait_seqno(c, 0, seqno));
	/* All rows of x are the same, so all rows of y must be. */
	card_peek(c, y, first, 4096);
	EXPECT_NE(first[0], 0);
	for (i = 1; i < 2048; i++) {
		card_peek(c, y + i * 4096, value, 4096);
		ASSERT_EQ(memcmp(value, first, 4096), 0) TH_LOG("row %lu", i);
	}
}

TEST_F(card, impossible_states_are_refused)
{
	struct card *c = &self->c;

	q35_asic_pause(&c->asic);
	c->asic.queue[0].vm = Q35_VMS;
	EXPECT_FALSE(q35_asic_restored(&c->asic));
	EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_DISABLED);
	c->asic.queue[0].state = Q35_QUEUE_RUNNING;
	c->asic.queue[0].job = (Q35Job){.active = true, .desc = nop, .part = 1};
	EXPECT_FALSE(q35_asic_restored(&c->asic));
	c->asic.queue[0].state = Q35_QUEUE_RUNNING;
	c->asic.queue[0].job = (Q35Job){.active = true, .desc = {.op = 77}};
	EXPECT_FALSE(q35_asic_restored(&c->asic));
	c->asic.queue[0].ring_order = 31;
	EXPECT_FALSE(q35_asic_restored(&c->asic));
	q35_asic_resume(&c->asic);
}

TEST_HARNESS_MAIN
