// SPDX-License-Identifier: MIT
/*
 * A client of a card that does wrong what tests/vm/hostile.sh tells it to: whatever that is, every call
 * returns and every job ends. With $Q35_WORKS set, jobs must do what they say as well.
 */
#include "kselftest_harness.h"

#include "q35_test.h"

#define JOBS 8
#define TIMEOUT_MS 300

FIXTURE(hostile)
{
	int works;
};

FIXTURE_SETUP(hostile)
{
	self->works = !!getenv("Q35_WORKS");
}

FIXTURE_TEARDOWN(hostile)
{
}

/* Errors that a client may get from a card that has failed, but nothing from a good one. */
static int is_known(int error, int works)
{
	return !error || (!works && (error == -EIO || error == -ECANCELED || error == -ENODEV));
}

TEST_F(hostile, every_job_ends)
{
	unsigned int round, i;

	for (round = 0; round < 3; round++) {
		uint32_t handles[JOBS];
		struct drm_q35_queue_state state;
		struct drm_q35_perf_query perf;
		unsigned int count = 0;
		struct rig rig;
		int ret = rig_open(&rig, TIMEOUT_MS);

		ASSERT_TRUE(is_known(ret, self->works)) TH_LOG("open: %d", ret);
		for (i = 0; !ret && i < JOBS; i++) {
			struct q35_hw_desc job = fill_job(BASE + i * PAGE, PAGE, round * JOBS + i);
			struct drm_q35_sync sync = {DRM_Q35_SYNC_SIGNAL, sync_create(rig.fd), 0};

			ret = submit(rig.fd, rig.queue, &job, 1, &sync, 1);
			EXPECT_TRUE(is_known(ret, self->works)) TH_LOG("submit: %d", ret);
			if (!ret)
				handles[count++] = sync.handle;
		}
		for (i = 0; i < count; i++) {
			ASSERT_EQ(0, sync_wait(rig.fd, handles[i]));
			ret = sync_status(rig.fd, handles[i]);
			EXPECT_TRUE(is_known(ret, self->works)) TH_LOG("job %u: %d", i, ret);
			if (self->works)
				EXPECT_EQ(round * JOBS + i, rig.mem[(i + 1) * PAGE / 4 - 1]);
		}
		if (count) {
			ret = unmap_at(rig.fd, rig.vm, BASE, PAGE);
			EXPECT_TRUE(is_known(ret, self->works)) TH_LOG("unmap: %d", ret);
			EXPECT_EQ(0, queue_state(rig.fd, rig.queue, &state));
			EXPECT_TRUE(!self->works || state.status == DRM_Q35_QUEUE_OK);
			ret = perf_query(rig.fd, rig.queue, &perf);
			EXPECT_TRUE(is_known(ret, self->works)) TH_LOG("counters: %d", ret);
		}
		if (rig.fd >= 0)
			rig_close(&rig);
	}
}

TEST_HARNESS_MAIN
