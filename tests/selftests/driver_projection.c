// SPDX-License-Identifier: MIT
/*
 * What q35 project says of a model that fits is what the card counts when it runs that model's jobs, as
 * PERF_QUERY tells it: cycles, bytes and multiply-accumulates of a step, exactly. The card's rows,
 * decoders and launch time, which it does not tell, must be the defaults.
 */
#include "kselftest_harness.h"

#include "q35_test.h"

#include "projection.c"

#define BATCH 3
#define JOBS (1 + LAYERS * LAYER_PRODUCTS + 1)
#define LAYERS 2
#define MEMORY (4 * GIB) /* where 1 MiB of device memory is for the card */

/* No dimension is a multiple of a block. */
static const struct llm odd = {"odd", "here", LAYERS, 100, 300, 5, 3, 20, 333};

FIXTURE(projection)
{
	struct rig rig;
	struct plan plan;
};

FIXTURE_SETUP(projection)
{
	struct drm_q35_device device;
	uint32_t bo;

	ASSERT_EQ(0, rig_open(&self->rig, 0));
	ASSERT_EQ(0, bo_create(self->rig.fd, MIB, DRM_Q35_BO_DEVICE, &bo));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, bo, 0, MEMORY, MIB));
	ASSERT_EQ(0, query_device(self->rig.fd, &device));
	self->plan = (struct plan){.llm = &odd,
				   .card = {.lanes = device.lanes,
					    .rows = Q35_TIMING_ROWS,
					    .decode = Q35_TIMING_DECODE,
					    .clock_mhz = device.clock_mhz,
					    .memory_gbps = device.memory_gbps,
					    .link_gbps = device.link_gbps,
					    .launch_ns = Q35_TIMING_LAUNCH_NS},
				   .card_bytes = device.memory_size,
				   .cards = 1,
				   .batch = BATCH,
				   .context = 17};
}

FIXTURE_TEARDOWN(projection)
{
	rig_close(&self->rig);
}

/* All operands are zeros of device memory, but for y where the projection has it. */
static struct q35_hw_desc product_job(const struct q35_hw_gemm *gemm, uint64_t y)
{
	struct q35_hw_desc job = {.op = Q35_OP_GEMM, .gemm = *gemm};
	struct q35_hw_gemm *g = &job.gemm;

	g->x_va = MEMORY;
	g->tiles_va = MEMORY + 0x10000;
	g->meta_va = MEMORY + 0x60000;
	g->codebook_va = MEMORY + 0x70000;
	g->y_va = y;
	g->x_stride = g->k * q35_type_size(g->x_type);
	g->y_stride = g->n * q35_type_size(g->y_type);
	if (g->combine) {
		g->aux_va = MEMORY + 0x80000;
		g->aux_stride = g->n * q35_type_size(g->aux_type);
	}
	return job;
}

TEST_F(projection, is_what_the_card_counts)
{
	const struct attention attention = attend_each(&self->plan, BATCH);
	struct work attending = {0}, work = work_of(&self->plan, 0, BATCH, &attention, BATCH);
	struct q35_hw_gemm products[LAYER_PRODUCTS], logits = output(&self->plan, 1, BATCH);
	struct q35_hw_desc jobs[JOBS];
	struct drm_q35_perf_query perf;
	uint32_t layer, i, n = 0;

	projection_layer(&odd, 1, BATCH, products);
	jobs[n++] = copy_job(MEMORY, BASE, HALF * odd.width * BATCH); /* embeddings */
	for (layer = 0; layer < LAYERS; layer++) {
		for (i = 0; i < LAYER_PRODUCTS; i++)
			jobs[n++] = product_job(&products[i], MEMORY + 0x90000);
		add_attention(&self->plan, &attention, &attending); /* is no job of the card */
	}
	jobs[n++] = product_job(&logits, BASE + MIB);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, n));
	ASSERT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &perf));
	EXPECT_EQ(JOBS, perf.jobs);
	EXPECT_EQ(work.cycles - attending.cycles, perf.cycles);
	EXPECT_EQ(work.memory_bytes - attending.memory_bytes, perf.memory_bytes);
	EXPECT_EQ(work.link_bytes, perf.link_bytes);
	EXPECT_EQ(work.macs - attending.macs, perf.macs);
}

TEST_HARNESS_MAIN
