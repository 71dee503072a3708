// SPDX-License-Identifier: MIT
#include "projection.h"

#include <string.h>

#define HALF 2 /* bytes of an f16 */

const struct llm llms[] = {
	{"llama-7b", "Llama 2, Touvron et al. 2023", 32, 4096, 11008, 32, 32, 128, 32000},
	{"llama-13b", "Llama 2, Touvron et al. 2023", 40, 5120, 13824, 40, 40, 128, 32000},
	{"llama-70b", "Llama 2, Touvron et al. 2023", 80, 8192, 28672, 64, 8, 128, 32000},
	{"llama-405b", "Llama 3.1, Dubey et al. 2024", 126, 16384, 53248, 128, 8, 128, 128256},
	{0},
};

/* What one card does. */
struct work {
	uint64_t cycles, memory_bytes, cache_bytes, link_bytes, exchanged_bytes, macs;
};

/* Keys and values that the attention of a layer reads, and its multiply-accumulates. */
struct attention {
	uint64_t bytes, macs;
};

/* Cards that share every matrix, and such groups that share the layers. */
static uint32_t ways(const struct plan *p)
{
	return p->split == SPLIT_TENSOR ? p->cards : 1;
}

static uint32_t stages(const struct plan *p)
{
	return p->split == SPLIT_TENSOR ? 1 : p->cards;
}

uint32_t projection_cards_max(const struct llm *llm, enum split split)
{
	return split == SPLIT_TENSOR ? llm->heads : llm->layers;
}

/* The first stages have one more if they are not equal: the last one has the output matrix too. */
static uint32_t layers_of(const struct plan *p, uint32_t stage)
{
	return p->llm->layers / stages(p) + (stage < p->llm->layers % stages(p));
}

static struct q35_hw_gemm product(uint32_t m, uint32_t n, uint32_t k)
{
	return (struct q35_hw_gemm){.m = m,
				    .n = n,
				    .k = k,
				    .act_block = 128,
				    .x_type = Q35_HW_F16,
				    .y_type = Q35_HW_F16,
				    .window_bits = Q35_WINDOW_BITS};
}

void projection_layer(const struct llm *llm, uint32_t cards, uint32_t m,
		      struct q35_hw_gemm products[LAYER_PRODUCTS])
{
	const uint32_t q = q35_div_up(llm->heads, cards) * llm->head_dim;
	const uint32_t kv = q35_div_up(llm->kv_heads, cards) * llm->head_dim;
	const uint32_t ff = q35_div_up(llm->ff, cards);

	products[0] = product(m, q, llm->width);
	products[1] = product(m, kv, llm->width);
	products[2] = product(m, kv, llm->width);
	products[3] = product(m, llm->width, q);
	products[4] = product(m, ff, llm->width);
	products[5] = product(m, ff, llm->width);
	products[6] = product(m, llm->width, ff);
	/* What was there is added to, and the gate multiplied by. */
	products[3].combine = products[6].combine = Q35_HW_COMBINE_ADD;
	products[5].combine = Q35_HW_COMBINE_MUL;
	products[3].aux_type = products[5].aux_type = products[6].aux_type = Q35_HW_F16;
}

static struct q35_hw_gemm output(const struct plan *p, uint32_t cards, uint32_t m)
{
	struct q35_hw_gemm g = product(m, q35_div_up(p->llm->vocabulary, cards), p->llm->width);

	g.y_type = Q35_HW_F32;
	return g;
}

/* INT4 is padded to the same blocks; it has no codebook. */
static uint64_t weight_bytes(const struct plan *p, const struct q35_hw_gemm *g)
{
	uint64_t n = (uint64_t)q35_div_up(g->n, Q35_BLOCK_N) * Q35_BLOCK_N;
	uint64_t k = (uint64_t)q35_div_up(g->k, Q35_TILE_K) * Q35_TILE_K;

	return p->format == WEIGHTS_T8 ? q35_gemm_weight_bytes(g) : n * k / 2 + HALF * n;
}

static void add_job(const struct plan *p, const struct q35_timing_job *job, struct work *w)
{
	w->cycles += q35_timing_cycles(&p->card, job).total;
	w->memory_bytes += job->memory_bytes;
	w->link_bytes += job->link_bytes;
	w->macs += (uint64_t)job->m * job->n * job->k;
}

/* y_far: it goes to the host. */
static void add_product(const struct plan *p, const struct q35_hw_gemm *g, bool y_far,
			struct work *w)
{
	struct q35_timing_job job = {.m = g->m,
				     .n = g->n,
				     .k = g->k,
				     .memory_bytes = weight_bytes(p, g) + q35_gemm_x_bytes(g)};

	*(y_far ? &job.link_bytes : &job.memory_bytes) += q35_gemm_y_bytes(g);
	add_job(p, &job, w);
}

static void add_attention(const struct plan *p, const struct attention *a, struct work *w)
{
	const struct q35_timing_job job = {.memory_bytes = a->bytes};
	const struct q35_timing_cycles c = q35_timing_cycles(&p->card, &job);
	const uint64_t array = q35_timing_div_up(a->macs, p->card.lanes);

	w->cycles += array > c.memory ? c.launch + array : c.total;
	w->memory_bytes += a->bytes;
	w->cache_bytes += a->bytes;
	w->macs += a->macs;
}

/* Bytes that a position takes in one layer's cache on one card. */
static uint64_t cache_row(const struct plan *p)
{
	return 2ull * HALF * q35_div_up(p->llm->kv_heads, ways(p)) * p->llm->head_dim;
}

/* A query and a value for each head. */
static uint64_t attention_macs(const struct plan *p, uint64_t positions)
{
	return positions * 2 * q35_div_up(p->llm->heads, ways(p)) * p->llm->head_dim;
}

/* m sequences, each looking at all of its cache. */
static struct attention attend_each(const struct plan *p, uint32_t m)
{
	const uint64_t positions = (uint64_t)m * p->context;

	return (struct attention){positions * cache_row(p), attention_macs(p, positions)};
}

/*
 * A prompt, where every position looks at those before it: passes of the array's rows read them
 * together.
 */
static struct attention attend_prompt(const struct plan *p)
{
	const uint64_t context = p->context, passes = q35_div_up(p->context, p->card.rows);

	return (struct attention){passes * (context + 1) / 2 * cache_row(p),
				  attention_macs(p, context * (context + 1) / 2)};
}

/* m rows through a stage; logits for so many of them. */
static struct work work_of(const struct plan *p, uint32_t stage, uint32_t m,
			   const struct attention *attention, uint32_t logits)
{
	const uint64_t row = (uint64_t)HALF * p->llm->width;
	struct q35_hw_gemm products[LAYER_PRODUCTS];
	struct work w = {0};
	uint32_t layer, i;

	if (stage == 0) /* embeddings */
		add_job(p, &(struct q35_timing_job){.memory_bytes = m * row, .link_bytes = m * row},
			&w);
	projection_layer(p->llm, ways(p), m, products);
	for (layer = 0; layer < layers_of(p, stage); layer++) {
		for (i = 0; i < LAYER_PRODUCTS; i++)
			add_product(p, &products[i], false, &w);
		add_attention(p, attention, &w);
	}
	if (stage == stages(p) - 1) {
		products[0] = output(p, ways(p), logits);
		add_product(p, &products[0], true, &w);
	}
	return w;
}

static double transfer_seconds(const struct plan *p, double bytes)
{
	return 1e-9 * p->hop_ns + bytes / (1e9 * p->card.link_gbps);
}

/* Of one stage: the sums that its cards exchange, and what it hands on. The bytes go into w. */
static double exchange_seconds(const struct plan *p, uint32_t stage, uint32_t m, struct work *w)
{
	const double bytes = (double)HALF * p->llm->width * m;
	const double share = bytes * (ways(p) - 1) / ways(p);
	double seconds = 0;

	if (ways(p) > 1) {
		seconds += layers_of(p, stage) * 2 * 2 * transfer_seconds(p, share);
		w->exchanged_bytes += (uint64_t)(layers_of(p, stage) * 2 * 2 * share);
	}
	if (stage < stages(p) - 1) {
		seconds += transfer_seconds(p, bytes);
		w->exchanged_bytes += (uint64_t)bytes;
	}
	w->link_bytes += w->exchanged_bytes;
	return seconds;
}

struct pass {
	double seconds, slowest; /* through all stages, through the slowest one */
	struct work work; /* of all cards */
};

static struct pass pass_of(const struct plan *p, uint32_t m, const struct attention *attention,
			   uint32_t logits)
{
	struct pass pass = {0};
	double seconds;
	struct work w;
	uint32_t stage;

	for (stage = 0; stage < stages(p); stage++) {
		w = work_of(p, stage, m, attention, logits);
		seconds = (double)w.cycles / (1e6 * p->card.clock_mhz);
		seconds += exchange_seconds(p, stage, m, &w);
		pass.seconds += seconds;
		if (seconds > pass.slowest)
			pass.slowest = seconds;
		pass.work.memory_bytes += w.memory_bytes * ways(p);
		pass.work.cache_bytes += w.cache_bytes * ways(p);
		pass.work.link_bytes += w.link_bytes * ways(p);
		pass.work.exchanged_bytes += w.exchanged_bytes * ways(p);
		pass.work.macs += w.macs * ways(p);
	}
	return pass;
}

static void project_memory(const struct plan *p, struct projection *out)
{
	struct q35_hw_gemm products[LAYER_PRODUCTS], whole[LAYER_PRODUCTS];
	uint64_t layer = 0, bytes, cache, head;
	uint32_t stage, i;

	projection_layer(p->llm, ways(p), 1, products);
	projection_layer(p->llm, 1, 1, whole);
	for (i = 0; i < LAYER_PRODUCTS; i++) {
		layer += weight_bytes(p, &products[i]);
		out->weights += (uint64_t)whole[i].n * whole[i].k * p->llm->layers;
	}
	out->weights += (uint64_t)p->llm->vocabulary * p->llm->width;
	products[0] = output(p, ways(p), 1);
	head = weight_bytes(p, &products[0]);
	for (stage = 0; stage < stages(p); stage++) {
		bytes = layers_of(p, stage) * layer + (stage == stages(p) - 1 ? head : 0);
		cache = layers_of(p, stage) * cache_row(p) * p->context * p->batch;
		out->weight_bytes += bytes * ways(p);
		if (bytes + cache > out->card_weight_bytes + out->card_cache_bytes) {
			out->card_weight_bytes = bytes;
			out->card_cache_bytes = cache;
		}
	}
	bytes = out->card_weight_bytes + out->card_cache_bytes;
	out->missing_bytes = bytes > p->card_bytes ? bytes - p->card_bytes : 0;
}

static void project_decode(const struct plan *p, struct projection *out)
{
	/* The pieces of the batch are equal but for the last, and no more than the stages. */
	const uint32_t m = q35_div_up(p->batch, stages(p)), pieces = q35_div_up(p->batch, m);
	const struct attention attention = attend_each(p, m);
	const struct pass pass = pass_of(p, m, &attention, m);
	const double tokens = (double)m * pieces; /* that the work is for */
	double cycles;

	out->step_seconds = pass.seconds;
	if (pieces * pass.slowest > out->step_seconds)
		out->step_seconds = pieces * pass.slowest;
	out->tokens_per_second = p->batch / out->step_seconds;
	cycles = out->step_seconds * 1e6 * p->card.clock_mhz;
	out->memory_bytes = (double)pass.work.memory_bytes * pieces / tokens;
	out->cache_bytes = (double)pass.work.cache_bytes * pieces / tokens;
	out->link_bytes = (double)pass.work.link_bytes * pieces / tokens;
	out->exchanged_bytes = (double)pass.work.exchanged_bytes * pieces / tokens;
	out->macs = (double)pass.work.macs * pieces / tokens;
	out->lanes_used = out->macs * p->batch / (cycles * p->card.lanes * p->cards);
	out->memory_joules = out->memory_bytes * 8 * MEMORY_PJ_PER_BIT * 1e-12;
	out->mac_joules = out->macs * MAC_PJ * 1e-12;
	out->link_joules = out->link_bytes * 8 * LINK_PJ_PER_BIT * 1e-12;
}

void project(const struct plan *p, struct projection *out)
{
	const struct attention prompt = attend_prompt(p);

	memset(out, 0, sizeof(*out));
	project_memory(p, out);
	project_decode(p, out);
	out->first_token_seconds = pass_of(p, p->context, &prompt, 1).seconds;
}
