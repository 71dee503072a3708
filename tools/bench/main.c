// SPDX-License-Identifier: MIT
/* q35-bench: the command line. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define DIM_MAX 131072

static const struct {
	const char *name;
	int (*run)(const struct options *options);
	const char *summary;
} benches[] = {
	{"quality", bench_quality, "error and bits per weight, beside INT4 and theory"},
	{"perplexity", bench_perplexity, "what a model loses by its format, beside INT4 and ggml"},
	{"gemv", bench_gemv, "one row of activations times weights that no cache holds"},
	{"gemm", bench_gemm, "1, 8, 32 and 128 rows of activations"},
	{"engine", bench_engine, "the emulated card's engine beside the CPU backend"},
	{"quantize", bench_quantize, "weights a second, scaling with threads, memory"},
};

#define BENCHES (sizeof(benches) / sizeof(benches[0]))

int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("q35-bench: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return FAILED;
}

void progress(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("... ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

unsigned int online_cpus(void)
{
	cpu_set_t set;

	if (!sched_getaffinity(0, sizeof(set), &set))
		return (unsigned int)CPU_COUNT(&set);
	return (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
}

void *map_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

void unmap_memory(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

static void print_help(void)
{
	size_t i;

	printf("usage: q35-bench BENCHMARK [OPTION]...\n\n"
	       "Measures libq35 beside its peers, all in one run, and prints a table. A ratio above 1\n"
	       "is better than the peer; the share of the limit is 1 at best. Times are medians.\n\n");
	for (i = 0; i < BENCHES; i++)
		printf("  %-11s%s\n", benches[i].name, benches[i].summary);
	printf("\n"
	       "  -o, --json FILE      write the rows there as well, as JSON\n"
	       "  -s, --shape NxK      outputs times inputs, instead of the usual ones\n"
	       "  -m, --model FILE     quality of real weights as well, GGUF or safetensors; repeatable\n"
	       "  -t, --threads N      up to so many\n"
	       "  -S, --seconds T      for each setting\n"
	       "      --working-set B  bytes of weights in use; default: twice the last-level cache\n"
	       "      --ggml FILE      a peer as well: what tools/bench/ggml/build.sh has built\n"
	       "      --large          layers of LLaMA-70B as well\n"
	       "  -h, --help           this text\n\n"
	       "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}

static int usage(const char *what, const char *value)
{
	fail("%s%s; see q35-bench --help", what, value);
	return USAGE;
}

static bool parse_integer(const char *text, uint64_t most, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && end != text && !*end && !strchr(text, '-') && *value && *value <= most;
}

static bool parse_shape(const char *text, struct shape *shape)
{
	char end;

	return sscanf(text, "%ux%u%c", &shape->n, &shape->k, &end) == 2 && shape->n && shape->k &&
	       shape->n <= DIM_MAX && shape->k <= DIM_MAX;
}

static int parse(int argc, char **argv, struct options *o)
{
	enum { WORKING_SET = 256, GGML, LARGE };
	static const struct option options[] = {
		{"json", required_argument, NULL, 'o'},
		{"shape", required_argument, NULL, 's'},
		{"model", required_argument, NULL, 'm'},
		{"threads", required_argument, NULL, 't'},
		{"seconds", required_argument, NULL, 'S'},
		{"working-set", required_argument, NULL, WORKING_SET},
		{"ggml", required_argument, NULL, GGML},
		{"large", no_argument, NULL, LARGE},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	uint64_t value;
	char *end;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:s:m:t:S:h", options, NULL)) >= 0) {
		switch (c) {
		case 'o':
			o->output = optarg;
			break;
		case 's':
			if (!parse_shape(optarg, &o->shape))
				return usage("not a shape: ", optarg);
			break;
		case 'm':
			if (o->model_count == MODELS_MAX)
				return usage("too many models: ", optarg);
			o->models[o->model_count++] = optarg;
			break;
		case 't':
			if (!parse_integer(optarg, 1024, &value))
				return usage("not a number of threads: ", optarg);
			o->threads = (unsigned int)value;
			break;
		case 'S':
			o->seconds = strtod(optarg, &end);
			if (end == optarg || *end || !(o->seconds > 0 && o->seconds < 1e6))
				return usage("not a number of seconds: ", optarg);
			break;
		case WORKING_SET:
			if (!parse_integer(optarg, UINT64_MAX, &o->working_set))
				return usage("not a number of bytes: ", optarg);
			break;
		case GGML:
			o->ggml = optarg;
			break;
		case LARGE:
			o->large = true;
			break;
		case 'h':
			print_help();
			return -1;
		case ':':
			return usage(argv[optind - 1], " needs a value");
		default:
			return usage("no such option: ", argv[optind - 1]);
		}
	}
	return DONE;
}

static int run(int argc, char **argv)
{
	struct options options = {0};
	int ret = parse(argc, argv, &options);
	size_t i;

	if (ret)
		return ret < 0 ? DONE : ret;
	if (optind != argc - 1)
		return usage("it takes the name of one benchmark", "");
	for (i = 0; i < BENCHES; i++)
		if (!strcmp(argv[optind], benches[i].name))
			return benches[i].run(&options);
	return usage("no such benchmark: ", argv[optind]);
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);

	if (fflush(stdout) || ferror(stdout))
		return status ? status : fail("standard output: cannot be written");
	return status;
}
