// SPDX-License-Identifier: MIT
/*
 * The card leaves its slot with a job in flight, for which the shell command in $Q35_TRIGGER sees:
 * whoever waits for anything of it gets an error, and nothing that was open does harm. The card is
 * $Q35_CARD, and must have been started with x-fault=hang-fill.
 */
#include "kselftest_harness.h"

#include <poll.h>
#include <pthread.h>

#include "q35_test.h"

#define WAITERS 4

FIXTURE(removal)
{
	struct rig rig;
	uint32_t *memory; /* of the device */
};

FIXTURE_SETUP(removal)
{
	uint32_t bo;

	ASSERT_NE(NULL, getenv("Q35_TRIGGER"));
	catch_bus_errors();
	ASSERT_EQ(0, rig_open(&self->rig, 0));
	ASSERT_EQ(0, bo_create(self->rig.fd, 4 * MIB, DRM_Q35_BO_DEVICE, &bo));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, bo, 0, 4 * GIB, 4 * MIB));
	self->memory = bo_map(self->rig.fd, bo, 4 * MIB);
	ASSERT_NE(MAP_FAILED, self->memory);
}

FIXTURE_TEARDOWN(removal)
{
	munmap(self->memory, 4 * MIB);
	rig_close(&self->rig);
}

struct waiter {
	pthread_t thread;
	int fd, file; /* the card's, and the fence's: by either one can wait */
	uint32_t handle;
	int by_file, ret;
};

static int file_wait(int file)
{
	struct pollfd wait = {.fd = file, .events = POLLIN};

	return poll(&wait, 1, PATIENCE_NS / 1000000) == 1 ? 0 : -ETIME;
}

static void *wait_for(void *arg)
{
	struct waiter *waiter = arg;

	waiter->ret =
		waiter->by_file ? file_wait(waiter->file) : sync_wait(waiter->fd, waiter->handle);
	return NULL;
}

/*
 * A job that hangs, one behind it in its queue, and one in another queue that depends on both: none
 * of them will ever be done.
 */
static int submit_all(struct rig *rig, uint32_t handle[3])
{
	struct q35_hw_desc jobs[3] = {hang_job(), fill_job(BASE + PAGE, 4, 1),
				      fill_job(BASE + 2 * PAGE, 4, 1)};
	uint32_t other, i;
	int ret = queue_create(rig->fd, rig->vm, 0, &other);

	for (i = 0; i < 3 && !ret; i++) {
		struct drm_q35_sync sync[2] = {{DRM_Q35_SYNC_SIGNAL, sync_create(rig->fd), 0},
					       {0, handle[i ? i - 1 : 0], 0}};

		handle[i] = sync[0].handle;
		ret = submit(rig->fd, i < 2 ? rig->queue : other, &jobs[i], 1, sync, i < 2 ? 1 : 2);
	}
	return ret;
}

TEST_F_TIMEOUT(removal, ends_every_wait_with_an_error, 240)
{
	struct waiter waiter[WAITERS] = {0};
	struct drm_q35_device device;
	uint32_t handle[3] = {0}, i;
	struct q35_hw_desc job = fill_job(BASE, 4, 1);
	time_t end;

	ASSERT_EQ(0, submit_all(&self->rig, handle));
	for (i = 0; i < WAITERS; i++) {
		waiter[i].fd = self->rig.fd;
		waiter[i].handle = handle[i % 3];
		waiter[i].by_file = i >= 2;
		ASSERT_EQ(0, drmSyncobjExportSyncFile(self->rig.fd, waiter[i].handle,
						      &waiter[i].file));
		ASSERT_EQ(0, pthread_create(&waiter[i].thread, NULL, wait_for, &waiter[i]));
	}
	EXPECT_EQ(0, access_faults(self->memory));
	ASSERT_EQ(0, system(getenv("Q35_TRIGGER")));

	for (i = 0; i < WAITERS; i++) {
		struct sync_file_info info = {0};

		pthread_join(waiter[i].thread, NULL);
		if (waiter[i].ret != -ENODEV) /* who comes too late */
			EXPECT_EQ(0, waiter[i].ret) TH_LOG("waiter %u", i);
		EXPECT_EQ(0, file_wait(waiter[i].file)) TH_LOG("waiter %u", i);
		ASSERT_EQ(0, ioctl(waiter[i].file, SYNC_IOC_FILE_INFO, &info));
		EXPECT_GT(0, info.status) TH_LOG("waiter %u", i);
		close(waiter[i].file);
	}
	end = time(NULL) + 60;
	while (query_device(self->rig.fd, &device) != -ENODEV && time(NULL) < end)
		usleep(10000);
	EXPECT_EQ(-ENODEV, query_device(self->rig.fd, &device));
	EXPECT_EQ(-ENODEV, submit(self->rig.fd, self->rig.queue, &job, 1, NULL, 0));
	while (!access_faults(self->memory) && time(NULL) < end)
		usleep(10000);
	EXPECT_EQ(1, access_faults(self->memory));
	self->rig.mem[0] = 1; /* host memory stays */
}

TEST_HARNESS_MAIN
