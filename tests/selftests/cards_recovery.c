// SPDX-License-Identifier: MIT
/*
 * The whole card has to be reset for one client: what the others see of it. The card must have been
 * started with x-fault=reset-fails+hang-fill+slow, with which each job takes 100 ms.
 */
#include "kselftest_harness.h"

#include "q35_test.h"

#define TIMEOUT_MS 300 /* of the guilty one */
#define BATCHES 20

FIXTURE(recovery)
{
	struct rig guilty, innocent;
};

FIXTURE_SETUP(recovery)
{
	ASSERT_EQ(0, rig_open(&self->guilty, TIMEOUT_MS));
	ASSERT_EQ(0, rig_open(&self->innocent, 2000));
}

FIXTURE_TEARDOWN(recovery)
{
	rig_close(&self->guilty);
	rig_close(&self->innocent);
}

static long card_resets(void)
{
	char path[128];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/q35/card_resets", getenv("Q35_CARD"));
	file = fopen(path, "r");
	if (file) {
		if (fscanf(file, "%ld", &value) != 1)
			value = -1;
		fclose(file);
	}
	return value;
}

/*
 * A chain in which no step may run twice after a later one has run: words move along, and are
 * logged. Of each batch i, from 1: log[i] = i, i - 1, i - 2.
 */
TEST_F_TIMEOUT(recovery, innocent_jobs_run_exactly_as_without_it, 120)
{
	const uint64_t log = BASE + MIB;
	struct drm_q35_sync sync[BATCHES + 1];
	struct drm_q35_queue_state state;
	struct q35_hw_desc hang = hang_job();
	struct drm_q35_perf_query perf;
	long before = card_resets();
	unsigned int i;

	for (i = 1; i <= BATCHES; i++) {
		struct q35_hw_desc jobs[4] = {
			copy_job(BASE + 8, BASE + 4, 4),
			copy_job(BASE + 4, BASE, 4),
			fill_job(BASE, 4, i),
			copy_job(log + 16 * i, BASE, 12),
		};

		sync[i] = (struct drm_q35_sync){DRM_Q35_SYNC_SIGNAL, sync_create(self->innocent.fd),
						0};
		ASSERT_EQ(0, submit(self->innocent.fd, self->innocent.queue, jobs, 4, &sync[i], 1));
	}
	EXPECT_EQ(-EIO, run(self->guilty.fd, self->guilty.queue, &hang, 1));
	EXPECT_EQ(before + 1, card_resets());
	ASSERT_EQ(0, queue_state(self->guilty.fd, self->guilty.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_HANG, state.status);
	EXPECT_EQ(1, sync_status(self->innocent.fd, sync[BATCHES].handle)); /* still at it */

	for (i = 1; i <= BATCHES; i++) {
		uint32_t *at = self->innocent.mem + (MIB + 16 * i) / 4;

		ASSERT_EQ(0, sync_wait(self->innocent.fd, sync[i].handle));
		EXPECT_EQ(0, sync_status(self->innocent.fd, sync[i].handle));
		EXPECT_EQ(i, at[0]);
		EXPECT_EQ(i - 1, at[1]);
		EXPECT_EQ(i < 2 ? 0 : i - 2, at[2]);
	}
	ASSERT_EQ(0, queue_state(self->innocent.fd, self->innocent.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_OK, state.status);
	ASSERT_EQ(0, perf_query(self->innocent.fd, self->innocent.queue, &perf));
	EXPECT_LE(4 * BATCHES, perf.jobs);
	EXPECT_GE(4 * BATCHES + 1, perf.jobs); /* one may have been counted and not written back */
}

/* A product of zeros that adds to its output, which is what cannot be repeated. */
static struct q35_hw_desc in_place_job(void)
{
	return (struct q35_hw_desc){
		.op = Q35_OP_GEMM,
		.flags = Q35_DESC_BARRIER,
		.gemm =
			{
				.x_va = BASE,
				.tiles_va = BASE + PAGE,
				.meta_va = BASE + 2 * PAGE,
				.codebook_va = BASE + 3 * PAGE,
				.aux_va = BASE + 4 * PAGE,
				.y_va = BASE + 4 * PAGE,
				.m = 1,
				.n = 64,
				.k = 8,
				.x_stride = 32,
				.aux_stride = 256,
				.y_stride = 256,
				.combine = Q35_HW_COMBINE_ADD,
				.window_bits = 8,
			},
	};
}

TEST_F_TIMEOUT(recovery, a_queue_that_cannot_repeat_is_lost_from_there_on, 120)
{
	struct q35_hw_desc job = in_place_job(), hang = hang_job();
	struct drm_q35_sync sync[BATCHES + 20];
	const unsigned int jobs = BATCHES + 20;
	struct drm_q35_queue_state state;
	unsigned int i, complete = 0;

	for (i = 0; i < jobs; i++) {
		sync[i] = (struct drm_q35_sync){DRM_Q35_SYNC_SIGNAL, sync_create(self->innocent.fd),
						0};
		ASSERT_EQ(0, submit(self->innocent.fd, self->innocent.queue, &job, 1, &sync[i], 1));
	}
	EXPECT_EQ(-EIO, run(self->guilty.fd, self->guilty.queue, &hang, 1));
	for (i = 0; i < jobs; i++) {
		int status;

		ASSERT_EQ(0, sync_wait(self->innocent.fd, sync[i].handle));
		status = sync_status(self->innocent.fd, sync[i].handle);
		if (!status && complete == i)
			complete++;
		else
			EXPECT_EQ(-ECANCELED, status);
	}
	ASSERT_EQ(0, queue_state(self->innocent.fd, self->innocent.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_LOST, state.status);
	EXPECT_LT(0, complete);
	EXPECT_GT(jobs, complete);
	EXPECT_EQ(complete, state.submission);
	EXPECT_EQ(-EIO, submit(self->innocent.fd, self->innocent.queue, &job, 1, NULL, 0));
}

TEST_HARNESS_MAIN
