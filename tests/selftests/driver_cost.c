// SPDX-License-Identifier: MIT
/* What a submission costs in register accesses and interrupts, by the driver's own count. */
#include "kselftest_harness.h"

#include <glob.h>

#include "q35_test.h"

#define CARD "/sys/bus/pci/drivers/q35/*:*/"
#define STATS "/sys/kernel/debug/accel/*:*/stats"
#define BATCH 256

struct stats {
	long long register_reads, register_writes, completion_interrupts, submissions, jobs;
};

/* The first file that matches, or -1. */
static int open_match(const char *pattern, int flags)
{
	glob_t found;
	int fd;

	if (glob(pattern, 0, NULL, &found))
		return -1;
	fd = open(found.gl_pathv[0], flags);
	globfree(&found);
	return fd;
}

static int set(const char *attribute, const char *value)
{
	int fd = open_match(attribute, O_WRONLY), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int read_stats(struct stats *stats)
{
	char text[512] = "";
	int fd = open_match(STATS, O_RDONLY);
	ssize_t length = read(fd, text, sizeof(text) - 1);

	close(fd);
	return length > 0 &&
	       sscanf(text,
		      "register_reads %lld\nregister_writes %lld\ncompletion_interrupts %lld\n"
		      "fault_interrupts %*d\nsubmissions %lld\njobs %lld",
		      &stats->register_reads, &stats->register_writes,
		      &stats->completion_interrupts, &stats->submissions, &stats->jobs) == 5;
}

FIXTURE(cost)
{
	struct rig rig;
	struct q35_hw_desc jobs[BATCH];
};

FIXTURE_SETUP(cost)
{
	unsigned int i;

	/* Falling asleep would cost as well. */
	ASSERT_EQ(0, set(CARD "power/autosuspend_delay_ms", "100000"));
	ASSERT_EQ(0, rig_open(&self->rig, 0));
	for (i = 0; i < BATCH; i++)
		self->jobs[i] = fill_job(BASE + 4 * i, 4, i + 1);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, self->jobs, 1));
}

FIXTURE_TEARDOWN(cost)
{
	rig_close(&self->rig);
	EXPECT_EQ(0, set(CARD "q35/coalesce_usecs", "0"));
	EXPECT_EQ(0, set(CARD "q35/coalesce_submissions", "0"));
	EXPECT_EQ(0, set(CARD "power/autosuspend_delay_ms", "500"));
}

TEST_F(cost, of_a_batch_is_one_register_write_and_one_interrupt)
{
	struct stats before, after;
	unsigned int i;

	ASSERT_TRUE(read_stats(&before));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, self->jobs, BATCH));
	ASSERT_TRUE(read_stats(&after));
	for (i = 0; i < BATCH; i++)
		ASSERT_EQ(i + 1, self->rig.mem[i]);
	EXPECT_EQ(before.submissions + 1, after.submissions);
	EXPECT_EQ(before.jobs + BATCH, after.jobs);
	EXPECT_EQ(before.register_writes + 1, after.register_writes);
	EXPECT_EQ(before.register_reads, after.register_reads);
	EXPECT_GE(before.completion_interrupts + 1, after.completion_interrupts);
}

TEST_F(cost, of_many_submissions_is_one_register_write_each)
{
	struct stats before, after;
	unsigned int i;

	ASSERT_TRUE(read_stats(&before));
	for (i = 0; i < BATCH; i++)
		ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &self->jobs[i], 1, NULL, 0));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, self->jobs, 1));
	ASSERT_TRUE(read_stats(&after));
	EXPECT_EQ(before.submissions + BATCH + 1, after.submissions);
	EXPECT_EQ(before.register_writes + BATCH + 1, after.register_writes);
	EXPECT_EQ(before.register_reads, after.register_reads);
	EXPECT_GE(before.completion_interrupts + BATCH + 1, after.completion_interrupts);
}

/* The interrupt of a single submission waits for others that do not come, also after a reset. */
TEST_F(cost, of_interrupts_can_be_shared)
{
	const int64_t usec = 4000;
	unsigned int i;

	ASSERT_EQ(0, set(CARD "q35/coalesce_submissions", "100"));
	ASSERT_EQ(0, set(CARD "q35/coalesce_usecs", "4000"));
	for (i = 0; i < 20; i++) {
		if (i == 10)
			ASSERT_EQ(0, set(CARD "reset", "1"));
		int64_t start = deadline(0);

		ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, self->jobs, 1));
		EXPECT_LE(usec * 1000, deadline(0) - start);
	}
	EXPECT_EQ(-ERANGE, set(CARD "q35/coalesce_submissions", "65536"));
	EXPECT_EQ(-ERANGE, set(CARD "q35/coalesce_usecs", "5001"));
	EXPECT_EQ(-EINVAL, set(CARD "q35/coalesce_usecs", "many"));
}

TEST_HARNESS_MAIN
