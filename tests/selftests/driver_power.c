// SPDX-License-Identifier: MIT
/*
 * The card sleeps while nobody has work for it, and wakes up when somebody has. It must have been
 * started with x-fault=hang-fill.
 */
#include "kselftest_harness.h"

#include <glob.h>
#include <pthread.h>

#include "q35_test.h"

#define POWER "/sys/bus/pci/drivers/q35/*:*/power/"
#define MS 1000000ll
#define ROUNDS 100

/* A file of the first card's. */
static int open_power(const char *name, int flags)
{
	char pattern[128];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), POWER "%s", name);
	if (glob(pattern, 0, NULL, &found))
		return -1;
	fd = open(found.gl_pathv[0], flags);
	globfree(&found);
	return fd;
}

static int set_delay(const char *ms)
{
	int fd = open_power("autosuspend_delay_ms", O_WRONLY);
	ssize_t written = write(fd, ms, strlen(ms));

	close(fd);
	return written < 0 ? -errno : 0;
}

static int status_is(const char *wanted)
{
	char status[32] = "";
	int fd = open_power("runtime_status", O_RDONLY);
	ssize_t length = read(fd, status, sizeof(status) - 1);

	close(fd);
	return length > 0 && !strncmp(status, wanted, strlen(wanted));
}

static int sleeps(void)
{
	unsigned int i;

	for (i = 0; i < 1000 && !status_is("suspended"); i++)
		usleep(10000);
	return status_is("suspended");
}

FIXTURE(power)
{
	struct rig rig;
	uint32_t bo;
	volatile uint32_t *mem; /* 4 MiB of device memory, at 4 GiB for the card */
};

FIXTURE_SETUP(power)
{
	ASSERT_EQ(0, set_delay("100"));
	ASSERT_EQ(0, rig_open(&self->rig, 10000));
	ASSERT_EQ(0, bo_create(self->rig.fd, 4 * MIB, DRM_Q35_BO_DEVICE, &self->bo));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, self->bo, 0, 4 * GIB, 4 * MIB));
	self->mem = bo_map(self->rig.fd, self->bo, 4 * MIB);
	ASSERT_NE(MAP_FAILED, self->mem);
}

FIXTURE_TEARDOWN(power)
{
	munmap((void *)self->mem, 4 * MIB);
	rig_close(&self->rig);
	EXPECT_EQ(0, set_delay("500"));
}

TEST_F(power, an_open_card_sleeps_and_a_job_wakes_it)
{
	struct q35_hw_desc jobs[2] = {
		fill_job(4 * GIB, 4 * MIB, 0x5eed),
		copy_job(BASE + MIB, 4 * GIB + 3 * MIB, MIB),
	};
	unsigned int i;

	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, 1));
	for (i = 0; i < 3; i++) {
		self->rig.mem[MIB / 4] = 0;
		ASSERT_TRUE(sleeps());
		ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &jobs[1], 1));
		EXPECT_EQ(0x5eed, self->rig.mem[MIB / 4]);
	}
}

TEST_F(power, touching_device_memory_wakes_it)
{
	unsigned int i;

	for (i = 1; i <= 3; i++) {
		self->mem[0] = i;
		self->mem[MIB - 1] = ~i;
		ASSERT_TRUE(sleeps());
		EXPECT_EQ(i, self->mem[0]);
		ASSERT_TRUE(sleeps());
		EXPECT_EQ(~i, self->mem[MIB - 1]);
	}
}

TEST_F(power, every_call_that_needs_it_wakes_it)
{
	struct q35_hw_desc job = fill_job(2 * GIB, 4, 0x900d);
	struct drm_q35_perf_query perf;
	uint32_t vm, queue, bo, *mem;

	ASSERT_TRUE(sleeps());
	ASSERT_EQ(0, bo_create(self->rig.fd, MIB, DRM_Q35_BO_DEVICE, &bo));
	ASSERT_TRUE(sleeps());
	ASSERT_EQ(0, vm_create(self->rig.fd, &vm));
	ASSERT_TRUE(sleeps());
	ASSERT_EQ(0, map_at(self->rig.fd, vm, 0, bo, 0, 2 * GIB, MIB));
	ASSERT_TRUE(sleeps());
	ASSERT_EQ(0, queue_create(self->rig.fd, vm, 1000, &queue));
	ASSERT_TRUE(sleeps());
	ASSERT_EQ(0, run(self->rig.fd, queue, &job, 1));
	ASSERT_TRUE(sleeps());
	ASSERT_EQ(0, perf_query(self->rig.fd, queue, &perf));
	EXPECT_EQ(1, perf.jobs);
	ASSERT_TRUE(sleeps());
	ASSERT_EQ(0, queue_destroy(self->rig.fd, queue));
	ASSERT_TRUE(sleeps());
	ASSERT_EQ(0, vm_destroy(self->rig.fd, vm));
	ASSERT_TRUE(sleeps());
	mem = bo_map(self->rig.fd, bo, MIB);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0x900d, mem[0]);
	munmap(mem, MIB);
}

/* For user space sleep is invisible: neither the time nor any counter starts again. */
TEST_F(power, time_and_counters_go_on)
{
	struct q35_hw_desc job = time_job(BASE);
	volatile uint64_t *time = (void *)self->rig.mem;
	struct drm_q35_perf_query before, after;
	uint64_t first;
	int64_t start;

	start = deadline(0);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	first = *time;
	ASSERT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &before));
	ASSERT_TRUE(sleeps());
	usleep(200000);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_LE(first + 200 * MS, *time);
	EXPECT_GE(first + (deadline(0) - start) + 100 * MS, *time);
	ASSERT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &after));
	EXPECT_EQ(before.jobs + 1, after.jobs);
	EXPECT_LT(before.cycles, after.cycles);
	EXPECT_LE(before.busy_ns, after.busy_ns);
}

TEST_F(power, a_job_in_flight_keeps_it_awake)
{
	struct drm_q35_sync sync = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct q35_hw_desc hang = hang_job();
	unsigned int i;
	uint32_t queue;

	ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 60000, &queue));
	ASSERT_EQ(0, submit(self->rig.fd, queue, &hang, 1, &sync, 1));
	for (i = 0; i < 50; i++) {
		usleep(10000);
		ASSERT_TRUE(status_is("active"));
	}
	ASSERT_EQ(0, queue_destroy(self->rig.fd, queue));
	ASSERT_EQ(0, sync_wait(self->rig.fd, sync.handle));
	ASSERT_TRUE(sleeps());
}

struct racer {
	struct rig rig;
	unsigned int rounds;
	int wrong;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	unsigned int i;

	for (i = 1; i <= racer->rounds && !racer->wrong; i++) {
		struct q35_hw_desc job = fill_job(BASE, 64, i);

		racer->wrong = run(racer->rig.fd, racer->rig.queue, &job, 1);
		if (!racer->wrong && racer->rig.mem[15] != i)
			racer->wrong = 1;
		usleep(i % 7 * 3000);
	}
	return NULL;
}

/* With no delay at all it falls asleep after each job, and often just before the next. */
TEST_F_TIMEOUT(power, falling_asleep_races_with_jobs, 240)
{
	struct racer racers[2] = {{.rounds = ROUNDS}, {.rounds = ROUNDS}};
	pthread_t threads[2];
	unsigned int i;

	ASSERT_EQ(0, set_delay("0"));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, rig_open(&racers[i].rig, 10000));
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, race, &racers[i]));
	}
	for (i = 0; i < ROUNDS; i++) {
		self->mem[i * 1024] = i;
		usleep(5000);
		ASSERT_EQ(i, self->mem[i * 1024]);
	}
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, racers[i].wrong);
		rig_close(&racers[i].rig);
	}
	ASSERT_TRUE(sleeps());
}

TEST_HARNESS_MAIN
