// SPDX-License-Identifier: MIT
/*
 * Cards with a defect each, in one guest: what it costs. tests/vm/cards.sh names a card's address in
 * $Q35_CARD for the fixture of its defect, and runs only that.
 */
#include "kselftest_harness.h"

#include "q35_test.h"

#define MS 1000000ll

/* A number in the card's directory q35/ in sysfs. */
static long attribute(const char *name)
{
	char path[128];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/q35/%s", getenv("Q35_CARD"), name);
	file = fopen(path, "r");
	if (file) {
		if (fscanf(file, "%ld", &value) != 1)
			value = -1;
		fclose(file);
	}
	return value;
}

FIXTURE(lost_irq)
{
	struct rig rig;
};

FIXTURE_SETUP(lost_irq)
{
	ASSERT_EQ(0, rig_open(&self->rig, 10000));
}

FIXTURE_TEARDOWN(lost_irq)
{
	rig_close(&self->rig);
}

TEST_F(lost_irq, costs_a_job_milliseconds_and_is_counted)
{
	const unsigned int jobs = 20;
	long before = attribute("lost_interrupts");
	int64_t start = deadline(0);
	unsigned int i;

	ASSERT_LE(0, before);
	for (i = 1; i <= jobs; i++) {
		struct q35_hw_desc job = fill_job(BASE, 4, i);

		ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
		ASSERT_EQ(i, self->rig.mem[0]);
	}
	EXPECT_GT(jobs * 200 * MS, deadline(0) - start);
	EXPECT_LE(before + jobs, attribute("lost_interrupts"));
}

TEST_F(lost_irq, of_a_fault_neither_waits_for_the_timeout)
{
	struct q35_hw_desc bad = fill_job(5 * GIB, 4, 1);
	struct drm_q35_queue_state state;
	int64_t start = deadline(0);

	EXPECT_EQ(-EIO, run(self->rig.fd, self->rig.queue, &bad, 1));
	EXPECT_GT(2000 * MS, deadline(0) - start);
	ASSERT_EQ(0, queue_state(self->rig.fd, self->rig.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_FAULT, state.status);
	EXPECT_EQ(Q35_FAULT_UNMAPPED, state.fault_code);
	EXPECT_EQ(5 * GIB, state.fault_addr);
}

FIXTURE(wrong_seqno)
{
	struct rig rig;
};

FIXTURE_SETUP(wrong_seqno)
{
	ASSERT_EQ(0, rig_open(&self->rig, 1000));
}

FIXTURE_TEARDOWN(wrong_seqno)
{
	rig_close(&self->rig);
}

/* Of ten jobs some end well, at most one with the card's fault, and the rest with the queue. */
TEST_F(wrong_seqno, is_a_fault_of_the_cards)
{
	struct drm_q35_queue_state state;
	struct drm_q35_sync sync[10];
	struct q35_hw_desc job = fill_job(BASE, MIB, 1);
	unsigned int i, submitted = 0, guilty = 0;

	for (i = 0; i < 10; i++) {
		sync[i] = (struct drm_q35_sync){DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
		if (submit(self->rig.fd, self->rig.queue, &job, 1, &sync[i], 1))
			break;
		submitted++;
	}
	ASSERT_LT(0, submitted);
	for (i = 0; i < submitted; i++) {
		int status;

		ASSERT_EQ(0, sync_wait(self->rig.fd, sync[i].handle));
		status = sync_status(self->rig.fd, sync[i].handle);
		EXPECT_TRUE(status == 0 || status == -EIO || status == -ECANCELED);
		guilty += status == -EIO;
	}
	ASSERT_EQ(0, queue_state(self->rig.fd, self->rig.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_FAULT, state.status);
	EXPECT_EQ(0, state.fault_code);
	EXPECT_GE(1, guilty);
}

TEST_HARNESS_MAIN
