// SPDX-License-Identifier: MIT
/*
 * The CPU backend: executes descriptors within q35_submit(), one after the other, on the kernels
 * that also define what the card computes. Addresses are the process's own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"
#include "kernels.h"
#include "threads.h"

#define MAX_JOBS 1024
#define SCRATCH_ALIGN 64

/* Below so many multiply-accumulates, waking the pool costs more than it gains. */
#define PARALLEL_MACS (1u << 20)
/* Pieces of work a thread: the more, the less a late thread delays the others. */
#define PIECES_PER_THREAD 4

struct cpu {
	struct q35 base;
	const struct q35_kernels *kernels;
	struct q35_pool *pool;
};

struct cpu_queue {
	struct q35_queue base;
	void *scratch;
	size_t scratch_size;
	struct q35_counters counters;
};

static void *at(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static void cpu_close(struct q35 *dev)
{
	struct cpu *cpu = (struct cpu *)dev;

	q35_pool_destroy(cpu->pool);
	q35_device_fini(dev);
	free(cpu);
}

static int cpu_get_info(struct q35 *dev, struct q35_info *info)
{
	const struct cpu *cpu = (const struct cpu *)dev;

	*info = (struct q35_info){
		.name = "cpu", .queues = dev->limits.queues, .max_jobs = dev->limits.max_jobs};
	snprintf(info->isa, sizeof(info->isa), "%s", cpu->kernels->name);
	return 0;
}

static int cpu_buffer_create(struct q35 *dev, enum q35_memory where, size_t size,
			     struct q35_buffer **buf)
{
	struct q35_buffer *created = calloc(1, sizeof(*created));

	(void)where;
	if (!created)
		return q35_fail(dev, -ENOMEM, "no memory for a buffer");
	/* cppcheck-suppress invalidFunctionArg ; no file */
	created->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (created->map == MAP_FAILED) {
		free(created);
		return q35_fail(dev, -ENOMEM, "no memory for a buffer of %zu bytes", size);
	}
	/* Weights are read from end to end for every product: spare them TLB misses if possible. */
	madvise(created->map, size, MADV_HUGEPAGE);
	created->dev = dev;
	created->size = size;
	created->address = (uintptr_t)created->map;
	*buf = created;
	return 0;
}

static void cpu_buffer_destroy(struct q35_buffer *buf)
{
	munmap(buf->map, buf->size);
	free(buf);
}

static int cpu_queue_create(struct q35 *dev, unsigned int slot, unsigned int priority,
			    unsigned int timeout_ms, struct q35_queue **queue)
{
	struct cpu_queue *created = calloc(1, sizeof(*created));

	(void)slot;
	(void)priority;
	(void)timeout_ms;
	if (!created)
		return q35_fail(dev, -ENOMEM, "no memory for a queue");
	*queue = &created->base;
	return 0;
}

static void cpu_queue_destroy(struct q35_queue *queue)
{
	struct cpu_queue *cq = (struct cpu_queue *)queue;

	free(cq->scratch);
	free(cq);
}

static struct q35_product product_of(const struct q35_hw_gemm *gemm)
{
	return (struct q35_product){
		.m = gemm->m,
		.n = gemm->n,
		.k = gemm->k,
		.act_block = gemm->act_block,
		.group = gemm->group,
		.x_type = gemm->x_type,
		.aux_type = gemm->aux_type,
		.y_type = gemm->y_type,
		.activation = gemm->activation,
		.combine = gemm->combine,
		.meta_flags = gemm->meta_flags,
		.x_stride = gemm->x_stride,
		.aux_stride = gemm->aux_stride,
		.y_stride = gemm->y_stride,
		.x = at(gemm->x_va),
		.x_scale = at(gemm->x_scale_va),
		.tiles = at(gemm->tiles_va),
		.meta = at(gemm->meta_va),
		.codebook = at(gemm->codebook_va),
		.bias = at(gemm->bias_va),
		.aux = at(gemm->aux_va),
		.y = at(gemm->y_va),
	};
}

/* Grows the queue's scratch memory to what the hungriest of the descriptors needs. */
static int reserve_scratch(struct cpu_queue *cq, const struct q35_hw_desc *descs, uint32_t count)
{
	size_t size = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct q35_product product;
		size_t needed;

		if (descs[i].op != Q35_OP_GEMM)
			continue;
		product = product_of(&descs[i].gemm);
		needed = q35_scratch_size(&product);
		if (needed > size)
			size = needed;
	}
	if (size <= cq->scratch_size)
		return 0;
	free(cq->scratch);
	cq->scratch = NULL;
	cq->scratch_size = 0;
	if (posix_memalign(&cq->scratch, SCRATCH_ALIGN, size)) {
		cq->scratch = NULL;
		return q35_fail(cq->base.dev, -ENOMEM, "no memory for %zu bytes of activations",
				size);
	}
	cq->scratch_size = size;
	return 0;
}

struct gemm_run {
	const struct q35_kernels *kernels;
	struct q35_product product;
	void *scratch;
	size_t pieces; /* of the rows, then of the blocks of outputs */
};

static uint32_t piece_start(const struct gemm_run *run, uint32_t total, size_t index)
{
	return (uint32_t)(total * index / run->pieces);
}

static void prepare_piece(void *context, size_t index)
{
	const struct gemm_run *run = context;
	uint32_t m = run->product.m;

	run->kernels->prepare(&run->product, run->scratch, piece_start(run, m, index),
			      piece_start(run, m, index + 1));
}

static void gemm_piece(void *context, size_t index)
{
	const struct gemm_run *run = context;
	const struct q35_product *product = &run->product;
	uint32_t blocks = q35_div_up(product->n, Q35_BLOCK_N);
	uint32_t first = piece_start(run, blocks, index);
	size_t block_size = (size_t)q35_div_up(product->k, Q35_TILE_K) * Q35_BLOCK_BYTES;

	run->kernels->gemm(product, run->scratch, product->tiles + first * block_size, first,
			   piece_start(run, blocks, index + 1));
}

static size_t pieces_of(const struct q35_pool *pool, uint32_t total)
{
	size_t pieces = (size_t)q35_pool_threads(pool) * PIECES_PER_THREAD;

	if (!pool)
		return 1;
	return pieces < total ? pieces : total;
}

static void run_gemm(const struct cpu *cpu, struct cpu_queue *cq, const struct q35_hw_gemm *gemm)
{
	uint64_t macs = (uint64_t)gemm->m * gemm->n * gemm->k;
	struct q35_pool *pool = macs < PARALLEL_MACS ? NULL : cpu->pool;
	struct gemm_run run = {cpu->kernels, product_of(gemm), cq->scratch, 0};

	run.pieces = pieces_of(pool, gemm->m);
	q35_parallel(pool, run.pieces, prepare_piece, &run);
	run.pieces = pieces_of(pool, q35_div_up(gemm->n, Q35_BLOCK_N));
	q35_parallel(pool, run.pieces, gemm_piece, &run);
	cq->counters.macs += macs;
}

static void run_fill(const struct q35_hw_fill *fill)
{
	uint32_t *words = at(fill->dst_va);
	uint64_t i;

	for (i = 0; i < fill->size / sizeof(*words); i++)
		words[i] = fill->value;
}

static int cpu_submit(struct q35_queue *queue, const struct q35_hw_desc *descs, uint32_t count,
		      const uint64_t after[Q35_SLOTS])
{
	const struct cpu *cpu = (const struct cpu *)queue->dev;
	struct cpu_queue *cq = (struct cpu_queue *)queue;
	int64_t start = q35_now_ns();
	uint32_t i;
	int ret;

	(void)after; /* what was submitted is complete */
	ret = reserve_scratch(cq, descs, count);
	if (ret)
		return ret;
	for (i = 0; i < count; i++) {
		switch (descs[i].op) {
		case Q35_OP_GEMM:
			run_gemm(cpu, cq, &descs[i].gemm);
			break;
		case Q35_OP_COPY:
			memcpy(at(descs[i].copy.dst_va), at(descs[i].copy.src_va),
			       descs[i].copy.size);
			break;
		case Q35_OP_FILL:
			run_fill(&descs[i].fill);
			break;
		}
	}
	cq->counters.jobs += count;
	cq->counters.busy_ns += q35_now_ns() - start;
	return 0;
}

static int cpu_wait(struct q35_queue *queue, uint64_t point, int64_t deadline_ns)
{
	(void)queue;
	(void)point;
	(void)deadline_ns;
	return 0;
}

static void cpu_drain(struct q35 *dev, unsigned int slot, uint64_t point)
{
	(void)dev;
	(void)slot;
	(void)point;
}

static int cpu_get_counters(struct q35_queue *queue, struct q35_counters *counters)
{
	*counters = ((const struct cpu_queue *)queue)->counters;
	return 0;
}

static const struct q35_backend cpu_backend = {
	.close = cpu_close,
	.get_info = cpu_get_info,
	.buffer_create = cpu_buffer_create,
	.buffer_destroy = cpu_buffer_destroy,
	.queue_create = cpu_queue_create,
	.queue_destroy = cpu_queue_destroy,
	.submit = cpu_submit,
	.wait = cpu_wait,
	.drain = cpu_drain,
	.get_counters = cpu_get_counters,
};

static const struct q35_limits cpu_limits = {
	.queues = Q35_SLOTS,
	.max_jobs = MAX_JOBS,
	.max_after = Q35_SLOTS,
	.windows = 1u << Q35_WINDOW_BITS,
	.act_blocks = 128 | 64 | 32 | 1,
	.dim_order_max = Q35_DIM_ORDER_MAX,
};

int q35_cpu_open(struct q35 **dev)
{
	const struct q35_kernels *kernels = q35_kernels_get();
	const char *isa = getenv("Q35_ISA");
	struct cpu *cpu;
	int ret;

	if (!kernels)
		return q35_fail(NULL, -EINVAL,
				"Q35_ISA=%.16s names no kernels, or some that this processor lacks",
				isa ? isa : "");
	cpu = calloc(1, sizeof(*cpu));
	if (!cpu)
		return q35_fail(NULL, -ENOMEM, "no memory to open the CPU backend");
	cpu->kernels = kernels;
	ret = q35_pool_create(0, &cpu->pool);
	if (ret) {
		free(cpu);
		return q35_fail(NULL, ret, "the CPU backend's threads: %s", strerror(-ret));
	}
	q35_device_init(&cpu->base, &cpu_backend, &cpu_limits);
	*dev = &cpu->base;
	return 0;
}
