// SPDX-License-Identifier: MIT
/*
 * q35-bench gemv and gemm. The limit of a product is the lower of two: reading the weights, and
 * multiplying; both are measured along with it.
 */
#include "speed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ggml_peer.h"
#include "int4.h"
#include "machine.h"
#include "openblas.h"
#include "report.h"

#define SECONDS 3.0
#define LEAST_WORKING_SET (256ull << 20)
#define SCALAR "scalar"
#define SCALAR_N 256 /* outputs */
#define INT4 "own INT4"

static const struct shape small_shapes[] = {{4096, 4096}, {11008, 4096}, {4096, 11008}};
static const struct shape large_shapes[] = {{8192, 8192}, {28672, 8192}, {8192, 28672}};

struct ggml_contestant {
	const struct ggml_peer *peer;
	struct ggml_product *product;
	const struct ground *ground;
	char name[64];
};

#define GGML_CONTESTANTS (2 * GGML_PEER_KINDS) /* repacked or not */

struct bench {
	const char *name;
	const uint32_t *rows; /* m, ending with 0 */
	double seconds;
	unsigned int threads;
	bool odd; /* odd shapes as well */
	struct report *report;
	struct ground ground;
	bool int4; /* takes part */
	char openblas[64];
	struct format formats[FORMATS_MAX];
	size_t format_count;
	struct q35_contestant contestants[FORMATS_MAX + 1]; /* the last one the scalar one */
	const struct ggml_peer *ggml; /* or NULL */
	struct ggml_contestant ggml_contestants[GGML_CONTESTANTS];
	size_t ggml_count;
};

uint64_t working_set(const struct options *options)
{
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);
	uint64_t most = pages * (uint64_t)sysconf(_SC_PAGESIZE) / 8, size = LEAST_WORKING_SET;
	long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);

	if (options->working_set)
		return options->working_set;
	if (cache > 0 && 2 * (uint64_t)cache > size)
		size = 2 * (uint64_t)cache;
	return size < most ? size : most;
}

static double macs(const struct setting *s, uint32_t n)
{
	return 1e-9 * s->m * n * s->k;
}

static int run_ggml(void *contestant, size_t turn)
{
	const struct ggml_contestant *c = contestant;

	if (c->peer->run(c->product,
			 ground_weights(c->ground, c->peer->weights_size(c->product), turn)))
		return DONE;
	return fail("%s: ggml failed", c->name);
}

static void enter_ggml(struct race *race, struct bench *b, int kind, bool repacked)
{
	struct ggml_contestant *c = &b->ggml_contestants[b->ggml_count];
	const struct setting *s = &b->ground.setting;

	c->product = b->ggml->open(kind, repacked, s->m, s->n, s->k, s->threads, b->ground.x);
	if (!c->product)
		return;
	c->peer = b->ggml;
	c->ground = &b->ground;
	snprintf(c->name, sizeof(c->name), "ggml %s%s (act_block=%u)", b->ggml->kinds[kind].name,
		 repacked ? " repacked" : "", b->ggml->kinds[kind].act_block);
	race_enter(race, c->name, run_ggml, c, macs(s, s->n));
	b->ggml_count++;
}

static void close_ggml(struct bench *b)
{
	while (b->ggml_count)
		b->ggml->close(b->ggml_contestants[--b->ggml_count].product);
}

static void enter_all(struct race *race, struct bench *b)
{
	struct ground *g = &b->ground;
	const struct setting *s = &g->setting;
	double product = macs(s, s->n), bytes = 1e-9 * (double)q35_weights_bytes(s->n, s->k);
	struct q35_contestant *c;
	int kind;

	for (c = b->contestants; c < b->contestants + b->format_count; c++) {
		*c = (struct q35_contestant){g, q35_kernels_get(), &b->formats[c - b->contestants],
					     s->n};
		race_enter(race, c->format->name, run_q35, c, product);
	}
	*c = (struct q35_contestant){g, &q35_kernels_ref, b->formats,
				     s->n < SCALAR_N ? s->n : SCALAR_N};
	race_enter(race, SCALAR, run_q35, c, macs(s, c->outputs));
	if (b->int4)
		race_enter(race, INT4, run_int4, g, product);
	if (g->has_openblas)
		race_enter(race, b->openblas, run_openblas, g, product);
	race_enter(race, "read", run_read, g, bytes);
	race_enter(race, "read ahead", run_read_ahead, g, bytes);
	race_enter(race, "multiply", run_multiply, g, 1e-9 * machine_multiply() * s->threads);
	for (kind = 0; b->ggml && kind < GGML_PEER_KINDS; kind++) {
		enter_ggml(race, b, kind, false);
		enter_ggml(race, b, kind, true);
	}
}

/* Adds a row, unless one of the two has not taken part. */
static bool add(struct bench *b, const struct race *race, const char *name, const char *peer,
		double limit)
{
	const struct setting *s = &b->ground.setting;
	struct row row = {
		.value = race_rate(race, name),
		.unit = "GMAC/s",
		.peer = peer,
		.peer_value = peer ? race_rate(race, peer) : ABSENT,
		.limit = limit,
	};

	if (isnan(row.value) || (peer && isnan(row.peer_value)))
		return true;
	snprintf(row.name, sizeof(row.name), "%s, %ux%u, m=%u, threads=%u, act_block=%d", name,
		 s->n, s->k, s->m, s->threads, ACT_BLOCK);
	return report_add(b->report, &row);
}

static bool add_limit(struct bench *b, const char *name, double value, const char *unit)
{
	const struct setting *s = &b->ground.setting;
	struct row row = {.value = value, .unit = unit, .limit = ABSENT};

	snprintf(row.name, sizeof(row.name), "limit: %s, beside %ux%u, m=%u, threads=%u", name,
		 s->n, s->k, s->m, s->threads);
	return report_add(b->report, &row);
}

/* In GMAC/s, for weights of so many bytes. */
static double limit_of(const struct setting *s, double gbytes, double multiply, size_t bytes)
{
	double by_memory = gbytes * macs(s, s->n) / (1e-9 * (double)bytes);

	return by_memory < multiply ? by_memory : multiply;
}

/* Those that are there to be fast; of the others one comparison says enough. */
static bool meets_all(const struct format *f)
{
	return !f->group && (f->format == Q35_T8 || f->format == Q35_T7);
}

static int report_race(struct bench *b, const struct race *race)
{
	const struct setting *s = &b->ground.setting;
	double gbytes = fmax(race_rate(race, "read"), race_rate(race, "read ahead"));
	double multiply = race_rate(race, "multiply"), limit;
	struct q35_weights w;
	bool ok = true;
	size_t f, i;

	for (f = 0; f < b->format_count; f++) {
		format_init(&b->formats[f], s->n, s->k, &w);
		limit = limit_of(s, gbytes, multiply, weights_bytes(&w));
		if (!meets_all(&b->formats[f])) {
			ok = ok && add(b, race, b->formats[f].name, b->int4 ? INT4 : SCALAR, limit);
			continue;
		}
		ok = ok && add(b, race, b->formats[f].name, INT4, limit) &&
		     add(b, race, b->formats[f].name, SCALAR, limit) &&
		     add(b, race, b->formats[f].name, b->openblas, limit);
		for (i = 0; i < b->ggml_count && ok; i++)
			ok = add(b, race, b->formats[f].name, b->ggml_contestants[i].name, limit);
	}
	limit = limit_of(s, gbytes, multiply, int4_codes_size(s->n, s->k));
	ok = ok && add(b, race, INT4, NULL, limit) && add_limit(b, "reading", gbytes, "GB/s") &&
	     add_limit(b, "multiplying bytes", multiply, "GMAC/s");
	return ok ? DONE : fail("out of memory");
}

static int run_setting(struct bench *b, const struct setting *s)
{
	struct race race = {0};
	int ret;

	progress("%s: %ux%u, m=%u, threads=%u", b->name, s->n, s->k, s->m, s->threads);
	ret = ground_set(&b->ground, s);
	if (ret)
		return ret;
	enter_all(&race, b);
	ret = race_run(&race, b->seconds);
	if (!ret)
		ret = report_race(b, &race);
	close_ggml(b);
	ground_clear(&b->ground);
	return ret;
}

static int run_shapes(struct bench *b, const struct shape *shapes, size_t count)
{
	struct setting s;
	size_t i;
	int m, ret = DONE;

	for (i = 0; i < count; i++) {
		for (m = 0; b->rows[m]; m++) {
			s = (struct setting){b->rows[m], shapes[i].n, shapes[i].k, 1};
			for (; s.threads <= b->threads && !ret; s.threads *= 2)
				ret = run_setting(b, &s);
		}
	}
	return ret;
}

/* ---- Odd shapes ---------------------------------------------------------------------------- */

static int report_odd(struct bench *b, const struct race *race, const struct setting *odd,
		      const struct setting *even)
{
	struct row row = {
		.value = race->racers[0].rate,
		.unit = "products/s",
		.peer_value = race->racers[1].rate,
		.limit = ABSENT,
	};
	char peer[64];

	snprintf(row.name, sizeof(row.name), "odd shape: t8, %ux%u, m=%u, threads=%u", odd->n,
		 odd->k, odd->m, odd->threads);
	snprintf(peer, sizeof(peer), "%ux%u, m=%u", even->n, even->k, even->m);
	row.peer = peer;
	return report_add(b->report, &row) ? DONE : fail("out of memory");
}

/* T8 against itself with the shape just above that is even in all dimensions: it should be no slower. */
static int run_odd(struct bench *b, const struct shape *shape, uint32_t m)
{
	const struct setting settings[2] = {
		{m, shape->n > 1 ? shape->n - 1 : 1, shape->k + 1, 1},
		{m + 1, shape->n, shape->k, 1},
	};
	struct ground grounds[2] = {b->ground, b->ground};
	struct q35_contestant contestants[2];
	struct race race = {0};
	int i, ret = DONE;

	progress("%s: %ux%u, m=%u", b->name, settings[0].n, settings[0].k, m);
	for (i = 0; i < 2 && !ret; i++) {
		contestants[i] = (struct q35_contestant){&grounds[i], q35_kernels_get(), b->formats,
							 settings[i].n};
		race_enter(&race, b->formats->name, run_q35, &contestants[i], 1);
		ret = ground_set(&grounds[i], &settings[i]);
	}
	if (!ret)
		ret = race_run(&race, b->seconds);
	if (!ret)
		ret = report_odd(b, &race, &settings[0], &settings[1]);
	for (i = 0; i < 2; i++)
		ground_clear(&grounds[i]);
	return ret;
}

static int run_odd_shapes(struct bench *b, const struct shape *shape)
{
	static const uint32_t rows[] = {1, 3, 7, 9, 31, 33, 127};
	size_t i;
	int ret = DONE;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]) && !ret; i++)
		ret = run_odd(b, shape, rows[i]);
	return ret;
}

static int run(struct bench *b, const struct options *options)
{
	struct shape largest =
		options->large ? (struct shape){28672, 8192} : (struct shape){11008, 4096};
	uint64_t size = working_set(options);
	int ret;

	/* It would be unfair to kernels that have been told to do with less. */
	b->int4 = int4_supported() && q35_kernels_get() == &q35_kernels_avx512;
	if (b->int4 && !int4_agrees())
		return fail("the INT4 peer computes wrong results");
	if (!b->int4)
		progress("no INT4 peer: it needs AVX-512 with VNNI");
	while (b->format_count < FORMATS_MAX &&
	       format_get(b->format_count, &b->formats[b->format_count]))
		b->format_count++;
	progress("%s: filling %llu MB with weights", b->name, (unsigned long long)size >> 20);
	b->ggml = ggml_peer_load(options->ggml);
	if (options->shape.n)
		largest = options->shape;
	ret = ground_open(&b->ground, size, &largest);
	if (ret)
		return ret;
	snprintf(b->openblas, sizeof(b->openblas), "OpenBLAS f32 (%s)",
		 b->ground.has_openblas ? openblas_kernels() : "none");
	if (report_load(b->report, "before"))
		return FAILED;
	if (options->shape.n)
		ret = run_shapes(b, &options->shape, 1);
	else
		ret = run_shapes(b, small_shapes, 3);
	if (!ret && options->large && !options->shape.n)
		ret = run_shapes(b, large_shapes, 3);
	if (!ret && b->odd)
		ret = run_odd_shapes(b, options->shape.n ? &options->shape : small_shapes);
	return ret ? ret : report_load(b->report, "after");
}

static int bench(const char *name, const char *title, const uint32_t *rows,
		 const struct options *options)
{
	unsigned int cpus = online_cpus();
	char heading[96];
	struct bench b = {
		.name = name,
		.rows = rows,
		.odd = rows[1],
		.seconds = options->seconds > 0 ? options->seconds : SECONDS,
		.threads = options->threads ? options->threads
			   : cpus < 2	    ? cpus
					    : 2,
	};
	int ret;

	if (!q35_kernels_get())
		return fail("Q35_ISA names no kernels, or some that this processor lacks");
	snprintf(heading, sizeof(heading), "%s, %s kernels", title, q35_kernels_get()->name);
	b.report = report_create(heading, options->output);
	if (!b.report)
		return FAILED;
	ret = run(&b, options);
	ground_close(&b.ground);
	if (!ret)
		ret = report_finish(b.report);
	report_destroy(b.report);
	return ret;
}

int bench_gemv(const struct options *options)
{
	static const uint32_t rows[] = {1, 0};

	return bench("gemv", "Matrix times vector, weights in memory", rows, options);
}

int bench_gemm(const struct options *options)
{
	static const uint32_t rows[] = {1, 8, 32, 128, 0};

	return bench("gemm", "Matrix times vectors, weights in memory", rows, options);
}
