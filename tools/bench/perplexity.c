// SPDX-License-Identifier: MIT
/*
 * q35-bench perplexity: what a model loses by its matrices' format, in nats a token of a text that it has not
 * been trained on. Formats of Q35 run as they are, activations in int8 included. A peer's model is written
 * with the weights that its format decodes to, in f32, and run in f32; so is one of Q35's, to
 * compare like with like. The q35 command does the work: this finds the files and makes the table.
 *
 * heldout.txt and calibration.txt, of the same kind but not held out, lie beside the model.
 */
#define _GNU_SOURCE /* environ */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ggml_peer.h"
#include "int4_quality.h"
#include "q35_model.h"
#include "report.h"

#define TOKENS "32768" /* of the text */
#define VARIANTS_MAX 24
#define ARGUMENTS_MAX (VARIANTS_MAX + 12)

struct variant {
	char name[64];
	char path[PATH_MAX + 32]; /* of the model */
	double bits; /* a weight */
};

static const struct {
	const char *name, *format;
	bool calibrated;
} q35_variants[] = {
	{"T8", "t8", false},
	{"T8 calibrated", "t8", true},
	{"T7", "t7", false},
	{"T7 calibrated", "t7", true},
	{"S min-max", "s-minmax", false},
	{"S Lloyd-Max", "s-lloyd", false},
	{"S Lloyd-Max calibrated", "s-lloyd", true},
};

#define Q35_VARIANTS ((int)(sizeof(q35_variants) / sizeof(q35_variants[0])))

static const enum int4_kind int4_variants[] = {
	INT4_ABSMAX, INT4_MINMAX, INT4_CLIPPED, INT4_LLOYD, INT4_G128,
};

#define INT4_VARIANTS ((int)(sizeof(int4_variants) / sizeof(int4_variants[0])))

struct bench {
	const char *model;
	char folder[PATH_MAX], q35[PATH_MAX + 16]; /* for files, removed at the end; the command */
	char heldout[PATH_MAX + 16], calibration[PATH_MAX + 16];
	const struct ggml_peer *ggml; /* or NULL */
	struct variant variants[VARIANTS_MAX]; /* the first is the model itself */
	int count, against; /* against: the variant that others are compared with */
};

/* Set by a signal: what is in the folder is to be removed then too. */
static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* ---- The command --------------------------------------------------------------------------- */

/* Runs q35, its output into the file, and reads that as JSON; NULL, with a line on stderr. */
static json_t *run_q35(struct bench *b, const char *const *arguments)
{
	char output[PATH_MAX + 16];
	posix_spawn_file_actions_t actions;
	json_error_t error;
	json_t *json = NULL;
	int status, ret;
	pid_t child;

	snprintf(output, sizeof(output), "%s/json", b->folder);
	if (stopped) {
		fail("interrupted");
		return NULL;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output,
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ret = posix_spawn(&child, b->q35, &actions, NULL, (char *const *)arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (ret) {
		fail("%s: %s", b->q35, strerror(ret));
		return NULL;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		kill(child, SIGTERM);
	if (!status)
		json = json_load_file(output, 0, &error);
	if (!json)
		fail("%s %s failed", b->q35, arguments[1]);
	unlink(output);
	return json;
}

static double number(const json_t *json, const char *key)
{
	return json_number_value(json_object_get(json, key));
}

/* Beside this program, or where make install puts it. */
static int find_q35(struct bench *b)
{
	static const char *const places[] = {"q35", "../bin/q35"};
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self));
	size_t i;

	if (length <= 0 || (size_t)length == sizeof(self))
		return fail("cannot tell where this program is");
	while (self[length - 1] != '/')
		length--;
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(b->q35, sizeof(b->q35), "%.*s%s", (int)length, self, places[i]);
		if (!access(b->q35, X_OK))
			return DONE;
	}
	return fail("%s: not there", b->q35);
}

/* ---- Models -------------------------------------------------------------------------------- */

static struct variant *add_variant(struct bench *b, const char *name)
{
	struct variant *v = &b->variants[b->count];

	snprintf(v->name, sizeof(v->name), "%s", name);
	snprintf(v->path, sizeof(v->path), "%s/%d.gguf", b->folder, b->count);
	b->count++;
	return v;
}

static int quantize(struct bench *b, int index)
{
	struct variant *v = add_variant(b, q35_variants[index].name);
	const char *arguments[ARGUMENTS_MAX] = {
		b->q35,	 "quantize",	 b->model, "-o",
		v->path, "--json",	 "-f",	   q35_variants[index].format,
		"-c",	 b->calibration, NULL,
	};
	json_t *json;

	progress("perplexity: %s", v->name);
	if (!q35_variants[index].calibrated)
		arguments[8] = NULL;
	json = run_q35(b, arguments);
	if (!json)
		return FAILED;
	v->bits = number(json, "bits_per_weight");
	json_decref(json);
	return DONE;
}

/* A peer's format: turns matrix w[n][k] into what it decodes to. */
struct peer {
	const struct bench *bench;
	int int4; /* enum int4_kind; negative: not that */
	int ggml; /* kind; negative: not that */
	struct q35_file *decoded; /* a quantized model, or NULL */
	double bits, weights; /* so far */
};

/* DONE or FAILED. */
static int convert(struct peer *p, const char *name, float *w, uint32_t n, uint32_t k)
{
	float *row = malloc(sizeof(*row) * k), levels[INT4_LEVELS];
	/* More than any kind takes. */
	void *packed = malloc(sizeof(float) * k);
	struct q35_weights q;
	int ret = DONE;
	uint32_t i;

	if (!row || !packed)
		ret = fail("out of memory");
	else if (p->decoded &&
		 (q35_file_weights(p->decoded, name, &q) || q35_dequantize(&q, 0, n, w)))
		ret = fail("%s", q35_error(NULL));
	if (p->int4 == INT4_LLOYD)
		int4_fit_levels(w, n, k, levels);
	for (i = 0; i < n && !ret && !p->decoded; i++) {
		if (p->int4 >= 0)
			int4_error((enum int4_kind)p->int4, w + (size_t)i * k, k, levels, row);
		else
			p->bench->ggml->error(p->ggml, w + (size_t)i * k, 1, k, packed, row);
		memcpy(w + (size_t)i * k, row, sizeof(*row) * k);
	}
	if (p->int4 >= 0)
		p->bits += int4_bits((enum int4_kind)p->int4, n, k);
	else if (p->ggml >= 0)
		p->bits += p->bench->ggml->kinds[p->ggml].bits * n * k;
	p->weights += (double)n * k;
	free(row);
	free(packed);
	return ret;
}

/* The matrices that q35 quantize takes. */
static bool is_matrix(const struct q35_tensor *t)
{
	return t->dims == 2 && strcmp(t->name, "token_embd.weight");
}

static int write_tensor(struct peer *p, struct q35_writer *writer, const struct q35_tensor *t)
{
	const size_t size = sizeof(float) * t->shape[0] * t->shape[1];
	float *w;
	int ret;

	if (!is_matrix(t))
		return q35_writer_data(writer, t->data, t->size) ? fail("%s", q35_error(NULL))
								 : DONE;
	w = malloc(size);
	if (!w)
		return fail("out of memory");
	if (q35_tensor_read(t, 0, t->shape[0], w))
		ret = fail("%s", q35_error(NULL));
	else
		ret = convert(p, t->name, w, (uint32_t)t->shape[0], (uint32_t)t->shape[1]);
	if (!ret && q35_writer_data(writer, w, size))
		ret = fail("%s", q35_error(NULL));
	free(w);
	return ret;
}

static int write_model(struct peer *p, const struct q35_file *file, const char *path)
{
	struct q35_writer *writer;
	const struct q35_tensor *t;
	int ret;
	size_t i;

	if (q35_writer_create(path, &writer))
		return fail("%s", q35_error(NULL));
	ret = q35_writer_copy_metadata(writer, file);
	for (i = 0; i < q35_file_tensors(file) && !ret; i++) {
		t = q35_file_tensor(file, i);
		ret = q35_writer_tensor(writer, t->name, is_matrix(t) ? Q35_TENSOR_F32 : t->type,
					t->dims, t->shape);
	}
	if (ret || q35_writer_begin(writer))
		ret = fail("%s", q35_error(NULL));
	for (i = 0; i < q35_file_tensors(file) && !ret; i++)
		ret = write_tensor(p, writer, q35_file_tensor(file, i));
	if (!ret && q35_writer_finish(writer))
		ret = fail("%s", q35_error(NULL));
	q35_writer_destroy(writer);
	return ret;
}

static int add_peer(struct bench *b, struct peer *p, const struct q35_file *file, const char *name)
{
	struct variant *v = add_variant(b, name);
	int ret;

	progress("perplexity: %s", v->name);
	p->bench = b;
	ret = write_model(p, file, v->path);
	v->bits = p->bits / p->weights;
	return ret;
}

/* Whether ggml's blocks fit into all rows. */
static bool fits(const struct bench *b, const struct q35_file *file, int kind)
{
	size_t i;

	for (i = 0; i < q35_file_tensors(file); i++) {
		const struct q35_tensor *t = q35_file_tensor(file, i);

		if (is_matrix(t) && t->shape[1] % b->ggml->kinds[kind].block)
			return false;
	}
	return true;
}

/* The index-th of Q35's once more, its activations as exact as a peer's. */
static int add_decoded(struct bench *b, const struct q35_file *file, int index)
{
	const struct variant *from = &b->variants[1 + index];
	struct peer p = {.int4 = -1, .ggml = -1};
	char name[80];
	int ret;

	if (q35_file_open(from->path, &p.decoded))
		return fail("%s", q35_error(NULL));
	snprintf(name, sizeof(name), "%s, f32 activations", from->name);
	p.bits = from->bits; /* for the quotient */
	ret = add_peer(b, &p, file, name);
	b->variants[b->count - 1].bits = from->bits;
	q35_file_close(p.decoded);
	return ret;
}

static int make_models(struct bench *b, const struct q35_file *file)
{
	char name[64];
	int i, ret = DONE;

	add_variant(b, "as it is")->bits = 16;
	snprintf(b->variants[0].path, sizeof(b->variants[0].path), "%s", b->model);
	for (i = 0; i < Q35_VARIANTS && !ret; i++)
		ret = quantize(b, i);
	for (i = 0; i < 2 && !ret; i++) /* T8 */
		ret = add_decoded(b, file, i);
	b->against = b->count;
	for (i = 0; i < INT4_VARIANTS && !ret; i++) {
		struct peer p = {.int4 = (int)int4_variants[i], .ggml = -1};

		ret = add_peer(b, &p, file, int4_name(int4_variants[i]));
	}
	for (i = 0; b->ggml && i < GGML_PEER_KINDS && !ret; i++) {
		struct peer p = {.int4 = -1, .ggml = i};

		if (!fits(b, file, i))
			continue;
		snprintf(name, sizeof(name), "ggml %s", b->ggml->kinds[i].name);
		ret = add_peer(b, &p, file, name);
	}
	return ret;
}

/* ---- The table ----------------------------------------------------------------------------- */

static bool add_row(struct report *report, const char *what, const struct variant *v, double value,
		    const char *unit)
{
	struct row row = {.value = value, .unit = unit, .limit = ABSENT, .better = LOWER};

	snprintf(row.name, sizeof(row.name), "%s: %s", v->name, what);
	return report_add(report, &row);
}

/* models: of q35 perplexity --json, in the order of the variants. */
static int add_rows(struct bench *b, struct report *report, const json_t *models)
{
	const double against =
		number(json_array_get(models, (size_t)b->against), "nats_more_per_token");
	int i;

	for (i = 0; i < b->count; i++) {
		const json_t *m = json_array_get(models, (size_t)i);
		const struct variant *v = &b->variants[i];
		struct row loss = {.unit = "nats/token", .limit = ABSENT, .better = LOWER};

		if (!add_row(report, "perplexity", v, number(m, "perplexity_per_token"),
			     "a token") ||
		    !add_row(report, "size", v, v->bits, "bits/weight"))
			return fail("out of memory");
		if (!i)
			continue;
		snprintf(loss.name, sizeof(loss.name), "%s: loss", v->name);
		loss.value = number(m, "nats_more_per_token");
		if (i != b->against) {
			loss.peer = b->variants[b->against].name;
			loss.peer_value = against;
		}
		if (!report_add(report, &loss) ||
		    !add_row(report, "standard error of the loss", v, number(m, "standard_error"),
			     "nats/token"))
			return fail("out of memory");
	}
	return DONE;
}

static int measure(struct bench *b, struct report *report)
{
	const char *arguments[ARGUMENTS_MAX] = {b->q35, "perplexity", "--json", "-d",
						"cpu",	"-n",	      TOKENS};
	json_t *json;
	int i, n = 7, ret;

	progress("perplexity: %d models read %s", b->count, b->heldout);
	for (i = 0; i < b->count; i++)
		arguments[n++] = b->variants[i].path;
	arguments[n++] = b->heldout;
	arguments[n] = NULL;
	json = run_q35(b, arguments);
	ret = json ? add_rows(b, report, json_object_get(json, "models")) : FAILED;
	json_decref(json);
	return ret;
}

static int run(struct bench *b, const struct options *options)
{
	struct q35_file *file;
	struct report *report;
	int ret;

	if (find_q35(b))
		return FAILED;
	if (access(b->heldout, R_OK))
		return fail("%s: %s", b->heldout, strerror(errno));
	if (access(b->calibration, R_OK))
		return fail("%s: %s", b->calibration, strerror(errno));
	if (q35_file_open(b->model, &file))
		return fail("%s", q35_error(NULL));
	report = report_create("Perplexity, and what the format costs of it", options->output);
	ret = report ? make_models(b, file) : FAILED;
	if (!ret)
		ret = measure(b, report);
	if (!ret)
		ret = report_finish(report);
	report_destroy(report);
	q35_file_close(file);
	return ret;
}

int bench_perplexity(const struct options *options)
{
	const struct sigaction action = {.sa_handler = stop}; /* the command has its own */
	struct bench *b;
	int i, ret, length;
	const char *name;

	if (!options->models[0])
		return fail("perplexity: of no model; --model names one");
	b = calloc(1, sizeof(*b));
	if (!b)
		return fail("out of memory");
	b->model = options->models[0];
	name = strrchr(b->model, '/');
	length = name ? (int)(name - b->model) + 1 : 0;
	snprintf(b->heldout, sizeof(b->heldout), "%.*sheldout.txt", length, b->model);
	snprintf(b->calibration, sizeof(b->calibration), "%.*scalibration.txt", length, b->model);
	b->ggml = ggml_peer_load(options->ggml);
	snprintf(b->folder, sizeof(b->folder), "/tmp/q35-perplexity-XXXXXX");
	if (!mkdtemp(b->folder)) {
		free(b);
		return fail("/tmp: %s", strerror(errno));
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	ret = run(b, options);
	for (i = 1; i < b->count; i++)
		unlink(b->variants[i].path);
	rmdir(b->folder);
	free(b);
	return ret;
}
