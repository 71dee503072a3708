// SPDX-License-Identifier: MIT
/*
 * q35 quantize: a model's weight matrices to 3.5 bits, everything else as it is.
 *
 * Quantized is what a matrix product reads: in a llama GGUF every 2-D tensor but the token
 * embeddings, which are looked up by row. Where the output matrix is tied to the embeddings, it is
 * quantized in addition. A safetensors file is treated alike under its own tensor names; it has
 * neither a tokenizer nor llama's metadata, so that its result serves libq35, not q35 generate.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "calibrate.h"
#include "command.h"
#include "order.h"
#include "progress.h"
#include "q35_model.h"

#define EMBEDDINGS "token_embd.weight"
#define OUTPUT "output.weight"
#define DIM_MAX 131072
#define CHECK_ELEMENTS 65536 /* of a copied tensor, looked at in one go */
#define SHAPE_BYTES 16 /* NAME.q35_shape */

#define CALIBRATION_TOKENS 32768 /* enough for inputs of a few thousand */

struct item { /* of the output */
	const struct q35_tensor *tensor;
	const char *name;
	bool quantize;
	size_t turn; /* of the matrix in a calibration */
};

struct totals {
	uint64_t weights, bytes; /* quantized weights and what they take, metadata included */
	double error_squares, variance; /* the latter times the number of weights */
};

struct quantize {
	const char *in, *out;
	enum q35_format format;
	unsigned int threads;
	const char *text; /* to calibrate with, or NULL */
	uint64_t tokens; /* of it, at most */
	bool json;

	struct q35_file *file;
	struct calibrate *calibrate;
	struct q35_writer *writer;
	struct item *items;
	size_t count;
	bool gguf;

	struct progress progress;
	uint64_t done; /* weights of finished tensors */
	const struct item *current;
	const uint32_t *row_order, *column_order; /* of it, or NULL */
	struct totals totals;
	json_t *rows;
};

static void print_help(void)
{
	printf("usage: q35 quantize MODEL -o OUT [OPTION]...\n\n"
	       "Quantizes the weight matrices of MODEL, a llama GGUF or a safetensors file with F32,\n"
	       "F16 or BF16 weights, to 3.5 bits and writes the GGUF file OUT. Safetensors have no\n"
	       "tokenizer: their result is for libq35, not for q35 generate.\n\n"
	       "  -o, --output OUT     file to write\n"
	       "  -f, --format FORMAT  t8 (default) to t4: trellis codes; s-minmax, s-lloyd: scalar\n"
	       "  -c, --calibrate TEXT quantize for the inputs that the matrices have when the model reads\n"
	       "                       the file TEXT: the model's output is nearer to what it was, single\n"
	       "                       weights are further from it\n"
	       "      --tokens N       at most so many of TEXT, default %d\n"
	       "  -t, --threads N      default: one per processor\n"
	       "      --json           the result as JSON\n"
	       "  -h, --help           this text\n",
	       CALIBRATION_TOKENS);
}

static bool is_float(const struct q35_tensor *t)
{
	return t->type == Q35_TENSOR_F32 || t->type == Q35_TENSOR_F16 || t->type == Q35_TENSOR_BF16;
}

static uint64_t elements(const struct q35_tensor *t)
{
	return t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
}

static bool equals(const struct q35_file *file, const char *key, const char *wanted)
{
	const char *s;
	size_t size;

	return !q35_file_string(file, key, &s, &size) && size == strlen(wanted) &&
	       !memcmp(s, wanted, size);
}

static int check_kind(struct quantize *q)
{
	const char *s;
	uint64_t value;
	size_t size;

	if (!q35_file_u64(q->file, "q35.version", &value))
		return fail("%s: is quantized already", q->in);
	q->gguf = !q35_file_string(q->file, "general.architecture", &s, &size);
	if (!q->gguf)
		return DONE;
	if (!equals(q->file, "general.architecture", "llama"))
		return fail("%s: architecture %.*s: only llama is known here", q->in,
			    (int)(size < 64 ? size : 64), s);
	if (!q35_file_u64(q->file, "split.count", &value) && value > 1)
		return fail("%s: is one of %llu parts; join them first", q->in,
			    (unsigned long long)value);
	if (!q35_file_u64(q->file, "llama.expert_count", &value) && value)
		return fail("%s: mixtures of experts are not supported", q->in);
	return DONE;
}

static bool is_embedding(const struct q35_tensor *t)
{
	return !strcmp(t->name, EMBEDDINGS) || strstr(t->name, "embed_tokens");
}

/* Whether a tensor of the file becomes a Q35 matrix; FAILED: it can be neither that nor copied. */
static int classify(const struct quantize *q, const struct q35_tensor *t, bool *quantize)
{
	*quantize = t->dims == 2 && !is_embedding(t) && t->type != Q35_TENSOR_I8 &&
		    t->type != Q35_TENSOR_I32;
	if (t->type == Q35_TENSOR_OTHER)
		return fail("%s: tensor %s is not F32, F16 or BF16", q->in, t->name);
	if (*quantize && (t->shape[0] > DIM_MAX || t->shape[1] > DIM_MAX))
		return fail("%s: tensor %s: more than %d rows or columns", q->in, t->name, DIM_MAX);
	return DONE;
}

static int show_calibration(void *context, const char *name, double part)
{
	struct quantize *q = context;

	progress_show(&q->progress,
		      q->done + (uint64_t)(part * (double)elements(q->current->tensor)), name);
	return interrupted ? fail("interrupted") : DONE;
}

static int compare_turns(const void *a, const void *b)
{
	const struct item *left = a, *right = b;

	if (left->quantize != right->quantize)
		return left->quantize ? 1 : -1;
	return left->turn < right->turn ? -1 : left->turn > right->turn;
}

/* What is copied comes first, then the matrices in the order in which the model uses them. */
static int plan_calibration(struct quantize *q)
{
	const struct calibrate_options options = {
		.model = q->in,
		.text = q->text,
		.tokens = q->tokens,
		.threads = q->threads,
		.order = q->format == Q35_S_MINMAX || q->format == Q35_S_LLOYD,
		.progress = show_calibration,
		.context = q,
	};
	size_t i, turn, known = 0;
	const char *name;

	if (!q->gguf)
		return fail("%s: cannot read a text: it is no GGUF file, it has no tokenizer",
			    q->in);
	if (calibrate_open(&options, &q->calibrate))
		return FAILED;
	for (i = 0; i < q->count; i++)
		q->items[i].turn = i;
	for (turn = 0; turn < calibrate_matrices(q->calibrate); turn++) {
		name = calibrate_name(q->calibrate, turn);
		for (i = 0; i < q->count && strcmp(q->items[i].name, name); i++)
			;
		if (i < q->count && q->items[i].quantize) {
			q->items[i].turn = turn;
			known++;
		}
	}
	for (i = 0; i < q->count; i++)
		known -= q->items[i].quantize;
	if (known)
		return fail("%s: has matrices that are not a plain llama model's", q->in);
	qsort(q->items, q->count, sizeof(*q->items), compare_turns);
	return DONE;
}

static int plan(struct quantize *q)
{
	const struct q35_tensor *embeddings = q35_file_find(q->file, EMBEDDINGS);
	size_t i, tensors = q35_file_tensors(q->file);
	uint64_t weights = 0;

	q->items = calloc(tensors + 1, sizeof(*q->items));
	if (!q->items)
		return fail("out of memory");
	for (i = 0; i < tensors; i++) {
		struct item *item = &q->items[q->count++];

		item->tensor = q35_file_tensor(q->file, i);
		item->name = item->tensor->name;
		if (classify(q, item->tensor, &item->quantize))
			return FAILED;
	}
	if (q->gguf && embeddings && !q35_file_find(q->file, OUTPUT)) {
		if (embeddings->dims != 2 || embeddings->shape[0] > DIM_MAX ||
		    embeddings->shape[1] > DIM_MAX || !is_float(embeddings))
			return fail("%s: tensor %s cannot be an output matrix", q->in, EMBEDDINGS);
		q->items[q->count++] =
			(struct item){.tensor = embeddings, .name = OUTPUT, .quantize = true};
	}
	for (i = 0; i < q->count; i++)
		if (q->items[i].quantize)
			weights += elements(q->items[i].tensor);
	if (!weights)
		return fail("%s: no matrix to quantize", q->in);
	if (q->text && plan_calibration(q))
		return FAILED;
	/* With a calibration the way to a matrix counts like the matrix. */
	progress_begin(&q->progress, q->text ? 2 * weights : weights);
	return DONE;
}

static int describe_matrix(struct quantize *q, const struct item *item)
{
	const uint32_t n = (uint32_t)item->tensor->shape[0], k = (uint32_t)item->tensor->shape[1];
	const uint64_t tiles[3] = {(n + 63) / 64, (k + 7) / 8, 224};
	const uint64_t shape = SHAPE_BYTES / sizeof(int32_t);
	struct q35_weights w;
	char name[512];
	uint64_t meta;
	int ret;

	q35_weights_init(&w, q->format, n, k);
	meta = q35_meta_size(n, k, w.group, w.meta_flags);
	snprintf(name, sizeof(name), "%s.q35_tiles", item->name);
	ret = q35_writer_tensor(q->writer, name, Q35_TENSOR_I8, 3, tiles);
	snprintf(name, sizeof(name), "%s.q35_meta", item->name);
	if (!ret)
		ret = q35_writer_tensor(q->writer, name, Q35_TENSOR_I8, 1, &meta);
	snprintf(name, sizeof(name), "%s.q35_shape", item->name);
	if (!ret)
		ret = q35_writer_tensor(q->writer, name, Q35_TENSOR_I32, 1, &shape);
	return ret;
}

static int describe(struct quantize *q)
{
	struct q35_weights w;
	uint64_t value;
	size_t i;
	int ret;

	q35_weights_init(&w, q->format, 1, 1);
	ret = q35_writer_copy_metadata(q->writer, q->file);
	/* ggml has no number for this; 1024 is its "not specified". */
	if (!ret && !q35_file_u64(q->file, "general.file_type", &value))
		ret = q35_writer_u32(q->writer, "general.file_type", 1024);
	if (!ret)
		ret = q35_writer_u32(q->writer, "q35.version", 1);
	if (!ret)
		ret = q35_writer_string(q->writer, "q35.format", q35_format_name(q->format));
	if (!ret)
		ret = q35_writer_u32(q->writer, "q35.window_bits", w.window_bits);
	if (!ret)
		ret = q35_writer_i8_array(q->writer, "q35.codebook", w.codebook, Q35_CODEBOOK_SIZE);
	for (i = 0; i < q->count && !ret; i++) {
		const struct q35_tensor *t = q->items[i].tensor;

		if (q->items[i].quantize)
			ret = describe_matrix(q, &q->items[i]);
		else
			ret = q35_writer_tensor(q->writer, t->name, t->type, t->dims, t->shape);
	}
	if (!ret)
		ret = q35_writer_begin(q->writer);
	return ret ? fail("%s", q35_error(NULL)) : DONE;
}

static int read_rows(void *context, uint32_t row, uint32_t count, float *out)
{
	struct quantize *q = context;

	return order_read(q->current->tensor, q->row_order, q->column_order, row, count, out);
}

static int show_progress(void *context, uint32_t rows)
{
	struct quantize *q = context;

	progress_show(&q->progress, q->done + rows * q->current->tensor->shape[1],
		      q->current->name);
	return interrupted;
}

/* One line of the table; name NULL: the last one. */
static void report(struct quantize *q, const char *name, const struct q35_tensor *t,
		   const struct totals *part)
{
	const double bits = 8.0 * (double)part->bytes / (double)part->weights;
	const double deviation = sqrt(part->error_squares / part->variance);
	char shape[48];

	if (q->json && name) {
		json_t *rmse = part->variance > 0 ? json_real(deviation) : json_null();

		json_array_append_new(q->rows,
				      json_pack("{s:s, s:[I, I], s:f, s:f, s:o}", "name", name,
						"shape", (json_int_t)t->shape[0],
						(json_int_t)t->shape[1], "bits_per_weight", bits,
						"ratio_to_f32", 32 / bits, "rmse_over_std", rmse));
		return;
	}
	if (q->json)
		return;
	if (name)
		snprintf(shape, sizeof(shape), "%llu x %llu", (unsigned long long)t->shape[0],
			 (unsigned long long)t->shape[1]);
	else
		snprintf(shape, sizeof(shape), "%llu", (unsigned long long)part->weights);
	progress_clear(&q->progress);
	printf("%-28s %14s %12.4f %7.3f", name ? name : "all", shape, bits, 32 / bits);
	if (part->variance > 0)
		printf(" %8.3f %%\n", 100 * deviation);
	else
		printf(" %10s\n", "constant");
	fflush(stdout);
}

static int write_matrix(struct quantize *q, const struct item *item)
{
	const uint32_t n = (uint32_t)item->tensor->shape[0], k = (uint32_t)item->tensor->shape[1];
	struct q35_quantize_options options = {
		.format = q->format,
		.threads = q->threads,
		.read = read_rows,
		.progress = show_progress,
		.context = q,
	};
	const struct q35_calibration *calibration = NULL;
	struct q35_quantize_stats stats;
	struct totals part = {0};
	struct q35_weights w;
	int32_t shape[SHAPE_BYTES / sizeof(int32_t)];
	size_t tiles_size, meta_size;
	void *tiles, *meta;
	int ret;

	q->current = item;
	if (q->calibrate) {
		if (calibrate_get(q->calibrate, item->turn, &calibration) ||
		    calibrate_order(q->calibrate, item->turn, &q->row_order, &q->column_order))
			return FAILED;
		q->done += elements(item->tensor);
	}
	q35_weights_init(&w, q->format, n, k);
	shape[0] = (int32_t)n;
	shape[1] = (int32_t)k;
	shape[2] = w.group;
	shape[3] = w.meta_flags;
	tiles_size = q35_tiles_size(n, k);
	meta_size = q35_meta_size(n, k, w.group, w.meta_flags);
	tiles = malloc(tiles_size);
	meta = malloc(meta_size);
	if (!tiles || !meta) {
		free(tiles);
		free(meta);
		return fail("out of memory");
	}

	ret = q35_quantize_calibrated(&options, calibration, &w, tiles, meta, &stats);
	if (ret == -ECANCELED)
		ret = fail("interrupted");
	else if (ret)
		ret = fail("%s: tensor %s: %s", q->in, item->tensor->name, q35_error(NULL));
	else if (q35_writer_data(q->writer, tiles, tiles_size) ||
		 q35_writer_data(q->writer, meta, meta_size) ||
		 q35_writer_data(q->writer, shape, sizeof(shape)))
		ret = fail("%s", q35_error(NULL));
	else if (q->calibrate)
		ret = calibrate_put(q->calibrate, item->turn, &w);
	free(tiles);
	free(meta);
	if (ret)
		return ret;

	part.weights = stats.count;
	part.bytes = tiles_size + meta_size + sizeof(shape);
	part.error_squares = stats.error_squares;
	part.variance = stats.sum_squares - stats.sum * stats.sum / (double)stats.count;
	report(q, item->name, item->tensor, &part);
	q->totals.weights += part.weights;
	q->totals.bytes += part.bytes;
	q->totals.error_squares += part.error_squares;
	q->totals.variance += part.variance;
	q->done += part.weights;
	return DONE;
}

/* A NaN or an infinity in what is copied would be as fatal as in what is quantized. */
static int check_finite(const struct quantize *q, const struct q35_tensor *t)
{
	const uint64_t row_elements = elements(t) / t->shape[0];
	uint64_t chunk = row_elements < CHECK_ELEMENTS ? CHECK_ELEMENTS / row_elements : 1;
	float *rows = calloc(chunk, row_elements * sizeof(*rows));
	uint64_t row, i, count;
	int ret = DONE;

	if (!rows)
		return fail("out of memory");
	for (row = 0; row < t->shape[0] && !ret; row += count) {
		count = t->shape[0] - row < chunk ? t->shape[0] - row : chunk;
		if (q35_tensor_read(t, row, count, rows)) {
			ret = fail("%s: %s", q->in, q35_error(NULL));
			break;
		}
		for (i = 0; i < count * row_elements && !ret; i++)
			if (!isfinite(rows[i]))
				ret = fail("%s: tensor %s: %s at element %llu", q->in, t->name,
					   isnan(rows[i]) ? "NaN" : "infinity",
					   (unsigned long long)(row * row_elements + i));
	}
	free(rows);
	return ret;
}

static int write_copy(struct quantize *q, const struct item *item)
{
	const struct q35_tensor *t = item->tensor;

	if (is_float(t) && check_finite(q, t))
		return FAILED;
	return q35_writer_data(q->writer, t->data, t->size) ? fail("%s", q35_error(NULL)) : DONE;
}

static int write_all(struct quantize *q)
{
	size_t i;
	int ret;

	if (!q->json)
		printf("%-28s %14s %12s %7s %10s\n", "tensor", "shape", "bits/weight", "ratio",
		       "RMSE/std");
	for (i = 0; i < q->count; i++) {
		ret = q->items[i].quantize ? write_matrix(q, &q->items[i])
					   : write_copy(q, &q->items[i]);
		if (ret)
			return ret;
	}
	if (q35_writer_finish(q->writer))
		return fail("%s", q35_error(NULL));
	q->totals.bytes += Q35_CODEBOOK_SIZE;
	return DONE;
}

static int summarize(struct quantize *q)
{
	const double seconds = now() - q->progress.started;
	const double bits = 8.0 * (double)q->totals.bytes / (double)q->totals.weights;
	struct stat in = {0}, out = {0};

	stat(q->in, &in);
	stat(q->out, &out);
	report(q, NULL, NULL, &q->totals);
	if (q->json) {
		json_t *rmse =
			q->totals.variance > 0
				? json_real(sqrt(q->totals.error_squares / q->totals.variance))
				: json_null();

		return print_json(
			json_pack("{s:s, s:I, s:I, s:f, s:f, s:o, s:I, s:I, s:f, s:O}", "format",
				  q35_format_name(q->format), "calibration_tokens",
				  (json_int_t)(q->calibrate ? calibrate_tokens(q->calibrate) : 0),
				  "weights", (json_int_t)q->totals.weights, "bits_per_weight", bits,
				  "ratio_to_f32", 32 / bits, "rmse_over_std", rmse, "bytes_in",
				  (json_int_t)in.st_size, "bytes_out", (json_int_t)out.st_size,
				  "seconds", seconds, "tensors", q->rows));
	}
	if (q->calibrate)
		printf("calibrated with %zu tokens of %s; RMSE/std is of weights, which is not what counts then\n",
		       calibrate_tokens(q->calibrate), q->text);
	printf("%s: %s, was %s, in %.1f s; bits/weight and ratio (to F32) count scales, shapes and codebook\n",
	       q->out, human_bytes((uint64_t)out.st_size), human_bytes((uint64_t)in.st_size),
	       seconds);
	if (!q->gguf)
		printf("no tokenizer in %s: for libq35, not for q35 generate\n", q->in);
	return DONE;
}

static int quantize(struct quantize *q)
{
	struct stat in, out;

	if (q35_file_open(q->in, &q->file))
		return fail("%s", q35_error(NULL));
	if (!stat(q->in, &in) && !stat(q->out, &out) && in.st_dev == out.st_dev &&
	    in.st_ino == out.st_ino)
		return fail("%s: is the input, which stays", q->out);
	if (check_kind(q) || plan(q))
		return FAILED;
	q->rows = json_array();
	if (!q->rows)
		return fail("out of memory");
	catch_interrupts();
	if (q35_writer_create(q->out, &q->writer))
		return fail("%s", q35_error(NULL));
	if (describe(q) || write_all(q))
		return FAILED;
	return summarize(q);
}

static int parse(struct quantize *q, int argc, char **argv)
{
	enum { TOKENS = 256, JSON };
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"format", required_argument, NULL, 'f'},
		{"calibrate", required_argument, NULL, 'c'},
		{"tokens", required_argument, NULL, TOKENS},
		{"threads", required_argument, NULL, 't'},
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	enum q35_format i;
	const char *name;
	uint64_t value;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:f:c:t:h", options, NULL)) >= 0) {
		switch (c) {
		case 'o':
			q->out = optarg;
			break;
		case 'f':
			for (i = 0; (name = q35_format_name(i)) && strcmp(optarg, name); i++)
				;
			if (!name)
				return usage("quantize", "%s: no such format", optarg);
			q->format = i;
			break;
		case 'c':
			q->text = optarg;
			break;
		case TOKENS:
			if (!parse_count(optarg, 1, UINT32_MAX, &q->tokens))
				return usage("quantize", "--tokens %s: not a number from 1",
					     optarg);
			break;
		case 't':
			if (!parse_count(optarg, 1, 1024, &value))
				return usage("quantize", "--threads %s: not 1 to 1024", optarg);
			q->threads = (unsigned int)value;
			break;
		case JSON:
			q->json = true;
			break;
		case 'h':
			print_help();
			return -1;
		case ':':
			return usage("quantize", "%s needs a value", argv[optind - 1]);
		default:
			return usage("quantize", "%s: no such option", argv[optind - 1]);
		}
	}
	if (optind != argc - 1)
		return usage("quantize", optind == argc ? "no model" : "more than one model");
	if (!q->out)
		return usage("quantize", "no output file");
	q->in = argv[optind];
	return DONE;
}

int command_quantize(int argc, char **argv)
{
	struct quantize q = {.format = Q35_T8, .tokens = CALIBRATION_TOKENS};
	int ret = parse(&q, argc, argv);

	if (ret)
		return ret < 0 ? DONE : ret;
	ret = quantize(&q);
	calibrate_close(q.calibrate);
	q35_writer_destroy(q.writer);
	q35_file_close(q.file);
	json_decref(q.rows);
	free(q.items);
	return ret;
}
