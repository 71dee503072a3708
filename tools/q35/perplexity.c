// SPDX-License-Identifier: MIT
/*
 * q35 perplexity: exp of the mean negative log-likelihood of a text. The text is cut into windows
 * that fill the model's context, each behind a <s> of its own, so that every token is predicted
 * once, the first ones of a window from little.
 */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "progress.h"
#include "session.h"
#include "text.h"

struct model {
	const char *path;
	double nats; /* in all */
	double more, error; /* nats a token than the first model, and their standard error */
	double seconds;
};

struct perplexity {
	struct model *models;
	size_t model_count;
	const char *text_path, *device;
	uint64_t limit; /* tokens */
	bool compare, json;

	struct session session; /* of one model at a time */
	struct progress progress;
	uint32_t *tokens, *input; /* of the text; of a window */
	size_t count, bytes, window;
	double *nats, *first; /* of each window; those of the first model */
};

static void print_help(void)
{
	printf("usage: q35 perplexity MODEL... TEXT [OPTION]...\n\n"
	       "How well MODEL predicts the file TEXT: lower is better. A model that is not quantized is run in\n"
	       "f32 on the host. Of several models each is compared with the first: by how many nats a token\n"
	       "it does worse, and the standard error of that.\n\n"
	       "  -n, --tokens N       only the first N tokens\n"
	       "  -d, --device DEVICE  as for q35 generate\n"
	       "      --compare cpu    run the same on the CPU and compare all logits bit for bit\n"
	       "      --json           the result as JSON\n"
	       "  -h, --help           this text\n");
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
static int run_window(struct perplexity *p, const uint32_t *tokens, size_t count, double *nats)
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
			*nats += surprise(logits + (size_t)i * vocabulary, vocabulary,
					  tokens[at + i]);
	}
	return DONE;
}

static size_t tokens_in(const struct perplexity *p, size_t window)
{
	const size_t rest = p->count - window * p->window;

	return rest < p->window ? rest : p->window;
}

/* Of windows, not tokens: neighbouring tokens have much in common. */
static void compare_with_first(const struct perplexity *p, struct model *m, size_t windows)
{
	double squares = 0, d;
	size_t i;

	for (i = 0; i < windows; i++)
		m->more += (p->nats[i] - p->first[i]) / (double)p->count;
	for (i = 0; i < windows; i++) {
		d = p->nats[i] - p->first[i] - m->more * (double)tokens_in(p, i);
		squares += d * d;
	}
	if (windows > 1)
		m->error =
			sqrt(squares * (double)windows / (double)(windows - 1)) / (double)p->count;
}

/* The text in this model's tokens, which are to be the same for all. */
static int read_text(struct perplexity *p, const struct model *m)
{
	const uint32_t context = p->session.shape.context;
	uint32_t *tokens = NULL;
	size_t count, i;

	if (context < 2)
		return fail("%s: a context of 1 token predicts nothing", m->path);
	if (text_tokens(p->text_path, p->session.tokenizer, p->limit, &tokens, &count)) {
		free(tokens);
		return FAILED;
	}
	if (p->tokens) {
		bool same = count == p->count && context - 1 >= p->window &&
			    !memcmp(tokens, p->tokens, count * sizeof(*tokens));

		free(tokens);
		return same ? DONE
			    : fail("%s: has other tokens or a smaller context than %s", m->path,
				   p->models[0].path);
	}
	p->tokens = tokens;
	p->count = count;
	p->window = context - 1 < count ? context - 1 : count;
	p->input = calloc(p->window, sizeof(*p->input));
	p->nats = calloc(count, sizeof(*p->nats));
	p->first = calloc(count, sizeof(*p->first));
	if (!p->input || !p->nats || !p->first)
		return fail("out of memory");
	for (i = 0; i < count; i++)
		p->bytes += tokenizer_decode(p->session.tokenizer, tokens[i], NULL, 0);
	progress_begin(&p->progress, count * p->model_count);
	return DONE;
}

/* Leaves the session open, for a report. */
static int run_model(struct perplexity *p, size_t index)
{
	struct model *m = &p->models[index];
	struct session *s = &p->session;
	size_t i;

	session_close(s);
	memset(s, 0, sizeof(*s));
	if (session_open(s, m->path, true) || read_text(p, m) ||
	    session_start(s, p->device, (uint32_t)p->window, p->compare))
		return FAILED;
	memset(p->nats, 0, p->count * sizeof(*p->nats));
	for (i = 0; i * p->window < p->count; i++) {
		if (run_window(p, p->tokens + i * p->window, tokens_in(p, i), &p->nats[i]))
			return FAILED;
		m->nats += p->nats[i];
		progress_show(&p->progress, p->count * index + i * p->window + tokens_in(p, i),
			      m->path);
	}
	m->seconds = s->seconds;
	if (!index)
		memcpy(p->first, p->nats, i * sizeof(*p->nats));
	compare_with_first(p, m, i);
	return DONE;
}

static double per_token(const struct perplexity *p, const struct model *m)
{
	return exp(m->nats / (double)p->count);
}

static double per_byte(const struct perplexity *p, const struct model *m)
{
	return exp(m->nats / (double)p->bytes);
}

static int report(struct perplexity *p)
{
	const struct model *m = p->models;
	json_t *json;

	if (p->json) {
		json = json_pack("{s:I, s:I, s:f, s:f, s:f}", "tokens", (json_int_t)p->count,
				 "bytes", (json_int_t)p->bytes, "perplexity_per_token",
				 per_token(p, m), "perplexity_per_byte", per_byte(p, m), "seconds",
				 m->seconds);
		if (!json || session_report_json(&p->session, json)) {
			json_decref(json);
			return FAILED;
		}
		return print_json(json);
	}
	printf("perplexity %.4f a token, %.4f a byte: %zu tokens, %zu bytes\n", per_token(p, m),
	       per_byte(p, m), p->count, p->bytes);
	fprintf(stderr, "speed       %.1f tokens/s\n", (double)p->count / m->seconds);
	return session_report(&p->session);
}

static int report_several(struct perplexity *p)
{
	json_t *rows = p->json ? json_array() : NULL;
	const struct model *m;

	if (p->json && !rows)
		return fail("out of memory");
	if (!p->json)
		printf("%zu tokens, %zu bytes\n%-32s %10s %10s %14s\n", p->count, p->bytes, "model",
		       "a token", "a byte", "nats a token");
	for (m = p->models; m < p->models + p->model_count; m++) {
		if (p->json)
			json_array_append_new(
				rows, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "model", m->path,
						"perplexity_per_token", per_token(p, m),
						"perplexity_per_byte", per_byte(p, m),
						"nats_more_per_token", m->more, "standard_error",
						m->error, "seconds", m->seconds));
		else if (m == p->models)
			printf("%-32s %10.4f %10.4f\n", m->path, per_token(p, m), per_byte(p, m));
		else
			printf("%-32s %10.4f %10.4f %+9.5f +- %.5f\n", m->path, per_token(p, m),
			       per_byte(p, m), m->more, m->error);
	}
	if (!p->json)
		return DONE;
	return print_json(json_pack("{s:I, s:I, s:o}", "tokens", (json_int_t)p->count, "bytes",
				    (json_int_t)p->bytes, "models", rows));
}

static int perplexity(struct perplexity *p)
{
	size_t i;

	for (i = 0; i < p->model_count; i++)
		if (run_model(p, i))
			return FAILED;
	progress_clear(&p->progress);
	return p->model_count > 1 ? report_several(p) : report(p);
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
	size_t i;
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
	if (argc - optind < 2)
		return usage("perplexity", "it takes one model or more, and a text");
	p->text_path = argv[argc - 1];
	p->model_count = (size_t)(argc - 1 - optind);
	p->models = calloc(p->model_count, sizeof(*p->models));
	if (!p->models)
		return fail("out of memory");
	for (i = 0; i < p->model_count; i++)
		p->models[i].path = argv[(size_t)optind + i];
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
	free(p.models);
	free(p.tokens);
	free(p.input);
	free(p.nats);
	free(p.first);
	return ret;
}
