// SPDX-License-Identifier: MIT
/*
 * The time model: its formula against numbers worked out by hand, and the card's counters against
 * the formula, for shapes that leave blocks and passes partly filled.
 */
#include "card.h"
#include "kselftest_harness.h"
#include "timing.h"

FIXTURE(card)
{
	struct card c;
	uint64_t seed;
};

FIXTURE_SETUP(card)
{
	card_start(&self->c, 2, 2);
	self->seed = 35;
}

FIXTURE_TEARDOWN(card)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

/* 16 rows by 64 weights, 32 weights a cycle from the decoders; 2 bytes a cycle from memory, 1 by link. */
static const struct q35_timing small = {
	.lanes = 1024,
	.rows = 16,
	.decode = 32,
	.clock_mhz = 500,
	.memory_gbps = 1,
	.link_gbps = 1,
	.launch_ns = 7,
};

TEST(formula_by_hand)
{
	struct q35_timing t = small;
	struct q35_timing_job job = {.m = 1, .n = 64, .k = 8};
	struct q35_timing_cycles c = q35_timing_cycles(&t, &job);

	/* One block of 512 weights: 8 cycles of the array, 16 of the decoders. 7 ns are 3.5 cycles. */
	EXPECT_EQ(c.array, 8);
	EXPECT_EQ(c.decode, 16);
	EXPECT_EQ(c.launch, 4);
	EXPECT_EQ(c.total, 20);
	EXPECT_EQ(c.stalls, 0);

	/* One output and one input more: 2 x 2 blocks. A row more than a pass: twice that. */
	job = (struct q35_timing_job){.m = 17, .n = 65, .k = 9};
	c = q35_timing_cycles(&t, &job);
	EXPECT_EQ(c.array, 2 * 4 * 8);
	EXPECT_EQ(c.decode, 2 * 4 * 16);

	/* A pass that is just full is one. */
	job.m = 16;
	EXPECT_EQ(q35_timing_cycles(&t, &job).array, 4 * 8);
	job.m = 17;

	/* 1 GB/s at 500 MHz: 2 bytes a cycle. */
	job.memory_bytes = 1001;
	job.link_bytes = 300;
	c = q35_timing_cycles(&t, &job);
	EXPECT_EQ(c.memory, 501);
	EXPECT_EQ(c.link, 150);
	EXPECT_EQ(c.total, 4 + 501);
	EXPECT_EQ(c.stalls, 501 - 128);

	/* No product, no bytes, no launch: still one cycle. */
	t.launch_ns = 0;
	job = (struct q35_timing_job){0};
	c = q35_timing_cycles(&t, &job);
	EXPECT_EQ(c.total, 1);
	EXPECT_EQ(c.array | c.decode | c.stalls, 0);
}

TEST(time_is_rounded_up)
{
	struct q35_timing t = small;

	EXPECT_EQ(q35_timing_ns(&t, 3), 6);
	t.clock_mhz = 3;
	EXPECT_EQ(q35_timing_ns(&t, 1), 334);
	EXPECT_EQ(q35_timing_ns(&t, 3), 1000);
	EXPECT_EQ(q35_timing_ns(&t, 1ull << 58), (1ull << 58) / 3 * 1000 + 334);
}

/* The slowest card and the largest product: nothing wraps. */
TEST(extremes_stay_in_range)
{
	const struct q35_timing t = {1, Q35_TIMING_MAX, 1, Q35_TIMING_MAX, 1, 1, Q35_TIMING_MAX};
	const struct q35_timing_job job = {1u << 17, 1u << 17, 1u << 17, 1ull << 40, 1ull << 40};
	struct q35_timing_cycles c = q35_timing_cycles(&t, &job);

	EXPECT_EQ(c.array, 1ull << 54); /* 2^34 weights for 2^20 rows, of which 2^17 are in use */
	EXPECT_EQ(c.decode, 1ull << 34);
	EXPECT_EQ(c.memory, ((1ull << 60) + 999) / 1000);
	EXPECT_EQ(c.total, (1ull << 54) + ((1ull << 40) + 999) / 1000);
}

/* ---- The card counts what the formula says ---- */

struct counts {
	uint64_t cycles, macs, memory, link, stalls, jobs, reported; /* by the write-back block */
};

static struct counts counts_of(struct card *c)
{
	return (struct counts){
		.cycles = rd64(c, QCOUNTER(0, CYCLES)),
		.macs = rd64(c, QCOUNTER(0, MACS)),
		.memory = rd64(c, QCOUNTER(0, MEMORY)),
		.link = rd64(c, QCOUNTER(0, LINK)),
		.stalls = rd64(c, QCOUNTER(0, STALLS)),
		.jobs = rd64(c, QCOUNTER(0, JOBS)),
		.reported = c->queue[0].writeback->cycles,
	};
}

static uint32_t pick(uint64_t *seed, uint32_t most)
{
	return random_u32(seed) % most + 1;
}

static struct q35_timing random_timing(uint64_t *seed)
{
	return (struct q35_timing){
		.lanes = pick(seed, 100000),
		.rows = pick(seed, 100),
		.decode = pick(seed, 3000),
		.clock_mhz = pick(seed, 3000),
		.memory_gbps = pick(seed, 300),
		.link_gbps = pick(seed, 60),
		.launch_ns = pick(seed, 2000) - 1,
	};
}

static struct q35_hw_gemm random_product(uint64_t *seed)
{
	static const uint16_t blocks[] = {0, 32, 64, 128}, groups[] = {0, 128, 256};
	struct q35_hw_gemm g = {
		.m = pick(seed, 70),
		.n = pick(seed, 400),
		.k = pick(seed, 700),
		.act_block = blocks[pick(seed, 4) - 1],
		.group = groups[pick(seed, 3) - 1],
		.x_type = pick(seed, 4) - 1,
		.y_type = pick(seed, 3) - 1,
		.combine = pick(seed, 3) - 1,
		.window_bits = 8,
		.meta_flags = pick(seed, 4) - 1,
	};

	if (!g.group)
		g.meta_flags &= ~Q35_META_MULTIPLIER;
	g.aux_type = g.combine ? pick(seed, 3) - 1 : 0;
	g.x_stride = g.k * q35_type_size(g.x_type);
	g.y_stride = g.n * q35_type_size(g.y_type);
	g.aux_stride = g.combine ? g.n * q35_type_size(g.aux_type) : 0;
	return g;
}

/* Where the product's operands are to lie: weights here, everything else there. */
static void place(struct card *c, struct q35_hw_gemm *g, unsigned int here, unsigned int there)
{
	g->tiles_va = card_alloc(c, q35_format_tiles_size(g->n, g->k), here);
	g->meta_va = card_alloc(c, q35_format_meta_size(g->n, g->k, g->group, g->meta_flags), here);
	g->codebook_va = card_alloc(c, Q35_CODEBOOK_BYTES, here);
	g->x_va = card_alloc(c, (uint64_t)g->m * g->x_stride, there);
	g->y_va = card_alloc(c, (uint64_t)g->m * g->y_stride, there);
	if (g->x_type == Q35_HW_I8)
		g->x_scale_va = card_alloc(c, (uint64_t)g->m * g->k * 4, there);
	if (g->combine)
		g->aux_va = card_alloc(c, (uint64_t)g->m * g->aux_stride, there);
}

TEST_F(card, counters_are_the_formula)
{
	static const unsigned int places[] = {LOCAL, SYSTEM, SCATTERED, SYSTEM | SCATTERED};
	struct card *c = &self->c;
	struct q35_hw_desc desc = {.op = Q35_OP_GEMM};
	struct q35_timing_cycles cycles;
	struct q35_timing_job job;
	struct counts before, after;
	unsigned int here, there;
	int i;

	for (i = 0; i < 40; i++) {
		desc.gemm = random_product(&self->seed);
		here = places[random_u32(&self->seed) % 4];
		there = places[random_u32(&self->seed) % 4];
		place(c, &desc.gemm, here, there);
		job = (struct q35_timing_job){.m = desc.gemm.m, .n = desc.gemm.n, .k = desc.gemm.k};
		*(here & SYSTEM ? &job.link_bytes : &job.memory_bytes) +=
			q35_gemm_weight_bytes(&desc.gemm);
		*(there & SYSTEM ? &job.link_bytes : &job.memory_bytes) +=
			q35_gemm_x_bytes(&desc.gemm) + q35_gemm_y_bytes(&desc.gemm);

		c->asic.config.timing = random_timing(&self->seed); /* the queue is idle */
		cycles = q35_timing_cycles(&c->asic.config.timing, &job);
		before = counts_of(c);
		ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
		after = counts_of(c);
		EXPECT_EQ(after.memory - before.memory, job.memory_bytes);
		EXPECT_EQ(after.link - before.link, job.link_bytes);
		EXPECT_EQ(after.cycles - before.cycles, cycles.total);
		EXPECT_EQ(after.stalls - before.stalls, cycles.stalls);
		EXPECT_EQ(after.macs - before.macs,
			  (uint64_t)desc.gemm.m * desc.gemm.n * desc.gemm.k);
		EXPECT_EQ(after.jobs - before.jobs, 1);
		EXPECT_EQ(after.reported, after.cycles);
	}
}

TEST_F(card, copies_take_both_sides_bandwidth)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = {.op = Q35_OP_COPY,
				   .copy = {.src_va = card_alloc(c, 3 << 20, SYSTEM),
					    .dst_va = card_alloc(c, 3 << 20, LOCAL),
					    .size = (3 << 20) - 5}};
	const struct q35_timing_job job = {.memory_bytes = desc.copy.size,
					   .link_bytes = desc.copy.size};

	c->asic.config.timing = small;
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(rd64(c, QCOUNTER(0, CYCLES)), ((3 << 20) - 5 + 1) / 2 + 4);
	EXPECT_EQ(rd64(c, QCOUNTER(0, CYCLES)), q35_timing_cycles(&small, &job).total);
	EXPECT_EQ(rd64(c, QCOUNTER(0, STALLS)), ((3 << 20) - 5 + 1) / 2);
}

/* Two queues at a time: each counts its own, the card both. */
TEST_F(card, queues_and_card_add_up)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = {.op = Q35_OP_FILL,
				   .fill = {.dst_va = card_alloc(c, 1 << 20, LOCAL), .value = 1}};
	uint64_t last[2] = {0}, sum = 0;
	int i;

	c->asic.config.timing = small;
	queue_start(c, 1, 6, 1);
	for (i = 1; i <= 20; i++) {
		desc.fill.size = 400 * i;
		last[i % 2] = submit(c, i % 2, &desc);
	}
	ASSERT_TRUE(wait_seqno(c, 0, last[0]));
	ASSERT_TRUE(wait_seqno(c, 1, last[1]));
	for (i = 1; i <= 20; i++)
		sum += 200 * i + 4;
	EXPECT_EQ(rd64(c, QCOUNTER(0, CYCLES)), 200 * 110 + 10 * 4);
	EXPECT_EQ(rd64(c, QCOUNTER(1, CYCLES)), 200 * 100 + 10 * 4);
	EXPECT_EQ(rd64(c, Q35_REG_COUNTERS + Q35_COUNTER_CYCLES), sum);
}

TEST_HARNESS_MAIN
