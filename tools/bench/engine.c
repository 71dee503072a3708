// SPDX-License-Identifier: MIT
/*
 * q35-bench engine: the emulated card's engine beside libq35's CPU backend, both given the same
 * descriptors on the same memory, with as many threads. The card is driven without QEMU and guest:
 * what is measured goes from the doorbell to the interrupt.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "bare_card.h"
#include "device.h"
#include "numbers.h"
#include "race.h"
#include "report.h"
#include "speed.h"

#define SECONDS 4.0
#define SIXTEENTH 0x2c00 /* fp16 */
#define JOBS_MAX 8 /* in a submission; a layer of a model has some of each kind */
#define MEMORY_MAX CARD_SYSTEM_VA /* there begins what is not memory */
#define CARD "card's engine"
#define CPU "CPU backend"

_Static_assert(JOBS_MAX <= CARD_BATCH_MAX, "the card is given them at once");

struct bench {
	struct setting setting;
	uint32_t jobs;
	/* Device memory: codebook and scales, then weights. System memory: x, then y of each job for each. */
	char *memory, *system;
	uint64_t memory_size, system_size, weights_at, x_size, y_size;
	struct card *card;
	struct q35 *cpu;
	struct q35_queue *cpu_queue;
	struct report *report;
};

/* The turn's product with addresses that memory and system have. */
static struct q35_hw_desc product(const struct bench *b, uint64_t memory, uint64_t system,
				  uint64_t y_at, size_t turn)
{
	const struct setting *s = &b->setting;
	const uint64_t size = q35_weights_bytes(s->n, s->k) / 64 * 64 + 64;
	const uint64_t places = (b->memory_size - b->weights_at) / size;

	return (struct q35_hw_desc){
		.op = Q35_OP_GEMM,
		.gemm = {.x_va = system,
			 .tiles_va = memory + b->weights_at + turn % places * size,
			 .meta_va = memory + Q35_CODEBOOK_BYTES,
			 .codebook_va = memory,
			 .y_va = system + b->x_size + y_at,
			 .m = s->m,
			 .n = s->n,
			 .k = s->k,
			 .x_stride = (uint32_t)sizeof(float) * s->k,
			 .y_stride = (uint32_t)sizeof(float) * s->n,
			 .act_block = ACT_BLOCK,
			 .window_bits = Q35_WINDOW_BITS},
	};
}

static int run_card(void *bench, size_t turn)
{
	const struct bench *b = bench;
	struct q35_hw_desc descs[JOBS_MAX];
	uint32_t i;

	for (i = 0; i < b->jobs; i++)
		descs[i] = product(b, CARD_MEMORY_VA, CARD_SYSTEM_VA, i * b->y_size,
				   turn * b->jobs + i);
	return card_run(b->card, descs, b->jobs);
}

static int run_cpu(void *bench, size_t turn)
{
	static const uint64_t after[Q35_SLOTS];
	const struct bench *b = bench;
	struct q35_hw_desc descs[JOBS_MAX];
	uint32_t i;

	for (i = 0; i < b->jobs; i++)
		descs[i] = product(b, (uintptr_t)b->memory, (uintptr_t)b->system,
				   (b->jobs + i) * b->y_size, turn * b->jobs + i);
	return b->cpu->backend->submit(b->cpu_queue, descs, b->jobs, after)
		       ? fail("%s", q35_error(b->cpu))
		       : DONE;
}

/* The backend takes a thread for each processor that it may use. */
static int open_cpu(struct bench *b)
{
	unsigned int cpu, chosen = 0;
	cpu_set_t all, set;
	int ret;

	if (sched_getaffinity(0, sizeof(all), &all))
		return fail("cannot choose processors");
	CPU_ZERO(&set);
	for (cpu = 0; cpu < CPU_SETSIZE && chosen < b->setting.threads; cpu++)
		if (CPU_ISSET(cpu, &all)) {
			CPU_SET(cpu, &set);
			chosen++;
		}
	sched_setaffinity(0, sizeof(set), &set);
	ret = q35_cpu_open(&b->cpu);
	sched_setaffinity(0, sizeof(all), &all);
	if (ret || q35_queue_create(b->cpu, 0, 0, &b->cpu_queue))
		return fail("%s", q35_error(b->cpu));
	return DONE;
}

static bool add(struct bench *b, const char *of, double card, double cpu)
{
	const struct setting *s = &b->setting;
	struct row row = {
		.value = card, .unit = "GMAC/s", .peer = CPU, .peer_value = cpu, .limit = ABSENT};

	snprintf(row.name, sizeof(row.name), CARD "%s, %ux%u, m=%u, threads=%u, jobs=%u", of, s->n,
		 s->k, s->m, s->threads, b->jobs);
	return report_add(b->report, &row);
}

static int race(struct bench *b, double seconds)
{
	const struct setting *s = &b->setting;
	const double macs = 1e-9 * s->m * s->n * s->k * b->jobs;
	const char *y = b->system + b->x_size;
	struct racer *card, *cpu;
	struct race race = {0};

	card = race_enter(&race, CARD, run_card, b, macs);
	cpu = race_enter(&race, CPU, run_cpu, b, macs);
	if (run_card(b, 0) || run_cpu(b, 0))
		return FAILED;
	if (memcmp(y, y + b->jobs * b->y_size, b->jobs * b->y_size))
		return fail("the card's results are not the CPU backend's");
	if (race_run(&race, seconds))
		return FAILED;
	/* Time that passes counts; what processors spend holds on a busy machine too. */
	if (add(b, "", card->rate, cpu->rate) &&
	    add(b, ", a second of processor time", card->cpu_rate, cpu->cpu_rate))
		return DONE;
	return fail("out of memory");
}

static int run_setting(struct bench *b, const struct setting *s, double seconds)
{
	int ret;

	progress("engine: %ux%u, m=%u, threads=%u", s->n, s->k, s->m, s->threads);
	b->setting = *s;
	b->x_size = sizeof(float) * s->m * s->k;
	b->y_size = sizeof(float) * s->m * s->n;
	b->card = card_create(b->memory, b->memory_size, b->system, b->system_size, s->threads);
	ret = !b->card || open_cpu(b) ? FAILED : DONE;
	/* One alone shows what it costs to wake the card's threads and to be woken. */
	for (b->jobs = 1; !ret && b->jobs <= JOBS_MAX; b->jobs *= JOBS_MAX)
		ret = race(b, seconds / 2);
	q35_queue_destroy(b->cpu_queue);
	q35_close(b->cpu);
	card_destroy(b->card);
	b->cpu_queue = NULL;
	b->cpu = NULL;
	b->card = NULL;
	return ret;
}

static int open_memory(struct bench *b, const struct options *options, const struct shape *shapes,
		       size_t count, uint32_t rows)
{
	struct q35_weights format;
	uint64_t widest = 0, meta = 0, weights = 0, wanted;
	size_t i;

	for (i = 0; i < count; i++) {
		const uint64_t size = q35_weights_bytes(shapes[i].n, shapes[i].k);

		weights = size > weights ? size : weights;
		widest = shapes[i].n + shapes[i].k > widest ? shapes[i].n + shapes[i].k : widest;
		meta = q35_meta_size(shapes[i].n, 1, 0, 0) > meta
			       ? q35_meta_size(shapes[i].n, 1, 0, 0)
			       : meta;
	}
	b->weights_at = Q35_CODEBOOK_BYTES + meta;
	wanted = b->weights_at + weights + 64;
	if (wanted < working_set(options))
		wanted = working_set(options);
	for (b->memory_size = 2u << 20; b->memory_size < wanted && b->memory_size < MEMORY_MAX;)
		b->memory_size *= 2;
	b->system_size = (sizeof(float) * rows * 2 * JOBS_MAX * widest + 4095) / 4096 * 4096;
	b->memory = map_memory(b->memory_size);
	b->system = map_memory(b->system_size);
	if (!b->memory || !b->system)
		return fail("no memory for a card of %llu MB",
			    (unsigned long long)b->memory_size >> 20);
	q35_weights_init(&format, Q35_T8, 64, 8);
	fill_floats((float *)b->memory, b->memory_size / sizeof(float), 37);
	fill_floats((float *)b->system, b->system_size / sizeof(float), 36);
	memcpy(b->memory, format.codebook, Q35_CODEBOOK_BYTES);
	for (i = 0; i < meta / sizeof(uint16_t); i++)
		((uint16_t *)(b->memory + Q35_CODEBOOK_BYTES))[i] = SIXTEENTH;
	return DONE;
}

static int run(struct bench *b, const struct options *options)
{
	static const struct shape usual[] = {{4096, 4096}, {4096, 11008}};
	static const uint32_t rows[] = {1, 32, 128};
	const struct shape *shapes = options->shape.n ? &options->shape : usual;
	const size_t count = options->shape.n ? 1 : 2;
	const unsigned int most = options->threads ? options->threads : 2;
	/* More than processors, the CPU backend does not take. */
	const unsigned int threads = most < online_cpus() ? most : online_cpus();
	const double seconds = options->seconds > 0 ? options->seconds : SECONDS;
	struct setting s;
	size_t i, m;
	int ret;

	progress("engine: filling memory with weights");
	if (open_memory(b, options, shapes, count, rows[2]) || report_load(b->report, "before"))
		return FAILED;
	for (i = 0; i < count; i++)
		for (m = 0; m < 3; m++)
			for (s = (struct setting){rows[m], shapes[i].n, shapes[i].k, 1};
			     s.threads <= threads && s.threads <= CARD_THREADS_MAX;
			     s.threads *= 2) {
				ret = run_setting(b, &s, seconds);
				if (ret)
					return ret;
			}
	return report_load(b->report, "after");
}

int bench_engine(const struct options *options)
{
	struct bench b = {0};
	int ret;

	b.report = report_create("The card's engine, weights in device memory", options->output);
	if (!b.report)
		return FAILED;
	ret = run(&b, options);
	unmap_memory(b.memory, b.memory_size);
	unmap_memory(b.system, b.system_size);
	if (!ret)
		ret = report_finish(b.report);
	report_destroy(b.report);
	return ret;
}
