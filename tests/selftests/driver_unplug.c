// SPDX-License-Identifier: MIT
/*
 * The card and the module come and go, under load: nobody waits for ever, mappings end, and the next
 * client finds all as new. The card must have been started with x-fault=hang-fill.
 */
#include "kselftest_harness.h"

#include <glob.h>
#include <libgen.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "q35_test.h"

#define DRIVER "/sys/bus/pci/drivers/q35"
#define MODULE "/lib/q35/q35.ko" /* in the guest */

FIXTURE(unplug)
{
	char address[32]; /* of the PCI function */
	struct rig rig;
};

FIXTURE_SETUP(unplug)
{
	glob_t bound;

	ASSERT_EQ(0, glob(DRIVER "/*:*", 0, NULL, &bound));
	snprintf(self->address, sizeof(self->address), "%.31s", basename(bound.gl_pathv[0]));
	globfree(&bound);
	catch_bus_errors();
	ASSERT_EQ(0, rig_open(&self->rig, 60000));
}

FIXTURE_TEARDOWN(unplug)
{
	if (self->rig.fd >= 0)
		rig_close(&self->rig);
}

struct waiter {
	int fd, ret;
	uint32_t handle;
};

static void *wait_for(void *arg)
{
	struct waiter *waiter = arg;

	waiter->ret = sync_wait(waiter->fd, waiter->handle);
	return NULL;
}

TEST_F(unplug, ends_jobs_waits_and_mappings)
{
	struct drm_q35_sync sync = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct waiter waiter = {.fd = self->rig.fd, .handle = sync.handle};
	struct q35_hw_desc hang = hang_job();
	struct sync_file_info info = {0};
	struct drm_q35_device device;
	uint32_t bo, *mem;
	pthread_t thread;
	struct rig rig;
	int file;

	ASSERT_EQ(0, bo_create(self->rig.fd, 4 * MIB, DRM_Q35_BO_DEVICE, &bo));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, bo, 0, 4 * GIB, 4 * MIB));
	mem = bo_map(self->rig.fd, bo, 4 * MIB);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, access_faults(mem));
	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &hang, 1, &sync, 1));
	ASSERT_EQ(0, drmSyncobjExportSyncFile(self->rig.fd, sync.handle, &file));
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for, &waiter));
	usleep(50000);

	ASSERT_EQ(0, write_text(DRIVER "/unbind", self->address));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, waiter.ret);
	ASSERT_EQ(0, ioctl(file, SYNC_IOC_FILE_INFO, &info));
	EXPECT_EQ(-ENODEV, info.status);
	EXPECT_EQ(1, access_faults(mem));
	EXPECT_EQ(1, access_faults(mem + MIB / 4));
	EXPECT_EQ(-ENODEV, query_device(self->rig.fd, &device));
	EXPECT_EQ(-ENODEV, submit(self->rig.fd, self->rig.queue, &hang, 1, NULL, 0));
	EXPECT_EQ(-ENODEV, unmap_at(self->rig.fd, self->rig.vm, BASE, PAGE));
	self->rig.mem[0] = 1; /* host memory stays */
	ASSERT_EQ(-ENODEV, card_open());

	/* The old file is still open. */
	ASSERT_EQ(0, write_text(DRIVER "/bind", self->address));
	ASSERT_EQ(0, rig_open(&rig, 0));
	hang = fill_job(BASE, 4, 2);
	EXPECT_EQ(0, run(rig.fd, rig.queue, &hang, 1));
	rig_close(&rig);
	munmap(mem, 4 * MIB);
	close(file);
}

struct worker {
	int stop, ret;
	unsigned int done;
};

/* A client that knows nothing of the unplug: it opens, works, and starts again when it fails. */
static void *work(void *arg)
{
	struct worker *worker = arg;

	while (!__atomic_load_n(&worker->stop, __ATOMIC_RELAXED)) {
		struct rig rig;
		int ret = rig_open(&rig, 0);

		while (!ret && !__atomic_load_n(&worker->stop, __ATOMIC_RELAXED)) {
			struct q35_hw_desc jobs[2] = {
				fill_job(BASE, MIB, worker->done),
				copy_job(BASE + MIB, BASE, MIB),
			};

			ret = run(rig.fd, rig.queue, jobs, 2);
			worker->done += !ret;
			if (!ret)
				ret = map_at(rig.fd, rig.vm, 0, rig.bo, 0, 2 * GIB, MIB);
			if (!ret)
				ret = unmap_at(rig.fd, rig.vm, 2 * GIB, MIB);
		}
		if (ret && ret != -ENODEV)
			worker->ret = ret;
		if (rig.mem && rig.mem != MAP_FAILED)
			munmap(rig.mem, RIG_SIZE);
		if (rig.fd >= 0)
			close(rig.fd);
	}
	return NULL;
}

TEST_F_TIMEOUT(unplug, under_load_leaves_only_enodev, 300)
{
	struct worker workers[3] = {0};
	pthread_t threads[3];
	unsigned int i, round;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, work, &workers[i]));
	for (round = 0; round < 10; round++) {
		usleep(200000);
		ASSERT_EQ(0, write_text(DRIVER "/unbind", self->address));
		ASSERT_EQ(0, write_text(DRIVER "/bind", self->address));
	}
	/* On a loaded host one of them may not have had its turn yet. */
	for (i = 0; i < 3; i++)
		for (round = 0;
		     round < 1000 && !__atomic_load_n(&workers[i].done, __ATOMIC_RELAXED); round++)
			usleep(20000);
	for (i = 0; i < 3; i++)
		__atomic_store_n(&workers[i].stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, workers[i].ret);
		EXPECT_LT(0, workers[i].done);
	}
}

static int unload(void)
{
	return syscall(SYS_delete_module, "q35", O_NONBLOCK) ? -errno : 0;
}

static int load(void)
{
	int fd = open(MODULE, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

TEST_F_TIMEOUT(unplug, the_module_leaves_right_after_its_last_user, 120)
{
	struct q35_hw_desc jobs[2] = {fill_job(BASE, RIG_SIZE, 1), hang_job()};
	unsigned int i;

	EXPECT_EQ(-EAGAIN, unload());
	rig_close(&self->rig);
	self->rig.fd = -1;
	for (i = 0; i < 20; i++) {
		struct rig rig;

		ASSERT_EQ(0, rig_open(&rig, 60000));
		ASSERT_EQ(0, run(rig.fd, rig.queue, jobs, 1));
		ASSERT_EQ(0, submit(rig.fd, rig.queue, jobs, 2, NULL, 0));
		rig_close(&rig);
		ASSERT_EQ(0, unload());
		ASSERT_EQ(0, load());
	}
}

/* Whoever has the file of a fence calls into the module, even when all else is gone. */
TEST_F(unplug, the_module_stays_while_a_fence_is_held)
{
	struct drm_q35_sync sync = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct q35_hw_desc job = fill_job(BASE, 4, 1);
	struct sync_fence_info fence = {0};
	struct sync_file_info info = {.num_fences = 1, .sync_fence_info = (uintptr_t)&fence};
	int file;

	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &job, 1, &sync, 1));
	ASSERT_EQ(0, sync_wait(self->rig.fd, sync.handle));
	ASSERT_EQ(0, drmSyncobjExportSyncFile(self->rig.fd, sync.handle, &file));
	rig_close(&self->rig);
	self->rig.fd = -1;
	EXPECT_EQ(-EAGAIN, unload());
	ASSERT_EQ(0, ioctl(file, SYNC_IOC_FILE_INFO, &info));
	EXPECT_EQ(1, info.status);
	EXPECT_EQ(1, info.num_fences);
	/* Newer kernels have a name of their own for one that is signalled. */
	if (strcmp(fence.obj_name, "signaled-timeline"))
		EXPECT_NE(NULL, strstr(fence.obj_name, "q35-queue-"));
	close(file);
	ASSERT_EQ(0, unload());
	ASSERT_EQ(0, load());
}

TEST_HARNESS_MAIN
