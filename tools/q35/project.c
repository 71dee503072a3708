// SPDX-License-Identifier: MIT
/* q35 project: what cards of given parameters would make of large models; projection.h says how. */
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "projection.h"

#define BATCH_MAX 256
#define CONTEXT_MAX 131072
/* Unless the command line says otherwise. */
#define MODEL "llama-70b"
#define CONTEXT 2048
#define MEMORY_GB 48
#define HOP_NS 500 /* a guess at a posted write through a PCIe switch */
#define GOAL 10000

struct request {
	struct plan plan;
	uint32_t memory_gb; /* of a card */
	uint32_t goal; /* tokens a second */
	bool sweep, json;
};

static const char *const formats[] = {[WEIGHTS_T8] = "t8", [WEIGHTS_INT4] = "int4"};
static const char *const splits[] = {[SPLIT_TENSOR] = "tensor", [SPLIT_PIPELINE] = "pipeline"};

static void print_help(void)
{
	const struct llm *llm;

	printf("usage: q35 project [OPTION]...\n\n"
	       "Tokens a second, time to the first token and energy of large models on cards of given\n"
	       "parameters, by the time model that the emulated card counts with, and what it would take\n"
	       "to reach a goal. Arithmetic on assumptions, which are printed with it; no measurement.\n\n"
	       "  -m, --model NAME     one of:");
	for (llm = llms; llm->name; llm++)
		printf(" %s", llm->name);
	printf("; default %s\n"
	       "  -c, --cards N        default 1\n"
	       "  -b, --batch B        sequences at a time, 1 to %d; default 1\n"
	       "  -l, --context L      positions in each one's cache, and of the prompt; default %d\n"
	       "  -f, --format FORMAT  of the weights: t8 (default) or int4, both with a scale a column\n"
	       "  -s, --split SPLIT    over the cards: tensor (default) or pipeline\n"
	       "      --sweep          a table of all models, batches and formats on these cards\n"
	       "      --goal T         tokens a second to say the hardware for; default %d\n"
	       "      --json           as JSON\n"
	       "  -h, --help           this text\n\n"
	       "A card; what is not given is as the emulated card has it:\n"
	       "      --memory-gb G    default %d\n"
	       "      --hbm-gbps G     memory bandwidth, 10^9 bytes/s; %d\n"
	       "      --pcie-gbps G    link bandwidth, each way; %d\n"
	       "      --clock-mhz F    of the array; %d\n"
	       "      --lanes N        multiply-accumulates a cycle; %d\n"
	       "      --rows N         of activations that meet a weight at the same time; %d\n"
	       "      --decode N       weights decoded a cycle; %d\n"
	       "      --launch-ns T    from one job to the next; %d\n"
	       "      --hop-ns T       from card to card; default %d\n\n"
	       "Exit status: 0 done, 1 the model does not fit, 2 wrong usage.\n",
	       MODEL, BATCH_MAX, CONTEXT, GOAL, MEMORY_GB, Q35_TIMING_MEMORY_GBPS,
	       Q35_TIMING_LINK_GBPS, Q35_TIMING_CLOCK_MHZ, Q35_TIMING_LANES, Q35_TIMING_ROWS,
	       Q35_TIMING_DECODE, Q35_TIMING_LAUNCH_NS, HOP_NS);
}

/* ---- The goal ------------------------------------------------------------------------------ */

struct goal {
	uint32_t batch;
	double weight_bytes, cache_bytes,
		macs; /* of a token; all of the batch shares the weights */
	double memory_cards, lane_cards; /* for bandwidth and lanes alone, at their best */
	double step_seconds; /* that a token of every sequence may take */
	double hop_seconds, launch_seconds; /* that a tensor split takes however fast the cards */
	/* The fewest cards that reach it, or else those that come nearest; 0: none that it fits on. */
	bool reached;
	uint32_t cards;
	enum split split;
	double tokens_per_second;
};

/* Of both splits and all numbers of cards. */
static void search(const struct request *r, struct goal *goal)
{
	struct projection p;
	struct plan plan = r->plan;
	enum split split;

	plan.batch = goal->batch;
	for (split = SPLIT_TENSOR; split <= SPLIT_PIPELINE; split++) {
		plan.split = split;
		for (plan.cards = 1; plan.cards <= projection_cards_max(plan.llm, split);
		     plan.cards++) {
			bool reached, better;

			project(&plan, &p);
			reached = p.tokens_per_second >= (double)r->goal;
			better = !goal->cards || (reached && !goal->reached) ||
				 (reached == goal->reached &&
				  (reached ? plan.cards < goal->cards
					   : p.tokens_per_second > goal->tokens_per_second));
			if (p.missing_bytes || !better)
				continue;
			goal->reached = reached;
			goal->cards = plan.cards;
			goal->split = split;
			goal->tokens_per_second = p.tokens_per_second;
		}
	}
}

static struct goal goal_of(const struct request *r, uint32_t batch)
{
	const struct q35_timing *card = &r->plan.card;
	struct goal goal = {.batch = batch};
	struct plan plan = r->plan;
	struct projection p;

	plan.batch = batch;
	plan.cards = 1;
	project(&plan, &p);
	goal.weight_bytes = (double)p.weight_bytes / batch;
	goal.cache_bytes = p.cache_bytes;
	goal.macs = p.macs;
	goal.memory_cards = (double)r->goal * (goal.weight_bytes + goal.cache_bytes) /
			    (1e9 * card->memory_gbps);
	goal.lane_cards = (double)r->goal * p.macs / (1e6 * card->clock_mhz * card->lanes);
	goal.step_seconds = (double)batch / (double)r->goal;
	goal.hop_seconds = 1e-9 * plan.llm->layers * 2 * 2 * plan.hop_ns;
	goal.launch_seconds = 1e-9 * card->launch_ns * plan.llm->layers * (LAYER_PRODUCTS + 1);
	search(r, &goal);
	return goal;
}

static const uint32_t goal_batches[] = {1, 32, 256};

static void print_goal(const struct request *r)
{
	const struct plan *plan = &r->plan;
	const double per_second = (double)r->goal;
	size_t i;

	printf("\n%u tokens a second of %s, %s, context %u: what it takes of such cards\n", r->goal,
	       plan->llm->name, formats[plan->format], plan->context);
	for (i = 0; i < sizeof(goal_batches) / sizeof(goal_batches[0]); i++) {
		const struct goal g = goal_of(r, goal_batches[i]);

		printf("  batch %u\n", g.batch);
		printf("    memory     (%.2f GB weights / %u + %.3f GB cache) x %u/s = %.1f TB/s: %.1f cards' memory at %u GB/s\n",
		       1e-9 * g.weight_bytes * g.batch, g.batch, 1e-9 * g.cache_bytes, r->goal,
		       1e-12 * per_second * (g.weight_bytes + g.cache_bytes), g.memory_cards,
		       plan->card.memory_gbps);
		printf("    lanes      %.2f GMAC x %u/s = %.1f TMAC/s: %.1f cards' lanes, all of them busy\n",
		       1e-9 * g.macs, r->goal, 1e-12 * per_second * g.macs, g.lane_cards);
		printf("    time       %.3f ms for a token of each sequence; hops take a tensor split %.3f ms and launches %.3f",
		       1e3 * g.step_seconds, 1e3 * g.hop_seconds, 1e3 * g.launch_seconds);
		if (g.hop_seconds + g.launch_seconds > 0)
			printf(",\n               so that with the fastest of memories and arrays it reaches at most %.0f tokens/s",
			       g.batch / (g.hop_seconds + g.launch_seconds));
		putchar('\n');
		if (!g.cards)
			printf("    all of it  no number of such cards has the memory\n");
		else
			printf("    all of it  %s%u cards, %s split: %.1f tokens/s, %.1f a sequence\n",
			       g.reached ? "" : "out of reach; nearest are ", g.cards,
			       splits[g.split], g.tokens_per_second, g.tokens_per_second / g.batch);
	}
}

static json_t *goal_json(const struct request *r)
{
	json_t *batches = json_array();
	size_t i;

	for (i = 0; i < sizeof(goal_batches) / sizeof(goal_batches[0]); i++) {
		const struct goal g = goal_of(r, goal_batches[i]);

		json_array_append_new(
			batches,
			json_pack(
				"{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:b, s:I, s:s, s:f}",
				"batch", (json_int_t)g.batch, "weight_bytes_per_token",
				g.weight_bytes, "cache_bytes_per_token", g.cache_bytes,
				"bytes_per_second",
				(double)r->goal * (g.weight_bytes + g.cache_bytes),
				"cards_for_memory", g.memory_cards, "cards_for_lanes", g.lane_cards,
				"step_seconds", g.step_seconds, "hop_seconds", g.hop_seconds,
				"launch_seconds", g.launch_seconds, "reached", g.reached, "cards",
				(json_int_t)g.cards, "split", splits[g.split], "tokens_per_second",
				g.tokens_per_second));
	}
	return json_pack("{s:I, s:s, s:s, s:I, s:o}", "tokens_per_second", (json_int_t)r->goal,
			 "model", r->plan.llm->name, "format", formats[r->plan.format], "context",
			 (json_int_t)r->plan.context, "batches", batches);
}

/* ---- What all of it rests on --------------------------------------------------------------- */

static void print_card(const struct plan *p)
{
	const struct q35_timing *t = &p->card;

	printf("%u card%s: %u lanes at %u MHz, %u rows at a time, %u weights decoded a cycle, memory %s at %u GB/s,\n"
	       "link %u GB/s, launch %u ns, hop %u ns\n",
	       p->cards, p->cards == 1 ? "" : "s", t->lanes, t->clock_mhz, t->rows, t->decode,
	       human_bytes(p->card_bytes), t->memory_gbps, t->link_gbps, t->launch_ns, p->hop_ns);
}

static void print_assumptions(void)
{
	printf("\nAssumed: activations and KV cache are f16 in device memory; attention, which today's card leaves to\n"
	       "the host, reads its cache at full bandwidth and multiplies on all lanes; transfers within a job overlap,\n"
	       "jobs do not; norms, softmax, sampling and the host cost nothing; activations take no memory.\n"
	       "Energy: %.2f pJ a bit of memory (HBM2, O'Connor et al., MICRO 2017), %.1f pJ a multiply-accumulate (8 bits,\n"
	       "45 nm, Horowitz, ISSCC 2014), %.1f pJ a bit of link (board, Arunkumar et al., ISCA 2017); decoding, SRAM,\n"
	       "leakage, host and cooling are not in it. Nothing here was measured on silicon: there is none.\n",
	       MEMORY_PJ_PER_BIT, MAC_PJ, LINK_PJ_PER_BIT);
}

static json_t *assumptions_json(const struct plan *p)
{
	const struct q35_timing *t = &p->card;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "lanes",
			 (json_int_t)t->lanes, "rows", (json_int_t)t->rows, "decode",
			 (json_int_t)t->decode, "clock_mhz", (json_int_t)t->clock_mhz,
			 "memory_bytes", (json_int_t)p->card_bytes, "hbm_gbps",
			 (json_int_t)t->memory_gbps, "pcie_gbps", (json_int_t)t->link_gbps,
			 "launch_ns", (json_int_t)t->launch_ns, "hop_ns", (json_int_t)p->hop_ns,
			 "memory_pj_per_bit", MEMORY_PJ_PER_BIT, "mac_pj", MAC_PJ,
			 "link_pj_per_bit", LINK_PJ_PER_BIT);
}

/* ---- Projections --------------------------------------------------------------------------- */

static double joules(const struct projection *p)
{
	return p->memory_joules + p->mac_joules + p->link_joules;
}

static double bits(const struct projection *p)
{
	return 8.0 * (double)p->weight_bytes / (double)p->weights;
}

static json_t *projection_json(const struct plan *plan, const struct projection *p)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I}", "model",
				 plan->llm->name, "format", formats[plan->format], "split",
				 splits[plan->split], "cards", (json_int_t)plan->cards, "batch",
				 (json_int_t)plan->batch, "context", (json_int_t)plan->context,
				 "weight_bytes", (json_int_t)p->weight_bytes, "bits_per_weight",
				 bits(p), "card_weight_bytes", (json_int_t)p->card_weight_bytes,
				 "card_cache_bytes", (json_int_t)p->card_cache_bytes,
				 "missing_bytes", (json_int_t)p->missing_bytes);

	if (p->missing_bytes)
		return json; /* there is no speed of what does not fit */
	json_object_update_new(
		json,
		json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
			  "tokens_per_second", p->tokens_per_second, "step_seconds",
			  p->step_seconds, "first_token_seconds", p->first_token_seconds,
			  "lanes_used", p->lanes_used, "memory_bytes_per_token", p->memory_bytes,
			  "cache_bytes_per_token", p->cache_bytes, "link_bytes_per_token",
			  p->link_bytes, "exchanged_bytes_per_token", p->exchanged_bytes,
			  "macs_per_token", p->macs, "joules_per_token", joules(p),
			  "memory_joules_per_token", p->memory_joules, "mac_joules_per_token",
			  p->mac_joules, "link_joules_per_token", p->link_joules));
	return json;
}

static void print_projection(const struct plan *plan, const struct projection *p)
{
	const struct llm *m = plan->llm;

	printf("%s (%s): %u layers, width %u, feed-forward %u, %u heads of %u, %u of them for keys and values, %u tokens\n",
	       m->name, m->source, m->layers, m->width, m->ff, m->heads, m->head_dim, m->kv_heads,
	       m->vocabulary);
	print_card(plan);
	printf("%s weights, %s split, batch %u, context %u\n\n", formats[plan->format],
	       splits[plan->split], plan->batch, plan->context);
	printf("weights      %s on all cards, %.3f bits each of %.2f x 10^9\n",
	       human_bytes(p->weight_bytes), bits(p), 1e-9 * (double)p->weights);
	printf("memory       %s of weights + %s of cache on the fullest card, of %s\n",
	       human_bytes(p->card_weight_bytes), human_bytes(p->card_cache_bytes),
	       human_bytes(plan->card_bytes));
	printf("decode       %.2f tokens/s, %.2f a sequence, %.3f ms a step\n",
	       p->tokens_per_second, p->tokens_per_second / plan->batch, 1e3 * p->step_seconds);
	printf("first token  %.3f s after a prompt of %u, alone\n", p->first_token_seconds,
	       plan->context);
	printf("a token      reads and writes %.3f GB of device memory (%.3f GB of cache), and %.3f MB over links\n"
	       "             (%.3f MB from card to card), %.2f GMAC: %.2f %% of what the lanes could do\n",
	       1e-9 * p->memory_bytes, 1e-9 * p->cache_bytes, 1e-6 * p->link_bytes,
	       1e-6 * p->exchanged_bytes, 1e-9 * p->macs, 100 * p->lanes_used);
	printf("energy       %.3f J a token: memory %.3f, multiplying %.3f, links %.6f\n",
	       joules(p), p->memory_joules, p->mac_joules, p->link_joules);
}

static int project_one(const struct request *r)
{
	const struct plan *plan = &r->plan;
	struct projection p;

	project(plan, &p);
	if (p.missing_bytes)
		return fail(
			"%s with batch %u and context %u does not fit: the fullest of %u card%s lacks %llu bytes of %llu",
			plan->llm->name, plan->batch, plan->context, plan->cards,
			plan->cards == 1 ? "" : "s", (unsigned long long)p.missing_bytes,
			(unsigned long long)(p.card_weight_bytes + p.card_cache_bytes));
	if (r->json)
		return print_json(json_pack("{s:o, s:[o], s:o}", "assumptions",
					    assumptions_json(plan), "projections",
					    projection_json(plan, &p), "goal", goal_json(r)));
	print_projection(plan, &p);
	print_goal(r);
	print_assumptions();
	return DONE;
}

static void print_row(const struct plan *plan, const struct projection *p)
{
	printf("| %s | %s | %u | %.3f |", plan->llm->name, formats[plan->format], plan->batch,
	       bits(p));
	if (p->missing_bytes)
		printf(" lacks %s a card | | | | | |\n", human_bytes(p->missing_bytes));
	else
		printf(" %s | %.2f | %.2f | %.3f | %.3f | %.3f |\n",
		       human_bytes(p->card_weight_bytes + p->card_cache_bytes),
		       p->tokens_per_second, p->tokens_per_second / plan->batch,
		       p->first_token_seconds, 1e-6 * p->link_bytes, joules(p));
}

static int sweep(const struct request *r)
{
	static const uint32_t batches[] = {1, 4, 16, 64, 256};
	struct plan plan = r->plan;
	json_t *rows = json_array();
	struct projection p;
	size_t i;

	if (!r->json) {
		print_card(&plan);
		printf("%s split, context %u\n\n"
		       "| model | weights | batch | bits | memory a card | tokens/s | a sequence | first token, s | link MB/token | J/token |\n"
		       "|---|---|---|---|---|---|---|---|---|---|\n",
		       splits[plan.split], plan.context);
	}
	for (plan.llm = llms; plan.llm->name; plan.llm++) {
		if (plan.cards > projection_cards_max(plan.llm, plan.split)) {
			if (!r->json)
				printf("| %s | work for %u cards at most | | | | | | | | |\n",
				       plan.llm->name, projection_cards_max(plan.llm, plan.split));
			continue;
		}
		for (i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
			plan.batch = batches[i];
			for (plan.format = WEIGHTS_T8; plan.format <= WEIGHTS_INT4; plan.format++) {
				project(&plan, &p);
				if (r->json)
					json_array_append_new(rows, projection_json(&plan, &p));
				else
					print_row(&plan, &p);
			}
		}
	}
	if (r->json)
		return print_json(json_pack("{s:o, s:o, s:o}", "assumptions",
					    assumptions_json(&r->plan), "projections", rows, "goal",
					    goal_json(r)));
	json_decref(rows);
	print_goal(r);
	print_assumptions();
	return DONE;
}

/* ---- The command line ---------------------------------------------------------------------- */

/* Options that are numbers, each with its place in struct request. */
#define AT(member) offsetof(struct request, member)
static const struct {
	const char *name;
	char letter; /* or 0 */
	size_t offset; /* of a uint32_t */
	uint32_t least, most;
} numbers[] = {
	{"cards", 'c', AT(plan.cards), 1, 1024},
	{"batch", 'b', AT(plan.batch), 1, BATCH_MAX},
	{"context", 'l', AT(plan.context), 1, CONTEXT_MAX},
	{"goal", 0, AT(goal), 1, 1000000000},
	{"memory-gb", 0, AT(memory_gb), 1, Q35_TIMING_MAX},
	{"hbm-gbps", 0, AT(plan.card.memory_gbps), 1, Q35_TIMING_MAX},
	{"pcie-gbps", 0, AT(plan.card.link_gbps), 1, Q35_TIMING_MAX},
	{"clock-mhz", 0, AT(plan.card.clock_mhz), 1, Q35_TIMING_MAX},
	{"lanes", 0, AT(plan.card.lanes), 1, Q35_TIMING_MAX},
	{"rows", 0, AT(plan.card.rows), 1, Q35_TIMING_MAX},
	{"decode", 0, AT(plan.card.decode), 1, Q35_TIMING_MAX},
	{"launch-ns", 0, AT(plan.card.launch_ns), 0, Q35_TIMING_MAX},
	{"hop-ns", 0, AT(plan.hop_ns), 0, Q35_TIMING_MAX},
};

#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static int parse_number(struct request *r, size_t i, const char *text)
{
	uint64_t value;
	uint32_t small;

	if (!parse_count(text, numbers[i].least, numbers[i].most, &value))
		return usage("project", "--%s %s: not a number from %u to %u", numbers[i].name,
			     text, numbers[i].least, numbers[i].most);
	small = (uint32_t)value;
	memcpy((char *)r + numbers[i].offset, &small, sizeof(small));
	return DONE;
}

static int parse_model(struct request *r, const char *name)
{
	for (r->plan.llm = llms; r->plan.llm->name; r->plan.llm++)
		if (!strcmp(r->plan.llm->name, name))
			return DONE;
	return usage("project", "--model %s: not a model that is known", name);
}

/* Which of the two it is, into *choice. */
static int parse_name(const char *const names[2], const char *option, const char *text,
		      unsigned int *choice)
{
	for (*choice = 0; *choice < 2; ++*choice)
		if (!strcmp(names[*choice], text))
			return DONE;
	return usage("project", "--%s %s: neither %s nor %s", option, text, names[0], names[1]);
}

enum { NUMBER = 256, SWEEP = 512, JSON };

static int parse_option(struct request *r, int c)
{
	unsigned int choice = 0;
	int ret = DONE;
	size_t i;

	for (i = 0; i < NUMBERS; i++)
		if (c == NUMBER + (int)i || (numbers[i].letter && c == numbers[i].letter))
			return parse_number(r, i, optarg);
	switch (c) {
	case 'm':
		return parse_model(r, optarg);
	case 'f':
		ret = parse_name(formats, "format", optarg, &choice);
		r->plan.format = (enum weight_format)choice;
		return ret;
	case 's':
		ret = parse_name(splits, "split", optarg, &choice);
		r->plan.split = (enum split)choice;
		return ret;
	case SWEEP:
		r->sweep = true;
		return DONE;
	default: /* JSON */
		r->json = true;
		return DONE;
	}
}

static int parse(struct request *r, int argc, char **argv)
{
	struct option options[NUMBERS + 7] = {
		{"model", required_argument, NULL, 'm'}, {"format", required_argument, NULL, 'f'},
		{"split", required_argument, NULL, 's'}, {"sweep", no_argument, NULL, SWEEP},
		{"json", no_argument, NULL, JSON},	 {"help", no_argument, NULL, 'h'},
	};
	int c, ret;
	size_t i;

	for (i = 0; i < NUMBERS; i++)
		options[6 + i] =
			(struct option){numbers[i].name, required_argument, NULL, NUMBER + (int)i};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":m:c:b:l:f:s:h", options, NULL)) >= 0) {
		if (c == 'h') {
			print_help();
			return -1;
		}
		if (c == ':')
			return usage("project", "%s needs a value", argv[optind - 1]);
		if (c == '?')
			return usage("project", "%s: no such option", argv[optind - 1]);
		ret = parse_option(r, c);
		if (ret)
			return ret;
	}
	if (optind < argc)
		return usage("project", "%s: it takes options only", argv[optind]);
	r->plan.card_bytes = 1000000000ull * r->memory_gb;
	if (!r->sweep && r->plan.cards > projection_cards_max(r->plan.llm, r->plan.split))
		return usage("project", "--cards %u: %s in a %s split has work for %u at most",
			     r->plan.cards, r->plan.llm->name, splits[r->plan.split],
			     projection_cards_max(r->plan.llm, r->plan.split));
	return DONE;
}

int command_project(int argc, char **argv)
{
	struct request r = {
		.plan = {.card = {.lanes = Q35_TIMING_LANES,
				  .rows = Q35_TIMING_ROWS,
				  .decode = Q35_TIMING_DECODE,
				  .clock_mhz = Q35_TIMING_CLOCK_MHZ,
				  .memory_gbps = Q35_TIMING_MEMORY_GBPS,
				  .link_gbps = Q35_TIMING_LINK_GBPS,
				  .launch_ns = Q35_TIMING_LAUNCH_NS},
			 .hop_ns = HOP_NS,
			 .cards = 1,
			 .batch = 1,
			 .context = CONTEXT},
		.memory_gb = MEMORY_GB,
		.goal = GOAL,
	};
	int ret = parse_model(&r, MODEL);

	if (!ret)
		ret = parse(&r, argc, argv);
	if (ret)
		return ret < 0 ? DONE : ret;
	return r.sweep ? sweep(&r) : project_one(&r);
}
