/* SPDX-License-Identifier: MIT */
/*
 * The time model: what silicon of given parameters would take for a descriptor, in cycles of its
 * array's clock. The one home of the formula: the card model charges by it, q35 project adds it up
 * over the layers of models that no emulated card could hold.
 *
 * Array. lanes multiply-accumulates a cycle, as rows of activations by lanes / rows weights. The
 * weights come from decoders, decode of them a cycle, in whole blocks of 64 outputs by 8 inputs; they
 * are kept packed, so every pass of up to rows activations decodes them anew. Rows and weights that
 * pad a pass or a block take as long as others. With N and K = n and k rounded up to 64 and 8:
 *
 *	passes  = ceil(m / rows)
 *	array   = passes * ceil(N * K * rows / lanes)
 *	decode  = passes * ceil(N * K / decode)
 *	memory  = ceil(bytes in device memory * clock_mhz / (1000 * memory_gbps))
 *	link    = ceil(bytes over the link * clock_mhz / (1000 * link_gbps))
 *	launch  = ceil(launch_ns * clock_mhz / 1000)
 *	cycles  = launch + max(array, decode, memory, link), at least 1
 *	stalls  = max(memory, link) - max(array, decode), at least 0
 *
 * array and decode are 0 for what is no product. Each operand is read or written once, on the side
 * where it lies. A roofline: the four overlap perfectly within a descriptor, no two descriptors do,
 * and there are no latencies but the launch.
 */
#ifndef Q35_TIMING_H
#define Q35_TIMING_H

#include "format.h"

/* Bounds that keep all sums within 64 bits. */
#define Q35_TIMING_MAX (1u << 20) /* of each parameter */

struct q35_timing { /* each 1 … Q35_TIMING_MAX, launch_ns from 0 */
	uint32_t lanes; /* multiply-accumulates a cycle */
	uint32_t rows; /* of activations that meet a weight at the same time */
	uint32_t decode; /* weights decoded a cycle */
	uint32_t clock_mhz;
	uint32_t memory_gbps, link_gbps; /* 10^9 bytes/s */
	uint32_t launch_ns; /* from one descriptor to the next */
};

/* The card's, unless its properties say otherwise. */
#define Q35_TIMING_LANES 16384
#define Q35_TIMING_ROWS 32
#define Q35_TIMING_DECODE 512
#define Q35_TIMING_CLOCK_MHZ 1000
#define Q35_TIMING_MEMORY_GBPS 200
#define Q35_TIMING_LINK_GBPS 32
#define Q35_TIMING_LAUNCH_NS 500

struct q35_timing_job {
	uint32_t m, n, k; /* all 0: no product */
	uint64_t memory_bytes, link_bytes;
};

struct q35_timing_cycles {
	uint64_t total, array, decode, memory, link, launch, stalls;
};

static inline uint64_t q35_timing_div_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static inline uint64_t q35_timing_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t q35_timing_transfer(uint64_t bytes, uint32_t clock_mhz, uint32_t gbps)
{
	return q35_timing_div_up(bytes * clock_mhz, 1000ull * gbps);
}

static inline struct q35_timing_cycles q35_timing_cycles(const struct q35_timing *t,
							 const struct q35_timing_job *job)
{
	uint64_t passes = q35_div_up(job->m, t->rows), compute, bytes;
	uint64_t weights = (uint64_t)q35_div_up(job->n, Q35_BLOCK_N) * Q35_BLOCK_N *
			   q35_div_up(job->k, Q35_TILE_K) * Q35_TILE_K;
	struct q35_timing_cycles c = {
		.array = passes * q35_timing_div_up(weights * t->rows, t->lanes),
		.decode = passes * q35_timing_div_up(weights, t->decode),
		.memory = q35_timing_transfer(job->memory_bytes, t->clock_mhz, t->memory_gbps),
		.link = q35_timing_transfer(job->link_bytes, t->clock_mhz, t->link_gbps),
		.launch = q35_timing_div_up((uint64_t)t->launch_ns * t->clock_mhz, 1000),
	};

	compute = q35_timing_max(c.array, c.decode);
	bytes = q35_timing_max(c.memory, c.link);
	c.stalls = bytes > compute ? bytes - compute : 0;
	c.total = q35_timing_max(c.launch + q35_timing_max(compute, bytes), 1);
	return c;
}

static inline uint64_t q35_timing_ns(const struct q35_timing *t, uint64_t cycles)
{
	return cycles / t->clock_mhz * 1000 +
	       q35_timing_div_up(cycles % t->clock_mhz * 1000, t->clock_mhz);
}

/* ---- Bytes of a product's operands --------------------------------------------------------- */

static inline uint32_t q35_type_size(uint8_t type)
{
	return type == Q35_HW_F32 ? 4 : type == Q35_HW_I8 ? 1 : 2;
}

/* Tiles, meta and codebook, padding and all. */
static inline uint64_t q35_gemm_weight_bytes(const struct q35_hw_gemm *g)
{
	return q35_format_tiles_size(g->n, g->k) +
	       q35_format_meta_size(g->n, g->k, g->group, g->meta_flags) + Q35_CODEBOOK_BYTES;
}

/* Activations with their scales. */
static inline uint64_t q35_gemm_x_bytes(const struct q35_hw_gemm *g)
{
	uint64_t scales = g->act_block ? q35_div_up(g->k, g->act_block) : 1;

	return g->m * ((uint64_t)g->k * q35_type_size(g->x_type) +
		       (g->x_type == Q35_HW_I8 ? 4 * scales : 0));
}

/* y and, if it is there, aux. */
static inline uint64_t q35_gemm_y_bytes(const struct q35_hw_gemm *g)
{
	return (uint64_t)g->m * g->n *
	       (q35_type_size(g->y_type) + (g->combine ? q35_type_size(g->aux_type) : 0));
}

#endif /* Q35_TIMING_H */
