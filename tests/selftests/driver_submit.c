// SPDX-License-Identifier: MIT
/*
 * Submission: what jobs do, in which order, and how one learns of it. The card must have been started with
 * x-fault=hang-fill.
 */
#include "kselftest_harness.h"

#include "format.h"
#include "q35_test.h"

FIXTURE(submit)
{
	struct rig rig;
};

FIXTURE_SETUP(submit)
{
	ASSERT_EQ(0, rig_open(&self->rig, 0));
}

FIXTURE_TEARDOWN(submit)
{
	rig_close(&self->rig);
}

TEST_F(submit, fill_copy_fence_and_timestamp_do_what_they_say)
{
	const struct q35_hw_desc jobs[] = {
		time_job(BASE + 64),
		fill_job(BASE + 4096, 4096, 0xc0ffee),
		copy_job(BASE + 8192 + 3, BASE + 4096, 1001),
		fence_job(BASE + 72, 0x123456789abcdefull),
		time_job(BASE + 80),
	};
	const uint64_t *times = (const uint64_t *)(self->rig.mem + 16);
	const uint8_t *bytes = (const uint8_t *)self->rig.mem;

	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, 5));
	EXPECT_EQ(0, self->rig.mem[1023]);
	EXPECT_EQ(0xc0ffee, self->rig.mem[1024]);
	EXPECT_EQ(0xc0ffee, self->rig.mem[2047]);
	EXPECT_EQ(0, bytes[8192 + 2]);
	EXPECT_EQ(0, memcmp(bytes + 8192 + 3, bytes + 4096, 1001));
	EXPECT_EQ(0, bytes[8192 + 3 + 1001]);
	EXPECT_EQ(0x123456789abcdefull, times[1]);
	EXPECT_LT(0, times[0]);
	EXPECT_LE(times[0], times[2]);
}

/* All codes of the weights are the window 0: 2 at even inputs, -1 at odd ones. */
TEST_F(submit, gemm_multiplies)
{
	enum { M = 2, N = 64, K = 128 };
	enum { TILES = 0, META = 32768, CODEBOOK = 36864, X = 40960, SCALES = 49152, Y = 53248 };
	struct q35_hw_desc job = {.op = Q35_OP_GEMM};
	uint8_t *mem = (uint8_t *)self->rig.mem;
	const float *y = (const float *)(mem + Y);
	struct drm_q35_perf_query perf;
	unsigned int m, n;

	job.gemm = (struct q35_hw_gemm){
		.x_va = BASE + X,
		.x_scale_va = BASE + SCALES,
		.tiles_va = BASE + TILES,
		.meta_va = BASE + META,
		.codebook_va = BASE + CODEBOOK,
		.y_va = BASE + Y,
		.m = M,
		.n = N,
		.k = K,
		.x_stride = K,
		.y_stride = N * 4,
		.x_type = Q35_HW_I8,
		.y_type = Q35_HW_F32,
		.window_bits = 8,
	};
	for (n = 0; n < N; n++)
		((uint16_t *)(mem + META))[n] = 0x3c00; /* 1.0 */
	mem[CODEBOOK] = 2;
	mem[CODEBOOK + 256] = 0xff;
	for (m = 0; m < M; m++) {
		memset(mem + X + m * K, m + 1, K);
		((float *)(mem + SCALES))[m] = 0.5f;
	}
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	for (m = 0; m < M; m++)
		for (n = 0; n < N; n++)
			ASSERT_EQ(32.f * (m + 1), y[m * N + n]);

	ASSERT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &perf));
	EXPECT_EQ(M * N * K, perf.macs);
	EXPECT_EQ(1, perf.jobs);
	EXPECT_LT(0, perf.cycles);
	EXPECT_LT(q35_format_tiles_size(N, K), perf.link_bytes);
}

/* Each reads what the one before it wrote. */
TEST_F(submit, a_full_batch_runs_in_order)
{
	struct drm_q35_device info;
	struct q35_hw_desc *jobs;
	uint32_t i;

	ASSERT_EQ(0, query_device(self->rig.fd, &info));
	ASSERT_LE(256, info.max_jobs);
	jobs = calloc(info.max_jobs + 1, sizeof(*jobs));
	jobs[0] = fill_job(BASE, 4, 0x77);
	for (i = 1; i < info.max_jobs; i++)
		jobs[i] = copy_job(BASE + i * 64, BASE + (i - 1) * 64, 4);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, info.max_jobs));
	for (i = 0; i < info.max_jobs; i++)
		ASSERT_EQ(0x77, self->rig.mem[i * 16]);

	jobs[info.max_jobs] = jobs[0];
	EXPECT_EQ(-EINVAL, submit(self->rig.fd, self->rig.queue, jobs, info.max_jobs + 1, NULL, 0));
	free(jobs);
}

/* More than the ring holds at once, of sizes that meet its end everywhere. */
TEST_F(submit, submissions_queue_up_beyond_the_ring)
{
	struct q35_hw_desc jobs[97];
	struct drm_q35_sync sync = {.flags = DRM_Q35_SYNC_SIGNAL,
				    .handle = sync_create(self->rig.fd)};
	uint32_t i, j, count = 0;

	for (i = 0; i < 200; i++) {
		for (j = 0; j <= i % 97; j++, count++)
			jobs[j] = fill_job(BASE + count * 4, 4, count + 1);
		ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, jobs, j, &sync, 1));
	}
	ASSERT_EQ(0, sync_wait(self->rig.fd, sync.handle));
	EXPECT_EQ(0, sync_status(self->rig.fd, sync.handle));
	for (i = 0; i < count; i++)
		ASSERT_EQ(i + 1, self->rig.mem[i]);
}

TEST_F(submit, one_submission_costs_one_interrupt)
{
	struct q35_hw_desc jobs[64];
	uint64_t before, after;
	char line[256];
	FILE *file;
	unsigned int i, round;

	for (i = 0; i < 64; i++)
		jobs[i] = fill_job(BASE + i * 4, 4, i);
	for (round = 0; round < 2; round++) {
		uint64_t sum = 0;

		if (round)
			for (i = 0; i < 10; i++)
				ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, 64));
		file = fopen("/proc/interrupts", "r");
		ASSERT_NE(NULL, file);
		while (fgets(line, sizeof(line), file)) {
			char *at = strchr(line, ':'), *end;

			if (!strstr(line, "q35-completion"))
				continue;
			for (at++;; at = end) {
				unsigned long long value = strtoull(at, &end, 10);

				if (end == at)
					break;
				sum += value;
			}
		}
		fclose(file);
		before = round ? before : sum;
		after = sum;
	}
	EXPECT_LE(after - before, 10);
	EXPECT_LT(0, after - before);
}

TEST_F(submit, binary_syncobjs_order_queues)
{
	struct drm_q35_sync out = {.flags = DRM_Q35_SYNC_SIGNAL,
				   .handle = sync_create(self->rig.fd)};
	struct drm_q35_sync in = {.handle = out.handle};
	struct q35_hw_desc first[32], second;
	uint32_t other;
	unsigned int i;

	for (i = 0; i < 32; i++)
		first[i] = fill_job(BASE + PAGE, MIB, i + 1);
	second = copy_job(BASE, BASE + MIB, 4);
	ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 0, &other));
	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, first, 32, &out, 1));
	ASSERT_EQ(0, submit(self->rig.fd, other, &second, 1, (struct drm_q35_sync[]){in, out}, 2));
	ASSERT_EQ(0, sync_wait(self->rig.fd, out.handle));
	EXPECT_EQ(0, sync_status(self->rig.fd, out.handle));
	EXPECT_EQ(32, self->rig.mem[0]);
}

TEST_F(submit, timeline_points_count_submissions)
{
	uint32_t handle = sync_create(self->rig.fd);
	struct q35_hw_desc job;
	uint64_t point = 0;
	unsigned int i;

	for (i = 1; i <= 20; i++) {
		struct drm_q35_sync syncs[2] = {
			{DRM_Q35_SYNC_SIGNAL | DRM_Q35_SYNC_TIMELINE, handle, i},
			{DRM_Q35_SYNC_TIMELINE, handle, i - 1},
		};

		job = fill_job(BASE + i * 4, 4, i);
		ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &job, 1, syncs, i > 1 ? 2 : 1));
	}
	point = 20;
	ASSERT_EQ(0, drmSyncobjTimelineWait(self->rig.fd, &handle, &point, 1, deadline(PATIENCE_NS),
					    0, NULL));
	for (i = 1; i <= 20; i++)
		EXPECT_EQ(i, self->rig.mem[i]);
	ASSERT_EQ(0, drmSyncobjQuery(self->rig.fd, &handle, &point, 1));
	EXPECT_EQ(20, point);
}

/* A fence is a file, and a file a fence: the other client waits for what takes until its timeout. */
TEST_F(submit, a_sync_file_orders_clients)
{
	struct drm_q35_sync out = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct q35_hw_desc hang = hang_job(), job = fill_job(BASE, 4, 1);
	struct drm_q35_sync syncs[2] = {{0}, {.flags = DRM_Q35_SYNC_SIGNAL}};
	struct rig other;
	uint32_t queue;
	int fence;

	ASSERT_EQ(0, rig_open(&other, 0));
	syncs[0].handle = sync_create(other.fd);
	syncs[1].handle = sync_create(other.fd);
	ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 2000, &queue));
	ASSERT_EQ(0, submit(self->rig.fd, queue, &hang, 1, &out, 1));
	ASSERT_EQ(0, drmSyncobjExportSyncFile(self->rig.fd, out.handle, &fence));
	ASSERT_EQ(0, drmSyncobjImportSyncFile(other.fd, syncs[0].handle, fence));
	close(fence);
	ASSERT_EQ(0, submit(other.fd, other.queue, &job, 1, syncs, 2));
	ASSERT_EQ(0, sync_wait(other.fd, syncs[1].handle));
	EXPECT_EQ(-EIO, sync_status(self->rig.fd, out.handle));
	EXPECT_EQ(0, sync_status(other.fd, syncs[1].handle));
	EXPECT_EQ(1, other.mem[0]);
	rig_close(&other);
}

TEST_F(submit, without_jobs_it_is_a_fence_behind_the_queues_work)
{
	struct drm_q35_sync out = {.flags = DRM_Q35_SYNC_SIGNAL,
				   .handle = sync_create(self->rig.fd)};
	struct q35_hw_desc job = fill_job(BASE, RIG_SIZE, 0xabc);

	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &job, 1, NULL, 0));
	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, NULL, 0, &out, 1));
	ASSERT_EQ(0, sync_wait(self->rig.fd, out.handle));
	EXPECT_EQ(0xabc, self->rig.mem[RIG_SIZE / 4 - 1]);
}

TEST_F(submit, waiting_for_a_point_that_nobody_signals_is_refused)
{
	struct drm_q35_sync binary = {.handle = sync_create(self->rig.fd)};
	struct drm_q35_sync timeline = {
		.flags = DRM_Q35_SYNC_TIMELINE,
		.handle = sync_create(self->rig.fd),
		.point = 5,
	};

	EXPECT_EQ(-EINVAL, submit(self->rig.fd, self->rig.queue, NULL, 0, &binary, 1));
	EXPECT_EQ(-EINVAL, submit(self->rig.fd, self->rig.queue, NULL, 0, &timeline, 1));
}

TEST_F(submit, the_refused_job_is_named_and_nothing_runs)
{
	struct q35_hw_desc jobs[3] = {fill_job(BASE, 4, 1), fill_job(BASE, 4, 1),
				      fill_job(BASE, 4, 1)};
	struct drm_q35_submit args = {
		.queue_id = self->rig.queue,
		.jobs = {.stride = sizeof(jobs[0]), .count = 3, .array = (uintptr_t)jobs},
	};
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct q35_hw_desc good = jobs[2];

		if (i == 0)
			jobs[2].op = 99;
		else if (i == 1)
			jobs[2].flags = Q35_DESC_IRQ;
		else
			jobs[2].seqno = 1;
		EXPECT_EQ(-EINVAL, call(self->rig.fd, DRM_IOCTL_Q35_SUBMIT, &args));
		EXPECT_EQ(2, args.bad_job);
		jobs[2] = good;
	}
	EXPECT_EQ(0, run(self->rig.fd, self->rig.queue, NULL, 0));
	EXPECT_EQ(0, self->rig.mem[0]);
	EXPECT_EQ(0, call(self->rig.fd, DRM_IOCTL_Q35_SUBMIT, &args));
	EXPECT_EQ(0xffffffff, args.bad_job);
}

TEST_F(submit, elements_of_a_newer_header_are_taken_if_their_unknown_part_is_zero)
{
	struct {
		struct q35_hw_desc desc;
		uint8_t unknown[32];
	} jobs[2] = {{.desc = fill_job(BASE, 4, 1)}, {.desc = fill_job(BASE + 4, 4, 2)}};
	struct drm_q35_submit args = {
		.queue_id = self->rig.queue,
		.jobs = {.stride = sizeof(jobs[0]), .count = 2, .array = (uintptr_t)jobs},
	};

	ASSERT_EQ(0, call(self->rig.fd, DRM_IOCTL_Q35_SUBMIT, &args));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, NULL, 0));
	EXPECT_EQ(1, self->rig.mem[0]);
	EXPECT_EQ(2, self->rig.mem[1]);
	jobs[1].unknown[31] = 1;
	EXPECT_EQ(-E2BIG, call(self->rig.fd, DRM_IOCTL_Q35_SUBMIT, &args));
}

TEST_F(submit, queues_run_out_with_enospc_and_come_back)
{
	struct drm_q35_device info;
	uint32_t ids[64], id, count;
	unsigned int round;

	ASSERT_EQ(0, query_device(self->rig.fd, &info));
	for (round = 0; round < 3; round++) {
		for (count = 0;
		     count < 64 && !queue_create(self->rig.fd, self->rig.vm, 0, &ids[count]);)
			count++;
		EXPECT_EQ(info.queues - 1, count);
		EXPECT_EQ(-ENOSPC, queue_create(self->rig.fd, self->rig.vm, 0, &id));
		while (count--) {
			struct q35_hw_desc job = fill_job(BASE + count * 4, 4, round + 1);

			ASSERT_EQ(0, run(self->rig.fd, ids[count], &job, 1));
			ASSERT_EQ(round + 1, self->rig.mem[count]);
			ASSERT_EQ(0, queue_destroy(self->rig.fd, ids[count]));
		}
	}
}

TEST_F(submit, counters_and_busy_time_grow_with_work)
{
	struct q35_hw_desc job = fill_job(BASE, MIB, 1);
	struct drm_q35_perf_query before, after;

	ASSERT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &before));
	EXPECT_EQ(0, before.jobs);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	ASSERT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &after));
	EXPECT_EQ(1, after.jobs);
	EXPECT_EQ(MIB, after.link_bytes);
	EXPECT_LT(0, after.busy_ns);
	EXPECT_LT(before.cycles, after.cycles);
	ASSERT_EQ(0, perf_query(self->rig.fd, 0, &after));
	EXPECT_LE(1, after.jobs);
}

TEST_HARNESS_MAIN
