/* SPDX-License-Identifier: MIT */
/* What the benchmarks share: the command line, messages, memory, time. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_status {
	DONE = 0,
	FAILED = 1,
	USAGE = 2,
};

struct shape {
	uint32_t n, k;
};

#define MODELS_MAX 8

/* 0 and NULL stand for the benchmark's own choice. */
struct options {
	struct shape shape;
	unsigned int threads; /* the most */
	double seconds; /* for each setting that is measured */
	uint64_t working_set; /* bytes of weights, to be far more than caches hold */
	const char *models[MODELS_MAX]; /* files with real weights */
	size_t model_count;
	const char *ggml; /* shared object of ggml/build.sh */
	const char *output; /* JSON; NULL: none */
	bool large;
};

int bench_quality(const struct options *options);
int bench_gemv(const struct options *options);
int bench_gemm(const struct options *options);
int bench_perplexity(const struct options *options);
int bench_quantize(const struct options *options);
int bench_engine(const struct options *options);

/* One line on stderr; returns FAILED. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What is being done now, one line on stderr. */
void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

double now(void); /* seconds of CLOCK_MONOTONIC */
unsigned int online_cpus(void);

/* Page-aligned, zeroed, of huge pages where possible, as libq35's own buffers are; NULL: no memory. */
void *map_memory(size_t size);
void unmap_memory(void *memory, size_t size);

#endif /* BENCH_H */
