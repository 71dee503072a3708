// SPDX-License-Identifier: MIT
/* The projection, on a model and cards small enough to be worked out by hand. */
#include <math.h>

#include "kselftest_harness.h"
#include "projection.c"

/* Every job is bound by device memory, which gives a byte a cycle of a nanosecond. */
static const struct llm toy = {"toy", "here", 1, 64, 128, 2, 1, 32, 64};
static const struct plan one = {
	.llm = &toy,
	.card = {.lanes = 64,
		 .rows = 1,
		 .decode = 64,
		 .clock_mhz = 1000,
		 .memory_gbps = 1,
		 .link_gbps = 1},
	.card_bytes = 1000000,
	.hop_ns = 500,
	.cards = 1,
	.batch = 1,
	.context = 10,
};

/* Tiles, scales and codebook of n x k, n being 64 or 128 when padded. */
#define WEIGHTS_64X64 (8 * 224 + 128 + 512)
#define WEIGHTS_128X64 (2 * 8 * 224 + 256 + 512)
#define WEIGHTS_64X128 (16 * 224 + 128 + 512)

#define NEAR(a, b) EXPECT_LT(fabs((a) - (b)), 1e-9 * fabs(b))

TEST(one_card_by_hand)
{
	/* Weights, x, y and, where there is one, aux: q, k and v, output, gate, up, down. */
	const uint64_t layer = (WEIGHTS_64X64 + 128 + 128) + 2 * (WEIGHTS_64X64 + 128 + 64) +
			       (WEIGHTS_64X64 + 128 + 2 * 128) + (WEIGHTS_128X64 + 128 + 256) +
			       (WEIGHTS_128X64 + 128 + 2 * 256) + (WEIGHTS_64X128 + 256 + 2 * 128);
	const uint64_t cache = 10 * 128, embeddings = 128, head = WEIGHTS_64X64 + 128;
	const uint64_t bytes = layer + cache + embeddings + head;
	struct projection p;

	project(&one, &p);
	EXPECT_EQ(bytes, 29184);
	NEAR(p.step_seconds, 29184e-9);
	NEAR(p.tokens_per_second, 1e9 / 29184);
	EXPECT_EQ(p.memory_bytes, 29184);
	EXPECT_EQ(p.cache_bytes, 1280);
	EXPECT_EQ(p.link_bytes, 128 + 256);
	EXPECT_EQ(p.exchanged_bytes, 0);
	EXPECT_EQ(p.macs, 4 * 4096 + 3 * 8192 + 1280); /* k and v make one of the 4096 */
	EXPECT_EQ(p.weights, 4 * 4096 + 3 * 8192);
	EXPECT_EQ(p.weight_bytes, 5 * WEIGHTS_64X64 + 2 * WEIGHTS_128X64 + WEIGHTS_64X128);
	EXPECT_EQ(p.card_weight_bytes, p.weight_bytes);
	EXPECT_EQ(p.card_cache_bytes, 1280);
	EXPECT_EQ(p.missing_bytes, 0);
	NEAR(p.memory_joules, 29184 * 8 * 3.92e-12);
	NEAR(p.mac_joules, 42240 * 0.3e-12);
	NEAR(p.link_joules, 384 * 8 * 10e-12);
	NEAR(p.lanes_used, 42240.0 / (29184 * 64));
}

TEST(int4_has_half_a_byte_and_a_scale)
{
	struct projection p;
	struct plan plan = one;

	plan.format = WEIGHTS_INT4;
	project(&plan, &p);
	EXPECT_EQ(p.weight_bytes, 5 * (2048 + 128) + 2 * (4096 + 256) + (4096 + 128));
}

TEST(what_does_not_fit_lacks_so_many_bytes)
{
	struct projection p;
	struct plan plan = one;

	project(&plan, &p);
	plan.card_bytes = p.card_weight_bytes + p.card_cache_bytes;
	project(&plan, &p);
	EXPECT_EQ(p.missing_bytes, 0);
	plan.card_bytes--;
	project(&plan, &p);
	EXPECT_EQ(p.missing_bytes, 1);
	plan.batch = 3; /* two more caches */
	project(&plan, &p);
	EXPECT_EQ(p.missing_bytes, 1 + 2 * 1280);
}

TEST(launches_cost_each_job)
{
	struct projection p;
	struct plan plan = one;

	plan.card.launch_ns = 7;
	project(&plan, &p);
	NEAR(p.step_seconds,
	     (29184 + 10 * 7) * 1e-9); /* embeddings, 7 products, attention, output */
}

TEST(array_bounds_a_large_batch)
{
	struct projection p;
	struct plan plan = one;

	plan.card.memory_gbps = plan.card.link_gbps = Q35_TIMING_MAX;
	plan.batch = 100;
	plan.context = 1;
	project(&plan, &p);
	/* 100 passes of 14 blocks of 64 cycles each; attention 200 cycles, embeddings 1. */
	EXPECT_EQ(p.card_weight_bytes / 2000, 12);
	NEAR(p.step_seconds, (100 * (5 * 64 + 3 * 128) + 200 + 1) * 1e-9);
	plan.card.decode = 32; /* half as fast */
	project(&plan, &p);
	NEAR(p.step_seconds, (100 * 2 * (5 * 64 + 3 * 128) + 200 + 1) * 1e-9);
}

TEST(tensor_split_exchanges_sums)
{
	struct projection p;
	struct plan plan = one;
	double with_hops;

	plan.cards = 2;
	project(&plan, &p);
	with_hops = p.step_seconds;
	/* Embeddings to both, logits from both; two sums, spread and gathered, of half of 128 bytes. */
	EXPECT_EQ(p.exchanged_bytes, 2 * 2 * 2 * 64);
	EXPECT_EQ(p.link_bytes, 2 * 128 + 256 + p.exchanged_bytes);
	plan.hop_ns = 0;
	project(&plan, &p);
	NEAR(with_hops - p.step_seconds, 2000e-9);
	plan.card.link_gbps = 2;
	with_hops = p.step_seconds;
	project(&plan, &p);
	NEAR(with_hops - p.step_seconds, 4 * 32e-9);
	EXPECT_EQ(projection_cards_max(&toy, SPLIT_TENSOR), 2);
}

TEST(pipeline_keeps_its_stages_busy)
{
	struct projection single, p;
	struct llm deep = toy;
	struct plan plan = one;
	double second;

	deep.layers = 2;
	plan.llm = &deep;
	project(&plan, &single);
	plan.split = SPLIT_PIPELINE;
	plan.cards = 2;
	project(&plan, &p);
	/* One sequence: as slow as one card, and a hop with 128 bytes. */
	NEAR(p.step_seconds, single.step_seconds + 628e-9);
	EXPECT_EQ(p.link_bytes, single.link_bytes + 128);
	EXPECT_EQ(p.weight_bytes, single.weight_bytes);
	EXPECT_LT(p.card_weight_bytes, single.card_weight_bytes);
	/* Two: each stage works on one of them; the second has the output matrix and is the slower. */
	plan.batch = 2;
	project(&plan, &p);
	second = 1e-9 * (29184 - 128);
	NEAR(p.step_seconds, 2 * second);
	EXPECT_EQ(projection_cards_max(&deep, SPLIT_PIPELINE), 2);
}

TEST(first_token_of_a_prompt_of_one_is_a_step)
{
	struct projection p;
	struct plan plan = one;

	plan.context = 1;
	project(&plan, &p);
	NEAR(p.first_token_seconds, p.step_seconds);
	/*
	 * Three positions see 1, 2 and 3; passes of one row each read 2, the mean. Two more rows of
	 * x, y and aux for q, k and v, output, gate, up, down; of embeddings too.
	 */
	plan.context = 3;
	project(&plan, &p);
	NEAR(p.first_token_seconds,
	     1e-9 * (29184 - 1280 + 2 * (256 + 2 * 192 + 384 + 384 + 640 + 512) + 3 * 2 * 128 +
		     2 * 128));
}

/* Shapes as published, for all parameters are: embeddings and norms are no weights here. */
TEST(published_models)
{
	static const uint64_t parameters[] = {6738415616, 13015864320, 68976648192, 405853388800};
	struct plan plan = one;
	struct projection p;
	size_t i;

	for (i = 0; llms[i].name; i++) {
		const struct llm *m = plan.llm = &llms[i];

		project(&plan, &p);
		EXPECT_EQ(p.weights, parameters[i] - (uint64_t)m->vocabulary * m->width -
					     (uint64_t)(2 * m->layers + 1) * m->width);
		EXPECT_EQ(m->width, m->heads * m->head_dim);
	}
	EXPECT_EQ(i, 4);
}

TEST_HARNESS_MAIN
