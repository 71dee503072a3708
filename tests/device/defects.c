// SPDX-License-Identifier: MIT
/* What the card does wrong on demand, and pacing. */
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

static void set(struct card *c, uint32_t defects)
{
	q35_asic_set_defects(&c->asic, defects);
}

TEST_F(card, names_are_parsed_and_printed)
{
	char text[Q35_DEFECTS_TEXT], again[Q35_DEFECTS_TEXT];
	uint32_t all, defects;

	q35_defects_print(UINT32_MAX, text);
	EXPECT_LT(strlen(text), Q35_DEFECTS_TEXT - 20);
	ASSERT_TRUE(q35_defects_parse(text, &all));
	q35_defects_print(all, again);
	EXPECT_STREQ(text, again);
	EXPECT_TRUE(q35_defects_parse("", &defects));
	EXPECT_EQ(defects, 0);
	EXPECT_TRUE(q35_defects_parse("dead+slow", &defects));
	EXPECT_EQ(defects, Q35_DEFECT_DEAD | Q35_DEFECT_SLOW);
	EXPECT_FALSE(q35_defects_parse("hang-", &defects));
	EXPECT_FALSE(q35_defects_parse("han", &defects));
	EXPECT_FALSE(q35_defects_parse("+slow", &defects));
	EXPECT_FALSE(q35_defects_parse("slow,dead", &defects));
}

TEST_F(card, hang_takes_the_next_job_alone)
{
	struct card *c = &self->c;

	set(c, Q35_DEFECT_HANG);
	submit(c, 0, &nop);
	while (q35_asic_defects(&c->asic)) /* until it has struck */
		usleep(50);
	usleep(2000);
	EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_RUNNING);
	EXPECT_EQ(rd(c, QREG(0, HEAD)), 0);
	queue_start(c, 1, 2, 0);
	EXPECT_EQ(run(c, 1, &nop), Q35_FAULT_NONE);
	ASSERT_TRUE(queue_reset(c, 0));
	queue_enable(c, 0);
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
}

TEST_F(card, mmu_fault_strikes_once)
{
	struct card *c = &self->c;

	set(c, Q35_DEFECT_MMU_FAULT);
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), Q35_DEFECT_VA);
	EXPECT_EQ(rd64(c, Q35_REG_FAULTED_LO), 1);
	EXPECT_EQ(c->raised[Q35_VECTOR_FAULT], 1);
	ASSERT_TRUE(queue_reset(c, 0));
	queue_enable(c, 0);
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
}

TEST_F(card, slow_delays_jobs_and_a_reset_does_not_wait)
{
	struct card *c = &self->c;
	uint64_t begin = now_ns();

	set(c, Q35_DEFECT_SLOW);
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
	/* The delay is not time spent on the job. */
	EXPECT_GE(now_ns() - begin, Q35_SLOW_NS + c->queue[0].writeback->busy_ns);
	submit(c, 0, &nop);
	usleep(1000);
	ASSERT_TRUE(queue_reset(c, 0));
	set(c, 0);
	queue_enable(c, 0);
	usleep(2 * Q35_SLOW_NS / 1000);
	EXPECT_EQ(rd(c, QREG(0, HEAD)), 0);
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
}

TEST_F(card, a_delayed_job_survives_a_pause)
{
	struct card *c = &self->c;
	uint64_t begin = now_ns(), seqno;
	bool early;

	set(c, Q35_DEFECT_SLOW);
	seqno = submit(c, 0, &nop);
	usleep(20000);
	q35_asic_pause(&c->asic);
	early = now_ns() - begin < Q35_SLOW_NS; /* unless the host is very busy */
	EXPECT_TRUE(q35_asic_restored(&c->asic));
	usleep(2 * Q35_SLOW_NS / 1000);
	if (early)
		EXPECT_EQ(rd(c, QREG(0, HEAD)), 0);
	q35_asic_resume(&c->asic);
	EXPECT_TRUE(wait_seqno(c, 0, seqno));
}

TEST_F(card, interrupts_are_lost)
{
	struct card *c = &self->c;

	set(c, Q35_DEFECT_LOST_IRQ);
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
	wr(c, DOORBELL(0), 1000);
	ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_FAULTED));
	EXPECT_EQ(c->raised[Q35_VECTOR_COMPLETION], 0);
	EXPECT_EQ(c->raised[Q35_VECTOR_FAULT], 0);
}

static bool raised(struct card *c, unsigned int vector, unsigned int count)
{
	uint64_t end = now_ns() + 5000000000ull;

	while (c->raised[vector] < count && now_ns() < end)
		usleep(500);
	return c->raised[vector] >= count;
}

TEST_F(card, interrupts_come_twice)
{
	struct card *c = &self->c;

	set(c, Q35_DEFECT_DUPLICATE_IRQ);
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
	EXPECT_TRUE(raised(c, Q35_VECTOR_COMPLETION, 2));
	usleep(20000);
	EXPECT_EQ(c->raised[Q35_VECTOR_COMPLETION], 2);
	EXPECT_EQ(c->raised[Q35_VECTOR_FAULT], 0);
}

TEST_F(card, interrupts_come_for_no_reason_as_long_as_they_are_to)
{
	struct card *c = &self->c;
	unsigned int count;

	set(c, Q35_DEFECT_SPURIOUS_IRQ);
	EXPECT_TRUE(raised(c, Q35_VECTOR_COMPLETION, 3));
	EXPECT_TRUE(raised(c, Q35_VECTOR_FAULT, 3));
	set(c, 0);
	usleep(30000);
	count = c->raised[Q35_VECTOR_FAULT];
	usleep(50000);
	EXPECT_LE(c->raised[Q35_VECTOR_FAULT], count + 1); /* under way, on a busy host */
}

TEST_F(card, sequence_numbers_lie)
{
	struct card *c = &self->c;
	const struct q35_hw_writeback *block = c->queue[0].writeback;
	uint32_t i;

	set(c, Q35_DEFECT_SEQNO_AHEAD);
	submit(c, 0, &nop);
	ASSERT_TRUE(wait_seqno(c, 0, 1001));
	EXPECT_EQ(block->seqno, 1001);
	set(c, Q35_DEFECT_SEQNO_BACKWARD);
	for (i = 2; i <= 9; i++) {
		submit(c, 0, &nop);
		ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_IDLE));
		EXPECT_EQ(block->seqno, i % 2 ? i : i < 3 ? 0 : i - 3);
		EXPECT_EQ(block->head, i);
	}
}

TEST_F(card, write_back_bits_flip_one_at_a_time)
{
	struct card *c = &self->c;
	const struct q35_hw_writeback *block = c->queue[0].writeback;
	uint32_t flips = 0, i;

	set(c, Q35_DEFECT_BIT_FLIPS);
	for (i = 1; i <= 8 * offsetof(struct q35_hw_writeback, reserved); i++) {
		submit(c, 0, &nop);
		ASSERT_TRUE(poll_reg(c, QREG(0, HEAD), i));
		ASSERT_TRUE(poll_reg(c, QREG(0, STATE), Q35_QUEUE_IDLE));
		/* Those of the fields whose value is known. */
		flips += __builtin_popcountll(block->seqno ^ i) +
			 __builtin_popcount(block->head ^ i) +
			 __builtin_popcount(block->fault_code) +
			 __builtin_popcount(block->fault_index) +
			 __builtin_popcount(block->fault_info) +
			 __builtin_popcountll(block->fault_addr) +
			 __builtin_popcountll(block->cycles ^ i); /* of NOPs, one each */
		ASSERT_EQ(block->reserved, 0);
	}
	EXPECT_EQ(flips, 320);
}

TEST_F(card, capabilities_are_absurd)
{
	struct card *c = &self->c;
	uint32_t offset, value;
	int i;

	for (i = 0; i < 2; i++) {
		set(c, i ? Q35_DEFECT_ZERO_CAPS : Q35_DEFECT_BAD_CAPS);
		value = i ? 0 : UINT32_MAX;
		EXPECT_EQ(rd(c, Q35_REG_MAGIC), Q35_MAGIC);
		EXPECT_EQ(rd(c, Q35_REG_VERSION), 0x10000);
		for (offset = Q35_REG_FEATURES; offset <= Q35_REG_LINK_GBPS; offset += 4)
			EXPECT_EQ(rd(c, offset), value) TH_LOG("at 0x%x", offset);
		EXPECT_EQ(rd(c, Q35_REG_STATUS), Q35_STATUS_READY);
	}
}

TEST_F(card, queue_reset_fails_and_a_card_reset_helps)
{
	struct card *c = &self->c;

	set(c, Q35_DEFECT_RESET_FAILS | Q35_DEFECT_HANG);
	submit(c, 0, &nop);
	wr(c, QREG(0, CONTROL), Q35_QCONTROL_RESET);
	usleep(20000);
	EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_RESETTING);
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	ASSERT_TRUE(poll_reg(c, Q35_REG_STATUS, Q35_STATUS_READY));
	EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_DISABLED);
}

TEST_F(card, card_reset_fails_and_a_function_reset_helps)
{
	struct card *c = &self->c;

	set(c, Q35_DEFECT_CARD_RESET_FAILS);
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	usleep(20000);
	EXPECT_EQ(rd(c, Q35_REG_STATUS), 0);
	q35_asic_reset(&c->asic);
	EXPECT_EQ(rd(c, Q35_REG_STATUS), Q35_STATUS_READY);
}

TEST_F(card, a_dead_card_does_nothing)
{
	struct card *c = &self->c;
	uint64_t begin, seqno;
	bool early;

	set(c, Q35_DEFECT_DEAD);
	EXPECT_EQ(rd(c, Q35_REG_MAGIC), UINT32_MAX);
	EXPECT_EQ(rd(c, QREG(0, STATE)), UINT32_MAX);
	EXPECT_EQ(rd(c, Q35_REGS_SIZE - 4), UINT32_MAX);
	submit(c, 0, &nop);
	set(c, 0);
	usleep(10000);
	EXPECT_EQ(rd(c, QREG(0, HEAD)), 0); /* the doorbell was not heard */
	set(c, Q35_DEFECT_SLOW);
	begin = now_ns();
	queue_ring(c, 0);
	seqno = c->queue[0].seqno;
	usleep(10000);
	set(c, Q35_DEFECT_DEAD);
	early = now_ns() - begin < Q35_SLOW_NS;
	usleep(2 * Q35_SLOW_NS / 1000);
	if (early)
		EXPECT_EQ(c->queue[0].writeback->seqno, 0);
	set(c, 0);
	EXPECT_TRUE(wait_seqno(c, 0, seqno));
}

/* ---- Pacing, with a device memory of 1 GB/s: 16 MiB take 16.8 ms ---- */

static struct q35_hw_desc fill(struct card *c)
{
	return (struct q35_hw_desc){
		.op = Q35_OP_FILL,
		.fill = {.dst_va = card_alloc(c, 16 << 20, LOCAL), .size = 16 << 20}};
}

TEST(paced_jobs_take_what_the_counters_say)
{
	static struct card c;
	struct q35_hw_desc desc;
	uint64_t begin, cycles, took;

	card_start(&c, 2, 2);
	c.asic.config.timing.memory_gbps = 1;
	c.asic.config.pace = true; /* before the first job */
	queue_start(&c, 1, 2, 0);
	desc = fill(&c);

	/* One array: jobs on two queues take as long as one after the other. */
	begin = now_ns();
	queue_put(&c, 0, &desc);
	queue_put(&c, 1, &desc);
	queue_put(&c, 0, &desc);
	queue_ring(&c, 0);
	queue_ring(&c, 1);
	ASSERT_TRUE(wait_seqno(&c, 0, 2));
	ASSERT_TRUE(wait_seqno(&c, 1, 1));
	took = now_ns() - begin;
	cycles = rd64(&c, Q35_REG_COUNTERS + Q35_COUNTER_CYCLES);
	EXPECT_EQ(cycles, 3 * (16 << 20)); /* nanoseconds, at 1 GHz */
	EXPECT_GE(took, cycles);
	EXPECT_LT(took, cycles + 10000000000ull); /* the host may be busy */
	EXPECT_TRUE(card_destroy(&c));
}

TEST_HARNESS_MAIN
