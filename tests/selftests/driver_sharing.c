// SPDX-License-Identifier: MIT
/*
 * Files that several processes hold, and buffers whose handles are closed while something else still
 * needs the memory: a mapping, a binding, an export, a job.
 */
#include "kselftest_harness.h"

#include <sys/wait.h>

#include "q35_test.h"

#define EXECUTED "--executed" /* this program, called by the test of exec() */
#define COPY_SIZE (32 * MIB)

FIXTURE(sharing)
{
	struct rig rig;
};

FIXTURE_SETUP(sharing)
{
	ASSERT_EQ(0, rig_open(&self->rig, 0));
}

FIXTURE_TEARDOWN(sharing)
{
	rig_close(&self->rig);
}

static int fill(int fd, uint32_t queue, uint32_t value)
{
	struct q35_hw_desc job = fill_job(BASE, 4, value);

	return run(fd, queue, &job, 1);
}

static int status_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(sharing, a_forked_child_has_file_queue_and_mapping)
{
	struct drm_gem_close gem = {.handle = self->rig.bo};
	pid_t pid = fork();

	if (!pid)
		_exit(fill(self->rig.fd, self->rig.queue, 2) || self->rig.mem[0] != 2 ||
		      ioctl(self->rig.fd, DRM_IOCTL_GEM_CLOSE, &gem));
	ASSERT_EQ(0, status_of(pid));
	EXPECT_EQ(2, self->rig.mem[0]);
	/* It is one client: the handle has gone here as well, the binding stays. */
	EXPECT_EQ(-EINVAL, bo_close(self->rig.fd, self->rig.bo));
	EXPECT_EQ(0, fill(self->rig.fd, self->rig.queue, 3));
	EXPECT_EQ(3, self->rig.mem[0]);
}

TEST_F(sharing, a_child_goes_on_when_its_parent_has_gone)
{
	int pipes[2], ret = -1;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid) {
		if (!fork()) {
			while (getppid() != 1) /* until the child, its parent, has gone */
				usleep(1000);
			ret = fill(self->rig.fd, self->rig.queue, 4);
			_exit(write(pipes[1], &ret, sizeof(ret)) != sizeof(ret));
		}
		_exit(0);
	}
	ASSERT_EQ(0, status_of(pid));
	ASSERT_EQ(sizeof(ret), read(pipes[0], &ret, sizeof(ret)));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(4, self->rig.mem[0]);
}

/* The program that is executed below. */
static int executed(char **numbers)
{
	int fd = atoi(numbers[0]);
	uint32_t *mem = bo_map(fd, atoi(numbers[2]), RIG_SIZE);

	return mem == MAP_FAILED || fill(fd, atoi(numbers[1]), 5) || mem[0] != 5;
}

TEST_F(sharing, an_executed_program_uses_the_file)
{
	char numbers[3][16];
	pid_t pid;

	ASSERT_EQ(0, fcntl(self->rig.fd, F_SETFD, 0));
	snprintf(numbers[0], sizeof(numbers[0]), "%d", self->rig.fd);
	snprintf(numbers[1], sizeof(numbers[1]), "%u", self->rig.queue);
	snprintf(numbers[2], sizeof(numbers[2]), "%u", self->rig.bo);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "driver_sharing", EXECUTED, numbers[0], numbers[1],
		      numbers[2], NULL);
		_exit(127);
	}
	EXPECT_EQ(0, status_of(pid));
	EXPECT_EQ(5, self->rig.mem[0]);
}

TEST_F(sharing, an_export_outlives_handle_client_and_binding)
{
	uint32_t *mem;
	struct rig other;
	uint32_t handle;
	int file;

	ASSERT_EQ(0, drmPrimeHandleToFD(self->rig.fd, self->rig.bo, DRM_CLOEXEC | DRM_RDWR, &file));
	mem = mmap(NULL, RIG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, bo_close(self->rig.fd, self->rig.bo));
	ASSERT_EQ(0, fill(self->rig.fd, self->rig.queue, 6));
	EXPECT_EQ(6, mem[0]);
	rig_close(&self->rig);

	ASSERT_EQ(0, rig_open(&other, 0));
	ASSERT_EQ(0, drmPrimeFDToHandle(other.fd, file, &handle));
	close(file);
	ASSERT_EQ(0, map_at(other.fd, other.vm, 0, handle, 0, BASE, RIG_SIZE));
	ASSERT_EQ(0, bo_close(other.fd, handle));
	EXPECT_EQ(0, fill(other.fd, other.queue, 7));
	EXPECT_EQ(7, mem[0]);
	rig_close(&other);
	EXPECT_EQ(7, mem[0]);
	munmap(mem, RIG_SIZE);
	ASSERT_EQ(0, rig_open(&self->rig, 0));
}

/* A copy long enough to be in flight while everything around it is closed. */
TEST_F(sharing, a_buffer_in_flight_is_closed)
{
	struct drm_q35_sync sync = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct q35_hw_desc job = copy_job(5 * GIB, 4 * GIB, COPY_SIZE);
	uint32_t from, to, *source, *target;

	ASSERT_EQ(0, bo_create(self->rig.fd, COPY_SIZE, 0, &from));
	ASSERT_EQ(0, bo_create(self->rig.fd, COPY_SIZE, 0, &to));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, from, 0, 4 * GIB, COPY_SIZE));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, to, 0, 5 * GIB, COPY_SIZE));
	source = bo_map(self->rig.fd, from, COPY_SIZE);
	target = bo_map(self->rig.fd, to, COPY_SIZE);
	ASSERT_NE(MAP_FAILED, source);
	ASSERT_NE(MAP_FAILED, target);
	source[0] = 1;
	source[COPY_SIZE / 4 - 1] = 2;

	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &job, 1, &sync, 1));
	munmap(source, COPY_SIZE);
	EXPECT_EQ(0, bo_close(self->rig.fd, from));
	EXPECT_EQ(0, bo_close(self->rig.fd, to));
	EXPECT_EQ(0, vm_destroy(self->rig.fd, self->rig.vm));
	EXPECT_EQ(0, sync_wait(self->rig.fd, sync.handle));
	EXPECT_EQ(0, sync_status(self->rig.fd, sync.handle));
	EXPECT_EQ(1, target[0]);
	EXPECT_EQ(2, target[COPY_SIZE / 4 - 1]);
	munmap(target, COPY_SIZE);
}

/* With the file closed as well, only the kernel knows of the job. */
TEST_F(sharing, a_client_in_flight_is_closed)
{
	struct q35_hw_desc job = copy_job(5 * GIB, 4 * GIB, COPY_SIZE);
	struct drm_q35_memory before, after;
	uint32_t from, to;
	int i;

	ASSERT_EQ(0, query_memory(self->rig.fd, &before));
	ASSERT_EQ(0, bo_create(self->rig.fd, COPY_SIZE, DRM_Q35_BO_DEVICE, &from));
	ASSERT_EQ(0, bo_create(self->rig.fd, COPY_SIZE, DRM_Q35_BO_DEVICE, &to));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, from, 0, 4 * GIB, COPY_SIZE));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, to, 0, 5 * GIB, COPY_SIZE));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &job, 1, NULL, 0));
	rig_close(&self->rig);

	ASSERT_EQ(0, rig_open(&self->rig, 0));
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(0, query_memory(self->rig.fd, &after));
		if (after.free == before.free)
			break;
		usleep(10000);
	}
	EXPECT_EQ(before.free, after.free);
	EXPECT_EQ(0, fill(self->rig.fd, self->rig.queue, 8));
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], EXECUTED))
		return executed(argv + 2);
	return test_harness_run(argc, argv);
}
