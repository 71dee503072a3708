// SPDX-License-Identifier: MIT
/*
 * q35-bench quantize: speed from a matrix in memory, on one thread and more; then how much memory it
 * takes to quantize a matrix from a mapped file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats.h"
#include "kernels.h"
#include "numbers.h"
#include "q35_hw.h"
#include "q35_model.h"
#include "race.h"
#include "report.h"

#define SECONDS 20.0
#define LEAST_GROUP 128
#define EXTRA_MB 64 /* what quantizing may take beyond its result */

/* ---- Speed --------------------------------------------------------------------------------- */

struct matrix {
	struct shape shape;
	float *weights;
	void *tiles, *meta; /* room for any format */
};

struct contestant {
	const struct matrix *matrix;
	struct format format;
	unsigned int threads;
	char name[48];
};

static int read_rows(void *context, uint32_t row, uint32_t count, float *out)
{
	const struct matrix *m = context;

	memcpy(out, m->weights + (size_t)row * m->shape.k, sizeof(*out) * count * m->shape.k);
	return 0;
}

static int quantize(void *context, size_t turn)
{
	const struct contestant *c = context;
	const struct matrix *m = c->matrix;
	struct q35_quantize_options options = {
		.format = c->format.format,
		.threads = c->threads,
		.read = read_rows,
		.context = (void *)m,
	};
	struct q35_weights w;

	(void)turn;
	format_init(&c->format, m->shape.n, m->shape.k, &w);
	if (q35_quantize(&options, &w, m->tiles, m->meta, NULL))
		return fail("%s", q35_error(NULL));
	return DONE;
}

static bool matrix_create(struct matrix *m, struct shape shape)
{
	size_t count = (size_t)shape.n * shape.k;
	struct numbers random;

	m->shape = shape;
	m->weights = map_memory(sizeof(float) * count);
	m->tiles = malloc(q35_tiles_size(shape.n, shape.k));
	m->meta = malloc(q35_meta_size(shape.n, shape.k, LEAST_GROUP, Q35_META_ZERO));
	if (!m->weights || !m->tiles || !m->meta)
		return false;
	numbers_seed(&random, 1, 0);
	numbers_fill(&random, NORMAL, m->weights, count);
	return true;
}

static void matrix_destroy(struct matrix *m)
{
	unmap_memory(m->weights, sizeof(float) * m->shape.n * m->shape.k);
	free(m->tiles);
	free(m->meta);
}

static bool report_speed(struct report *report, const struct racer *racer,
			 const struct contestant *c, double one)
{
	const struct shape shape = c->matrix->shape;
	struct row row = {.value = racer->rate, .unit = "Mweights/s", .limit = ABSENT};
	struct row core = {.value = racer->cpu_rate, .unit = "Mweights/s", .limit = ABSENT};

	if (c->threads > 1) {
		row.peer = "one thread";
		row.peer_value = one;
		row.limit = one * c->threads;
	}
	snprintf(row.name, sizeof(row.name), "%s, %ux%u", c->name, shape.n, shape.k);
	snprintf(core.name, sizeof(core.name), "%s, %ux%u, a second of processor time", c->name,
		 shape.n, shape.k);
	return report_add(report, &row) && report_add(report, &core);
}

static int bench_speed(const struct options *options, const struct matrix *m, struct report *report)
{
	unsigned int threads, most = options->threads ? options->threads : online_cpus();
	struct contestant all[RACE_MAX], *c;
	struct race race = {0};
	struct format format;
	double one = ABSENT;
	size_t f, i;
	int ret;

	for (f = 0; format_get(f, &format); f++) {
		for (threads = 1; threads <= most && race.count < RACE_MAX; threads *= 2) {
			c = &all[race.count];
			*c = (struct contestant){m, format, threads, ""};
			snprintf(c->name, sizeof(c->name), "%s, threads=%u", format.name, threads);
			race_enter(&race, c->name, quantize, c, 1e-6 * m->shape.n * m->shape.k);
		}
	}
	ret = race_run(&race, options->seconds > 0 ? options->seconds : SECONDS);
	for (i = 0; i < race.count && !ret; i++) {
		if (all[i].threads == 1)
			one = race.racers[i].rate;
		if (!report_speed(report, &race.racers[i], &all[i], one))
			ret = fail("out of memory");
	}
	return ret;
}

/* ---- Memory -------------------------------------------------------------------------------- */

#define TENSOR "weight"

struct mapped {
	struct shape shape;
	struct q35_file *file; /* BF16, as large models have it */
	const struct q35_tensor *tensor;
	double anonymous, most; /* MB of the process: at the beginning, at most */
	double seconds;
};

/* Of the process: what is its own, without the pages of mapped files. */
static double anonymous_mb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long kb = 0;
	char line[128];

	if (!f)
		return ABSENT;
	while (fgets(line, sizeof(line), f) && sscanf(line, "RssAnon: %lu kB", &kb) != 1)
		;
	fclose(f);
	return (double)kb * 1024e-6;
}

static int read_tensor(void *context, uint32_t row, uint32_t count, float *out)
{
	const struct mapped *m = context;

	return q35_tensor_read(m->tensor, row, count, out);
}

static int watch_memory(void *context, uint32_t rows)
{
	struct mapped *m = context;

	(void)rows;
	m->most = fmax(m->most, anonymous_mb());
	return 0;
}

static bool write_header(FILE *f, struct shape shape)
{
	const uint64_t bytes = (uint64_t)sizeof(uint16_t) * shape.n * shape.k;
	json_t *json = json_pack("{s:{s:s, s:[I, I], s:[i, I]}}", TENSOR, "dtype", "BF16", "shape",
				 (json_int_t)shape.n, (json_int_t)shape.k, "data_offsets", 0,
				 (json_int_t)bytes);
	char *header = json ? json_dumps(json, JSON_COMPACT) : NULL;
	uint64_t size = header ? strlen(header) : 0;
	bool written =
		header && fwrite(&size, sizeof(size), 1, f) == 1 && fwrite(header, size, 1, f) == 1;

	free(header);
	json_decref(json);
	return written;
}

/* A safetensors file with one matrix. */
static int write_matrix(FILE *f, struct shape shape)
{
	float *row = malloc(sizeof(*row) * shape.k);
	uint16_t *half = malloc(sizeof(*half) * shape.k);
	bool written = write_header(f, shape);
	struct numbers random;
	uint32_t n, k;

	for (n = 0; n < shape.n && row && half && written; n++) {
		numbers_seed(&random, 2, n);
		numbers_fill(&random, NORMAL, row, shape.k);
		for (k = 0; k < shape.k; k++)
			half[k] = q35_f32_to_bf16(row[k]);
		written = fwrite(half, sizeof(*half), shape.k, f) == shape.k;
	}
	if (!row || !half)
		written = false;
	free(row);
	free(half);
	return !fflush(f) && written ? DONE : fail("cannot write the matrix to a temporary file");
}

/* It has no name any more once it is mapped, so that nothing is left behind. */
static int map_file(struct mapped *m)
{
	const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	char path[4096];
	FILE *f;
	int fd, ret;

	snprintf(path, sizeof(path), "%s/q35-bench.XXXXXX", folder);
	fd = mkstemp(path);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		return fail("%s: %s", folder, strerror(errno));
	ret = write_matrix(f, m->shape);
	fclose(f);
	if (!ret && q35_file_open(path, &m->file))
		ret = fail("%s", q35_error(NULL));
	unlink(path);
	if (!ret)
		m->tensor = q35_file_find(m->file, TENSOR);
	return ret;
}

static bool report_memory(struct report *report, const struct mapped *m, double packed)
{
	struct row memory = {
		.value = m->most - m->anonymous,
		.unit = "MB",
		.peer = "allowed: packed size + 64 MB",
		.peer_value = packed + EXTRA_MB,
		.limit = packed,
		.better = LOWER,
	};
	struct row speed = {
		.value = 1e-6 * m->shape.n * m->shape.k / m->seconds,
		.unit = "Mweights/s",
		.limit = ABSENT,
	};

	snprintf(memory.name, sizeof(memory.name),
		 "t8, %ux%u, memory at most, from a mapped safetensors file", m->shape.n,
		 m->shape.k);
	snprintf(speed.name, sizeof(speed.name),
		 "t8, %ux%u, once, all threads, from a mapped safetensors file", m->shape.n,
		 m->shape.k);
	return report_add(report, &memory) && report_add(report, &speed);
}

static int quantize_mapped(struct mapped *m, unsigned int threads, struct report *report)
{
	struct q35_quantize_options options = {
		.format = Q35_T8,
		.threads = threads,
		.read = read_tensor,
		.progress = watch_memory,
		.context = m,
	};
	struct q35_weights w;
	void *tiles, *meta;
	int ret = DONE;

	q35_weights_init(&w, Q35_T8, m->shape.n, m->shape.k);
	tiles = malloc(q35_tiles_size(w.n, w.k));
	meta = malloc(q35_meta_size(w.n, w.k, w.group, w.meta_flags));
	m->seconds = -now();
	if (!tiles || !meta)
		ret = fail("out of memory");
	else if (q35_quantize(&options, &w, tiles, meta, NULL))
		ret = fail("%s", q35_error(NULL));
	m->seconds += now();
	if (!ret && !report_memory(report, m, 1e-6 * (double)weights_bytes(&w)))
		ret = fail("out of memory");
	free(tiles);
	free(meta);
	return ret;
}

static int bench_memory(struct shape shape, unsigned int threads, struct report *report)
{
	struct mapped m = {.shape = shape};
	int ret;

	progress("quantize: %ux%u from a mapped file", shape.n, shape.k);
	ret = map_file(&m);
	if (!ret) {
		m.anonymous = m.most = anonymous_mb();
		ret = quantize_mapped(&m, threads, report);
	}
	q35_file_close(m.file);
	return ret;
}

int bench_quantize(const struct options *options)
{
	struct shape shape = options->shape.n ? options->shape : (struct shape){4096, 4096};
	struct report *report = report_create("Quantizing", options->output);
	struct matrix matrix = {0};
	int ret;

	if (!report)
		return FAILED;
	progress("quantize: %ux%u", shape.n, shape.k);
	ret = matrix_create(&matrix, shape) ? DONE : fail("out of memory");
	if (!ret)
		ret = report_load(report, "before");
	if (!ret)
		ret = bench_speed(options, &matrix, report);
	matrix_destroy(&matrix);
	if (!ret)
		ret = bench_memory(shape, options->threads, report);
	if (!ret && options->large)
		ret = bench_memory((struct shape){8192, 28672}, options->threads, report);
	if (!ret)
		ret = report_load(report, "after");
	if (!ret)
		ret = report_finish(report);
	report_destroy(report);
	return ret;
}
