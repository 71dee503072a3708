// SPDX-License-Identifier: MIT
/* The card falls asleep while jobs for it come. */
#include "kselftest_harness.h"

#include <pthread.h>

#include "power.h"
#include "q35_test.h"

#define ROUNDS 100

FIXTURE(race)
{
	int fd;
	uint32_t bo;
	volatile uint32_t *mem; /* 4 MiB of device memory */
};

FIXTURE_SETUP(race)
{
	self->fd = card_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, bo_create(self->fd, 4 * MIB, DRM_Q35_BO_DEVICE, &self->bo));
	self->mem = bo_map(self->fd, self->bo, 4 * MIB);
	ASSERT_NE(MAP_FAILED, self->mem);
}

FIXTURE_TEARDOWN(race)
{
	munmap((void *)self->mem, 4 * MIB);
	close(self->fd);
	EXPECT_EQ(0, set_delay("500"));
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
TEST_F_TIMEOUT(race, falling_asleep_races_with_jobs, 240)
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
