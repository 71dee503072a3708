// SPDX-License-Identifier: MIT
/*
 * q35 perplexity: exp of the mean negative log-likelihood of a text. The text is cut into windows
 * that fill the model's context, each behind a <s> of its own, so that every token is predicted
 * once, the first ones of a window from little.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "progress.h"
#include "session.h"

#define TEXT_MAX (1ull << 30)

struct perplexity {
	const char *path, *text_path, *device;
	uint64_t limit; /* tokens */
	bool compare, json;

	struct session session;
	struct progress progress;
	char *text;
	size_t size;
	uint32_t *tokens, *input; /* of the text; of a window */
	size_t count;
	double nats; /* in all */
};

static void print_help(void)
{
	printf("usage: q35 perplexity MODEL TEXT [OPTION]...\n\n"
	       "How well MODEL, which q35 quantize has written, predicts the file TEXT: lower is better.\n\n"
	       "  -n, --tokens N       only the first N tokens\n"
	       "  -d, --device DEVICE  as for q35 generate\n"
	       "      --compare cpu    run the same on the CPU and compare all logits bit for bit\n"
	       "      --json           the result as JSON\n"
	       "  -h, --help           this text\n");
}

static int read_text(struct perplexity *p)
{
	FILE *f = fopen(p->text_path, "rb"), *memory;
	char buffer[65536];
	size_t n;
	int ret = DONE;

	if (!f)
		return fail("%s: %s", p->text_path, strerror(errno));
	memory = open_memstream(&p->text, &p->size);
	if (!memory) {
		fclose(f);
		return fail("out of memory");
	}
	while (!ret && (n = fread(buffer, 1, sizeof(buffer), f)) > 0) {
		if (fwrite(buffer, 1, n, memory) != n)
			ret = fail("out of memory");
		else if (ftell(memory) > (long)TEXT_MAX)
			ret = fail("%s: is too large", p->text_path);
	}
	if (!ret && ferror(f))
		ret = fail("%s: %s", p->text_path, strerror(errno));
	fclose(f);
	if (fclose(memory) && !ret)
		ret = fail("out of memory");
	return ret;
}

/* -log of the probability that logits give to token. */
static double surprise(const float *logits, uint32_t vocabulary, uint32_t token)
{
	uint32_t best = 0, i;
	double others = 0; /* likelihood relative to the best one's */

	for (i = 1; i < vocabulary; i++)
		if (logits[i] > logits[best])
			best = i;
	for (i = 0; i < vocabulary; i++)
		if (i != best)
			others += exp((double)logits[i] - logits[best]);
	return log1p(others) + logits[best] - logits[token];
}

/* One window: <s> and all tokens but the last are fed, all tokens are predicted. */
static int run_window(struct perplexity *p, const uint32_t *tokens, size_t count)
{
	struct session *s = &p->session;
	const uint32_t vocabulary = s->shape.vocabulary, batch = llama_batch(s->model);
	const float *logits;
	uint32_t i, n;
	size_t at;

	p->input[0] = tokenizer_bos(s->tokenizer);
	memcpy(p->input + 1, tokens, (count - 1) * sizeof(*tokens));
	session_rewind(s);
	for (at = 0; at < count; at += n) {
		n = count - at < batch ? (uint32_t)(count - at) : batch;
		if (session_feed(s, p->input + at, n, true, &logits))
			return FAILED;
		for (i = 0; i < n; i++)
			p->nats += surprise(logits + (size_t)i * vocabulary, vocabulary,
					    tokens[at + i]);
	}
	return DONE;
}

static int report(struct perplexity *p)
{
	const double tokens = (double)p->count;
	size_t i, bytes = 0;
	json_t *json;

	for (i = 0; i < p->count; i++)
		bytes += tokenizer_decode(p->session.tokenizer, p->tokens[i], NULL, 0);
	progress_clear(&p->progress);
	if (p->json) {
		json = json_pack("{s:I, s:I, s:f, s:f, s:f}", "tokens", (json_int_t)p->count,
				 "bytes", (json_int_t)bytes, "perplexity_per_token",
				 exp(p->nats / tokens), "perplexity_per_byte",
				 exp(p->nats / (double)bytes), "seconds", p->session.seconds);
		if (!json || session_report_json(&p->session, json)) {
			json_decref(json);
			return FAILED;
		}
		return print_json(json);
	}
	printf("perplexity %.4f a token, %.4f a byte: %zu tokens, %zu bytes\n",
	       exp(p->nats / tokens), exp(p->nats / (double)bytes), p->count, bytes);
	fprintf(stderr, "speed       %.1f tokens/s\n", tokens / p->session.seconds);
	return session_report(&p->session);
}

static int perplexity(struct perplexity *p)
{
	struct session *s = &p->session;
	size_t at, window;

	if (session_open(s, p->path) || read_text(p) ||
	    tokenizer_encode(s->tokenizer, p->text, p->size, &p->tokens, &p->count))
		return FAILED;
	if (p->count > p->limit)
		p->count = p->limit;
	if (!p->count)
		return fail("%s: no text", p->text_path);
	window = s->shape.context - 1;
	if (!window)
		return fail("%s: a context of 1 token predicts nothing", p->path);
	if (window > p->count)
		window = p->count;
	p->input = calloc(window, sizeof(*p->input));
	if (!p->input)
		return fail("out of memory");
	if (session_start(s, p->device, (uint32_t)window, p->compare))
		return FAILED;
	progress_begin(&p->progress, p->count);
	for (at = 0; at < p->count; at += window) {
		size_t n = p->count - at < window ? p->count - at : window;

		if (run_window(p, p->tokens + at, n))
			return FAILED;
		progress_show(&p->progress, at + n, "tokens");
	}
	return report(p);
}

static int parse(struct perplexity *p, int argc, char **argv)
{
	enum { COMPARE = 256, JSON };
	static const struct option options[] = {
		{"tokens", required_argument, NULL, 'n'},
		{"device", required_argument, NULL, 'd'},
		{"compare", required_argument, NULL, COMPARE},
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":n:d:h", options, NULL)) >= 0) {
		switch (c) {
		case 'n':
			if (!parse_count(optarg, 1, UINT64_MAX, &p->limit))
				return usage("perplexity", "--tokens %s: not a number from 1",
					     optarg);
			break;
		case 'd':
			p->device = optarg;
			break;
		case COMPARE:
			if (strcmp(optarg, "cpu"))
				return usage("perplexity", "--compare %s: only with cpu", optarg);
			p->compare = true;
			break;
		case JSON:
			p->json = true;
			break;
		case 'h':
			print_help();
			return -1;
		case ':':
			return usage("perplexity", "%s needs a value", argv[optind - 1]);
		default:
			return usage("perplexity", "%s: no such option", argv[optind - 1]);
		}
	}
	if (optind != argc - 2)
		return usage("perplexity", "it takes a model and a text");
	p->path = argv[optind];
	p->text_path = argv[optind + 1];
	return DONE;
}

int command_perplexity(int argc, char **argv)
{
	struct perplexity p = {.device = "auto", .limit = UINT64_MAX};
	int ret = parse(&p, argc, argv);

	if (ret)
		return ret < 0 ? DONE : ret;
	ret = perplexity(&p);
	session_close(&p.session);
	free(p.text);
	free(p.tokens);
	free(p.input);
	return ret;
}
