/* SPDX-License-Identifier: MIT */
/*
 * What cards of given parameters would make of a language model that no emulated card could hold:
 * the card's own time model (timing.h), added up over the jobs of a token. Every number is
 * arithmetic on the parameters; nothing is measured.
 *
 * Tensor split: each card has a slice of every matrix, whole heads of the attention and all layers; after
 * the attention's output and after the feed-forward part the cards exchange sums. Every card sends
 * every other one its share, twice: (cards - 1) / cards of the activations to add, as much to
 * spread, each after one hop's latency. Where there are more cards than key/value heads, several hold
 * and read the same ones. Pipeline split: each card has some of the layers, and hands
 * its activations on; the batch is cut into as many pieces as there are cards to keep them busy.
 *
 * Activations and KV cache are f16 in device memory, embeddings come from the host, logits go there
 * as f32. The attention, which today's card leaves to the host, is taken to read its cache at the
 * memory's full bandwidth and to multiply on all lanes. Norms, rotary positions, softmax and all that
 * the host does count nothing, nor do activations count as memory in use. An uneven split costs
 * all cards what it costs the fullest.
 */
#ifndef PROJECTION_H
#define PROJECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "timing.h"

/*
 * Energies, of silicon that was built or studied; none of them is a Q35 card's.
 *
 * HBM2, all of an access: O'Connor et al., Fine-Grained DRAM, MICRO-50, 2017, section 2: on average
 * 1.21 pJ a bit to activate, 2.24 to move it within the die, 0.3 to drive it, the rest for ECC.
 * An 8-bit multiplication (0.2 pJ) and a 32-bit addition (0.1 pJ) at 45 nm and 0.9 V: Horowitz,
 * Computing's energy problem, ISSCC 2014, figure 1.1.9. On newer processes it is less.
 * A link across a board, as those between GPUs are: Arunkumar et al., MCM-GPU, ISCA 2017, table 2.
 */
#define MEMORY_PJ_PER_BIT 3.92
#define MAC_PJ 0.3
#define LINK_PJ_PER_BIT 10.0

struct llm {
	const char *name, *source; /* of the shape */
	uint32_t layers, width, ff, heads, kv_heads, head_dim, vocabulary;
};

/* The last one has no name. */
extern const struct llm llms[];

enum weight_format {
	WEIGHTS_T8, /* 3.5 bits, an f16 scale a column */
	WEIGHTS_INT4, /* 4 bits, likewise */
};

enum split {
	SPLIT_TENSOR,
	SPLIT_PIPELINE,
};

struct plan {
	const struct llm *llm;
	struct q35_timing card; /* each of them */
	uint64_t card_bytes; /* its memory */
	uint32_t hop_ns; /* latency from card to card */
	uint32_t cards; /* at most projection_cards_max() */
	uint32_t batch; /* sequences at a time */
	uint32_t context; /* positions in each one's cache; also the length of the prompt */
	enum weight_format format;
	enum split split;
};

struct projection {
	uint64_t weights, weight_bytes; /* of the model, on all cards */
	uint64_t card_weight_bytes, card_cache_bytes; /* on the fullest card */
	uint64_t missing_bytes; /* that it lacks; 0: the model fits */

	double step_seconds; /* for a token of every sequence */
	double tokens_per_second; /* of all sequences together */
	double first_token_seconds; /* of one prompt alone */
	double lanes_used; /* share of all lanes' cycles that was useful */
	/* All cards, of a token; cache bytes are memory's, exchanged ones, from card to card, the links'. */
	double memory_bytes, cache_bytes, link_bytes, exchanged_bytes, macs;
	double memory_joules, mac_joules, link_joules;
};

uint32_t projection_cards_max(const struct llm *llm,
			      enum split split); /* a head, or a layer each */
void project(const struct plan *plan, struct projection *projection);

/*
 * The products of a layer with m rows on one of so many cards, in order: q, k, v, output, gate, up,
 * down. Addresses are left 0.
 */
#define LAYER_PRODUCTS 7
void projection_layer(const struct llm *llm, uint32_t cards, uint32_t m,
		      struct q35_hw_gemm products[LAYER_PRODUCTS]);

#endif /* PROJECTION_H */
