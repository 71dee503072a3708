// SPDX-License-Identifier: MIT
/*
 * The projection of a model that fits is what the card counts when it runs that model's jobs: their
 * cycles and bytes, one by one and added up, exactly.
 */
#include <math.h>

#include "card.h"
#include "kselftest_harness.h"
#include "projection.c"

#define BATCH 3

/* Odd sizes: no dimension a multiple of a block, heads that do not divide by the cards. */
static const struct llm odd = {"odd", "here", 2, 100, 300, 5, 3, 20, 333};

struct counts {
	uint64_t cycles, memory, link, macs;
};

static struct counts counts_of(struct card *c)
{
	return (struct counts){.cycles = rd64(c, QCOUNTER(0, CYCLES)),
			       .memory = rd64(c, QCOUNTER(0, MEMORY)),
			       .link = rd64(c, QCOUNTER(0, LINK)),
			       .macs = rd64(c, QCOUNTER(0, MACS))};
}

/* With y where the projection has it. */
static bool run_product(struct card *c, const struct q35_hw_gemm *gemm, enum place y)
{
	struct q35_hw_desc desc = {.op = Q35_OP_GEMM, .gemm = *gemm};
	struct q35_hw_gemm *g = &desc.gemm;

	g->x_stride = g->k * q35_type_size(g->x_type);
	g->y_stride = g->n * q35_type_size(g->y_type);
	g->x_va = card_alloc(c, g->m * g->x_stride, LOCAL);
	g->tiles_va = card_alloc(c, q35_format_tiles_size(g->n, g->k), LOCAL);
	g->meta_va = card_alloc(c, q35_format_meta_size(g->n, g->k, 0, 0), LOCAL);
	g->codebook_va = card_alloc(c, Q35_CODEBOOK_BYTES, LOCAL);
	g->y_va = card_alloc(c, g->m * g->y_stride, y);
	if (g->combine) {
		g->aux_va = g->y_va;
		g->aux_stride = g->y_stride;
	}
	return run(c, 0, &desc) == Q35_FAULT_NONE;
}

/* All that a card does for a token of each sequence, but for the attention, which it has no job for. */
static bool run_step(struct card *c, const struct plan *p)
{
	const uint64_t row = (uint64_t)HALF * p->llm->width * p->batch;
	struct q35_hw_desc copy = {.op = Q35_OP_COPY,
				   .copy = {.src_va = card_alloc(c, row, SYSTEM),
					    .dst_va = card_alloc(c, row, LOCAL),
					    .size = row}};
	struct q35_hw_gemm products[LAYER_PRODUCTS];
	bool ok = run(c, 0, &copy) == Q35_FAULT_NONE;
	uint32_t layer, i;

	projection_layer(p->llm, ways(p), p->batch, products);
	for (layer = 0; layer < p->llm->layers; layer++)
		for (i = 0; i < LAYER_PRODUCTS; i++)
			ok = ok && run_product(c, &products[i], LOCAL);
	products[0] = output(p, ways(p), p->batch);
	return ok && run_product(c, &products[0], SYSTEM);
}

static void expect_the_card_counts(struct __test_metadata *const _metadata, struct card *c,
				   const struct q35_timing *timing, uint32_t cards)
{
	const struct plan plan = {.llm = &odd,
				  .card = *timing,
				  .card_bytes = MEMORY_SIZE,
				  .cards = cards,
				  .batch = BATCH,
				  .context = 17};
	const struct attention attention = attend_each(&plan, BATCH);
	struct work attending = {0}, work;
	struct projection p;
	struct counts before, after;
	uint32_t layer;

	for (layer = 0; layer < odd.layers; layer++)
		add_attention(&plan, &attention, &attending);
	c->asic.config.timing = *timing; /* the queue is idle */
	before = counts_of(c);
	ASSERT_TRUE(run_step(c, &plan));
	after = counts_of(c);

	work = work_of(&plan, 0, BATCH, &attention, BATCH);
	EXPECT_EQ(after.cycles - before.cycles, work.cycles - attending.cycles);
	EXPECT_EQ(after.memory - before.memory, work.memory_bytes - attending.memory_bytes);
	EXPECT_EQ(after.link - before.link, work.link_bytes);
	EXPECT_EQ(after.macs - before.macs, work.macs - attending.macs);
	if (cards > 1)
		return;

	/* And that is all that the projection of one card is made of. */
	project(&plan, &p);
	EXPECT_EQ(llround(p.step_seconds * 1e6 * timing->clock_mhz),
		  (long long)(after.cycles - before.cycles + attending.cycles));
	EXPECT_EQ(llround(p.memory_bytes * BATCH),
		  (long long)(after.memory - before.memory + attending.memory_bytes));
	EXPECT_EQ(llround(p.link_bytes * BATCH), (long long)(after.link - before.link));
}

TEST(the_card_counts_what_is_projected)
{
	static const struct q35_timing timings[] = {
		{Q35_TIMING_LANES, Q35_TIMING_ROWS, Q35_TIMING_DECODE, Q35_TIMING_CLOCK_MHZ,
		 Q35_TIMING_MEMORY_GBPS, Q35_TIMING_LINK_GBPS, Q35_TIMING_LAUNCH_NS},
		{100, 2, 1000, 700, 900, 30, 0}, /* bound by its array */
		{100000, 7, 11, 1300, 900, 30, 1}, /* by its decoders */
		{100000, 7, 5000, 1300, 3, 1, 99}, /* by memory and link */
	};
	static struct card c;
	uint32_t cards;
	size_t i;

	card_start(&c, 1, 2);
	for (i = 0; i < ARRAY_SIZE(timings); i++)
		for (cards = 1; cards <= 3; cards++)
			expect_the_card_counts(_metadata, &c, &timings[i], cards);
	EXPECT_TRUE(card_destroy(&c));
}

TEST_HARNESS_MAIN
