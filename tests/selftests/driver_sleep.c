// SPDX-License-Identifier: MIT
/*
 * The system goes to sleep and wakes up: pm_test suspends all devices, waits, and resumes them. The
 * card must have been started with x-fault=hang-fill.
 */
#include "kselftest_harness.h"

#include "q35_test.h"

#define DELAY "/sys/module/suspend/parameters/pm_test_delay" /* seconds */

static int system_sleep(void)
{
	return write_text("/sys/power/state", "freeze");
}

FIXTURE(sleeping)
{
	struct rig rig;
};

FIXTURE_SETUP(sleeping)
{
	if (write_text("/sys/power/pm_test", "devices"))
		SKIP(return, "the kernel has no /sys/power/pm_test");
	ASSERT_EQ(0, write_text(DELAY, "1"));
	ASSERT_EQ(0, rig_open(&self->rig, 1000));
}

FIXTURE_TEARDOWN(sleeping)
{
	rig_close(&self->rig);
	EXPECT_EQ(0, write_text("/sys/power/pm_test", "none"));
}

TEST_F(sleeping, keeps_memory_mappings_queues_and_counters)
{
	struct q35_hw_desc jobs[2] = {
		fill_job(4 * GIB, 4 * MIB, 0x5eed),
		copy_job(BASE + MIB, 4 * GIB + 3 * MIB, MIB),
	};
	struct drm_q35_perf_query before, after;
	uint32_t bo, *mem;
	unsigned int i;

	ASSERT_EQ(0, bo_create(self->rig.fd, 4 * MIB, DRM_Q35_BO_DEVICE, &bo));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, bo, 0, 4 * GIB, 4 * MIB));
	mem = bo_map(self->rig.fd, bo, 4 * MIB);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, 1));
	ASSERT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &before));

	for (i = 1; i <= 2; i++) {
		ASSERT_EQ(0, system_sleep());
		EXPECT_EQ(0x5eed, mem[0]);
		ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &jobs[1], 1));
		EXPECT_EQ(0x5eed, self->rig.mem[MIB / 4]);
		self->rig.mem[MIB / 4] = 0;
		ASSERT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &after));
		EXPECT_EQ(before.jobs + i, after.jobs);
		EXPECT_LT(before.busy_ns, after.busy_ns);
	}
	munmap(mem, 4 * MIB);
}

/* The first job's timeout ends it while the system goes to sleep, and the second must wait. */
TEST_F(sleeping, jobs_that_wait_run_afterwards)
{
	struct drm_q35_sync out = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct drm_q35_sync syncs[2] = {
		{0, out.handle, 0},
		{DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0},
	};
	struct q35_hw_desc hang = hang_job(), good = fill_job(BASE + 64, 4, 0x900d);
	struct drm_q35_queue_state state;
	uint32_t other;

	ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 2000, &other));
	ASSERT_EQ(0, submit(self->rig.fd, other, &hang, 1, &out, 1));
	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &good, 1, syncs, 2));
	ASSERT_EQ(1, sync_status(self->rig.fd, out.handle));
	ASSERT_EQ(0, system_sleep());
	EXPECT_EQ(-EIO, sync_status(self->rig.fd, out.handle));
	ASSERT_EQ(0, sync_wait(self->rig.fd, syncs[1].handle));
	EXPECT_EQ(0, sync_status(self->rig.fd, syncs[1].handle));
	EXPECT_EQ(0x900d, self->rig.mem[16]);

	/* The dead one stays dead. */
	ASSERT_EQ(0, queue_state(self->rig.fd, other, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_HANG, state.status);
	EXPECT_EQ(-EIO, submit(self->rig.fd, other, &good, 1, NULL, 0));
}

TEST_F_TIMEOUT(sleeping, is_refused_while_a_job_runs_on, 60)
{
	struct drm_q35_sync out = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct q35_hw_desc hang = hang_job(), good = fill_job(BASE, 4, 0x900d);
	uint32_t other;

	ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 60000, &other));
	ASSERT_EQ(0, submit(self->rig.fd, other, &hang, 1, &out, 1));
	EXPECT_EQ(-EBUSY, system_sleep());
	EXPECT_EQ(1, sync_status(self->rig.fd, out.handle));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &good, 1));
	EXPECT_EQ(0x900d, self->rig.mem[0]);
	ASSERT_EQ(0, queue_destroy(self->rig.fd, other));
	EXPECT_EQ(0, system_sleep());
	EXPECT_EQ(0, run(self->rig.fd, self->rig.queue, &good, 1));
}

TEST_HARNESS_MAIN
