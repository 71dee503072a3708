// SPDX-License-Identifier: MIT
/*
 * q35 generate: continues a prompt. The text goes to stdout as it comes, what it took to stderr.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "output.h"
#include "sampler.h"
#include "session.h"
#include "utf8.h"

struct generate {
	const char *path, *prompt, *device, *logits_path;
	uint64_t wanted; /* tokens */
	struct sampler sampler;
	bool compare, json;

	struct session session;
	uint32_t *tokens; /* prompt, then what was generated */
	size_t prompt_tokens, count;
	double prompt_seconds;
	const char *stopped; /* why */

	FILE *text;
	char *text_memory; /* with json, text is kept here */
	size_t text_size;
	struct utf8 utf8;

	struct q35_output logits;
};

static void print_help(void)
{
	printf("usage: q35 generate MODEL [OPTION]...\n\n"
	       "Continues a prompt with MODEL, a llama model that q35 quantize has written. Every\n"
	       "matrix product runs on the device.\n\n"
	       "  -p, --prompt TEXT    default: none\n"
	       "  -n, --tokens N       at most so many new tokens, default 128\n"
	       "  -d, --device DEVICE  auto (default): $Q35_DEVICE, else the first card, else the CPU;\n"
	       "                       or cpu, a node such as /dev/accel/accel0, a PCI address\n"
	       "  -T, --temperature T  0 takes the likeliest token each time; default 0.7\n"
	       "  -s, --seed S         of the random choice, default 35\n"
	       "      --compare cpu    run the same on the CPU and compare all logits bit for bit\n"
	       "      --logits FILE    each step's logits, f32 [steps][vocabulary]\n"
	       "      --json           text and figures as JSON\n"
	       "  -h, --help           this text\n");
}

static void show(struct generate *g, uint32_t token)
{
	char piece[512]; /* the rest of a longer one is not shown */
	size_t size = tokenizer_decode(g->session.tokenizer, token, piece, sizeof(piece));

	utf8_write(&g->utf8, piece, size < sizeof(piece) ? size : sizeof(piece), g->text);
	fflush(g->text);
}

static int logits_error(const struct generate *g, int error)
{
	return fail("%s: cannot be written: %s", g->logits_path, q35_output_reason(error));
}

static int save_logits(struct generate *g, const float *logits)
{
	uint32_t n = g->session.shape.vocabulary;

	if (g->logits.file && fwrite(logits, sizeof(*logits), n, g->logits.file) != n)
		return logits_error(g, -errno);
	return DONE;
}

static int open_logits(struct generate *g)
{
	int ret;

	if (!g->logits_path)
		return DONE;
	catch_interrupts(); /* or the temporary file might stay */
	ret = q35_output_open(&g->logits, g->logits_path);
	return ret ? logits_error(g, ret) : DONE;
}

static int close_logits(struct generate *g)
{
	int ret = g->logits.file ? q35_output_finish(&g->logits) : 0;

	return ret ? logits_error(g, ret) : DONE;
}

/* The prompt's tokens, with room behind them for those to come. */
static int prepare(struct generate *g)
{
	const struct tokenizer *t = g->session.tokenizer;
	const uint32_t context = g->session.shape.context;
	const size_t bos = tokenizer_adds_bos(t);
	uint32_t *tokens;
	size_t count;

	if (tokenizer_encode(t, g->prompt, strlen(g->prompt), &tokens, &count))
		return FAILED;
	if (count + bos > context || count + bos == 0) {
		free(tokens);
		return count ? fail("the prompt is %zu tokens long, the model's context %u",
				    count + bos, context)
			     : fail("no prompt, and the model begins with no token of its own");
	}
	g->prompt_tokens = count + bos;
	if (g->wanted > context - g->prompt_tokens) {
		g->wanted = context - g->prompt_tokens;
		g->stopped = "context";
	} else {
		g->stopped = "tokens";
	}
	g->tokens = calloc(g->prompt_tokens + g->wanted, sizeof(*g->tokens));
	if (!g->tokens) {
		free(tokens);
		return fail("out of memory");
	}
	if (bos)
		g->tokens[0] = tokenizer_bos(t);
	memcpy(g->tokens + bos, tokens, count * sizeof(*tokens));
	free(tokens);
	g->count = g->prompt_tokens;
	return DONE;
}

static int run(struct generate *g)
{
	struct session *s = &g->session;
	const float *logits;
	size_t fed = 0;

	utf8_write(&g->utf8, g->prompt, strlen(g->prompt), g->text);
	utf8_end(&g->utf8, g->text);
	fflush(g->text);
	while (g->count - g->prompt_tokens < g->wanted || fed < g->prompt_tokens) {
		uint32_t batch = llama_batch(s->model), token;

		if (batch > g->count - fed)
			batch = (uint32_t)(g->count - fed);
		if (session_feed(s, g->tokens + fed, batch, false, &logits))
			return FAILED;
		fed += batch;
		if (fed < g->count)
			continue;
		if (fed == g->prompt_tokens)
			g->prompt_seconds = s->seconds;
		if (save_logits(g, logits))
			return FAILED;
		if (g->count - g->prompt_tokens == g->wanted)
			break;
		token = sampler_choose(&g->sampler, logits, s->shape.vocabulary);
		if (tokenizer_ends(s->tokenizer, token)) {
			g->stopped = "end of text";
			break;
		}
		if (interrupted) {
			g->stopped = "interrupt";
			break;
		}
		g->tokens[g->count++] = token;
		show(g, token);
		if (ferror(g->text))
			return fail("standard output: cannot be written");
	}
	utf8_end(&g->utf8, g->text);
	return close_logits(g);
}

static int report(struct generate *g)
{
	const struct session *s = &g->session;
	const size_t generated = g->count - g->prompt_tokens;
	/* the first new token is the prompt's work, the last one was never fed */
	const size_t steps = generated ? generated - 1 : 0;
	const double seconds = s->seconds - g->prompt_seconds;
	const double prompt_rate = (double)g->prompt_tokens / g->prompt_seconds;
	const double rate = steps ? (double)steps / seconds : 0;
	json_t *json;

	if (g->json) {
		fflush(g->text);
		json = json_pack("{s:s%, s:I, s:I, s:s, s:f, s:f, s:f, s:f}", "text",
				 g->text_memory, g->text_size, "prompt_tokens",
				 (json_int_t)g->prompt_tokens, "generated_tokens",
				 (json_int_t)generated, "stopped", g->stopped, "prompt_seconds",
				 g->prompt_seconds, "prompt_tokens_per_second", prompt_rate,
				 "generation_seconds", seconds, "generated_tokens_per_second",
				 rate);
		if (!json)
			return fail("the text is no UTF-8 or out of memory");
		if (session_report_json(&g->session, json)) {
			json_decref(json);
			return FAILED;
		}
		return print_json(json);
	}
	putchar('\n');
	fflush(stdout);
	if (!strcmp(g->stopped, "context"))
		fprintf(stderr, "stopped     the model's context of %u tokens is full\n",
			s->shape.context);
	fprintf(stderr, "prompt      %zu tokens in %.3f s: %.1f tokens/s\n", g->prompt_tokens,
		g->prompt_seconds, prompt_rate);
	fprintf(stderr, "generation  %zu tokens in %.3f s: %.1f tokens/s\n", generated, seconds,
		rate);
	return session_report(&g->session);
}

static int generate(struct generate *g)
{
	if (session_open(&g->session, g->path, false) || prepare(g))
		return FAILED;
	if (session_start(&g->session, g->device, (uint32_t)(g->prompt_tokens + g->wanted),
			  g->compare))
		return FAILED;
	g->text = g->json ? open_memstream(&g->text_memory, &g->text_size) : stdout;
	if (!g->text)
		return fail("out of memory");
	return open_logits(g) || run(g) ? FAILED : report(g);
}

static int parse(struct generate *g, int argc, char **argv)
{
	enum { COMPARE = 256, LOGITS, JSON };
	static const struct option options[] = {
		{"prompt", required_argument, NULL, 'p'},
		{"tokens", required_argument, NULL, 'n'},
		{"device", required_argument, NULL, 'd'},
		{"temperature", required_argument, NULL, 'T'},
		{"seed", required_argument, NULL, 's'},
		{"compare", required_argument, NULL, COMPARE},
		{"logits", required_argument, NULL, LOGITS},
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":p:n:d:T:s:h", options, NULL)) >= 0) {
		switch (c) {
		case 'p':
			g->prompt = optarg;
			break;
		case 'n':
			if (!parse_count(optarg, 0, UINT32_MAX, &g->wanted))
				return usage("generate", "--tokens %s: not a number", optarg);
			break;
		case 'd':
			g->device = optarg;
			break;
		case 'T':
			if (!parse_real(optarg, 0, 100, &g->sampler.temperature))
				return usage("generate", "--temperature %s: not 0 to 100", optarg);
			break;
		case 's':
			if (!parse_count(optarg, 0, UINT64_MAX, &g->sampler.state))
				return usage("generate", "--seed %s: not a number", optarg);
			break;
		case COMPARE:
			if (strcmp(optarg, "cpu"))
				return usage("generate", "--compare %s: only with cpu", optarg);
			g->compare = true;
			break;
		case LOGITS:
			g->logits_path = optarg;
			break;
		case JSON:
			g->json = true;
			break;
		case 'h':
			print_help();
			return -1;
		case ':':
			return usage("generate", "%s needs a value", argv[optind - 1]);
		default:
			return usage("generate", "%s: no such option", argv[optind - 1]);
		}
	}
	if (optind != argc - 1)
		return usage("generate", optind == argc ? "no model" : "more than one model");
	g->path = argv[optind];
	return DONE;
}

int command_generate(int argc, char **argv)
{
	struct generate g = {
		.prompt = "",
		.device = "auto",
		.wanted = 128,
		.sampler = {.temperature = 0.7, .state = 35},
	};
	int ret = parse(&g, argc, argv);

	if (ret)
		return ret < 0 ? DONE : ret;
	ret = generate(&g);
	q35_output_discard(&g.logits);
	if (g.json && g.text)
		fclose(g.text);
	session_close(&g.session);
	free(g.text_memory);
	free(g.tokens);
	return ret;
}
