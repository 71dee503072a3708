// SPDX-License-Identifier: MIT
/*
 * Jobs that fault or hang: their owner learns what happened, and nobody else notices. The card must
 * have been started with x-fault=hang-fill.
 */
#include "kselftest_harness.h"

#include <glob.h>
#include <pthread.h>
#include <sys/wait.h>

#include "q35_test.h"

#define TIMEOUT_MS 100

FIXTURE(fault)
{
	struct rig rig;
};

FIXTURE_SETUP(fault)
{
	ASSERT_EQ(0, rig_open(&self->rig, TIMEOUT_MS));
}

FIXTURE_TEARDOWN(fault)
{
	rig_close(&self->rig);
}

TEST_F(fault, is_reported_with_address_access_and_job)
{
	struct q35_hw_desc jobs[3] = {
		fill_job(BASE, 4, 1),
		fill_job(5 * GIB + 64, 4, 1),
		fill_job(BASE + 4, 4, 1),
	};
	struct drm_q35_queue_state state;

	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, 1));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, 1));
	ASSERT_EQ(0, queue_state(self->rig.fd, self->rig.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_OK, state.status);

	EXPECT_EQ(-EIO, run(self->rig.fd, self->rig.queue, jobs, 3));
	ASSERT_EQ(0, queue_state(self->rig.fd, self->rig.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_FAULT, state.status);
	EXPECT_EQ(Q35_FAULT_UNMAPPED, state.fault_code);
	EXPECT_EQ(Q35_FAULT_WRITE, state.fault_info & Q35_FAULT_WRITE);
	EXPECT_EQ(5 * GIB + 64, state.fault_addr);
	EXPECT_EQ(1, state.job_index);
	EXPECT_EQ(2, state.submission);
	EXPECT_EQ(0, self->rig.mem[1]);
	EXPECT_EQ(-EIO, submit(self->rig.fd, self->rig.queue, jobs, 1, NULL, 0));
}

TEST_F(fault, of_a_descriptor_names_the_field)
{
	struct q35_hw_desc job = fill_job(BASE, 4, 1);
	struct drm_q35_queue_state state;

	job.fill.reserved[5] = 1;
	EXPECT_EQ(-EIO, run(self->rig.fd, self->rig.queue, &job, 1));
	ASSERT_EQ(0, queue_state(self->rig.fd, self->rig.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_FAULT, state.status);
	EXPECT_EQ(Q35_FAULT_DESCRIPTOR, state.fault_code);
	EXPECT_EQ(offsetof(struct q35_hw_desc, fill.reserved), state.fault_info & Q35_FAULT_FIELD);
}

TEST_F(fault, the_owner_can_start_again_with_a_new_queue)
{
	struct q35_hw_desc bad = fill_job(5 * GIB, 4, 1), good = fill_job(BASE, 4, 0x900d);
	unsigned int i;

	for (i = 0; i < 40; i++) {
		ASSERT_EQ(-EIO, run(self->rig.fd, self->rig.queue, &bad, 1));
		ASSERT_EQ(0, queue_destroy(self->rig.fd, self->rig.queue));
		ASSERT_EQ(0,
			  queue_create(self->rig.fd, self->rig.vm, TIMEOUT_MS, &self->rig.queue));
		self->rig.mem[0] = 0;
		ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &good, 1));
		ASSERT_EQ(0x900d, self->rig.mem[0]);
	}
}

TEST_F(fault, a_hang_ends_after_its_timeout_with_eio_and_the_rest_with_ecanceled)
{
	struct q35_hw_desc jobs[2] = {fill_job(BASE + 4, 4, 1), hang_job()};
	struct drm_q35_sync sync[3];
	struct drm_q35_queue_state state;
	int64_t start;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		sync[i] = (struct drm_q35_sync){DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
		ASSERT_EQ(0,
			  submit(self->rig.fd, self->rig.queue, jobs, i == 1 ? 2 : 1, &sync[i], 1));
	}
	start = deadline(0);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, sync_wait(self->rig.fd, sync[i].handle));
	EXPECT_LT((TIMEOUT_MS - 20) * 1000000ll, deadline(0) - start);
	EXPECT_EQ(0, sync_status(self->rig.fd, sync[0].handle));
	EXPECT_EQ(-EIO, sync_status(self->rig.fd, sync[1].handle));
	EXPECT_EQ(-ECANCELED, sync_status(self->rig.fd, sync[2].handle));
	ASSERT_EQ(0, queue_state(self->rig.fd, self->rig.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_HANG, state.status);
	EXPECT_EQ(1, state.job_index);
	EXPECT_EQ(1, state.submission);
	EXPECT_EQ(-EIO, submit(self->rig.fd, self->rig.queue, jobs, 1, NULL, 0));
}

struct innocent {
	struct rig rig;
	int stop, wrong;
	unsigned int done;
};

static void *work(void *arg)
{
	struct innocent *innocent = arg;

	while (!__atomic_load_n(&innocent->stop, __ATOMIC_RELAXED) && !innocent->wrong) {
		struct q35_hw_desc job = fill_job(BASE, MIB, ++innocent->done);

		innocent->wrong = run(innocent->rig.fd, innocent->rig.queue, &job, 1);
		if (!innocent->wrong && innocent->rig.mem[MIB / 4 - 1] != innocent->done)
			innocent->wrong = 1;
	}
	return NULL;
}

TEST_F_TIMEOUT(fault, others_never_notice, 120)
{
	struct q35_hw_desc hang = hang_job(), bad = fill_job(5 * GIB, 4, 1);
	struct innocent innocent = {0};
	unsigned int i, before;
	pthread_t thread;

	ASSERT_EQ(0, rig_open(&innocent.rig, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, work, &innocent));
	for (i = 0; i < 20; i++) {
		before = __atomic_load_n(&innocent.done, __ATOMIC_RELAXED);
		ASSERT_EQ(-EIO, run(self->rig.fd, self->rig.queue, i % 2 ? &hang : &bad, 1));
		ASSERT_EQ(0, queue_destroy(self->rig.fd, self->rig.queue));
		ASSERT_EQ(0,
			  queue_create(self->rig.fd, self->rig.vm, TIMEOUT_MS, &self->rig.queue));
		if (i % 2)
			EXPECT_LT(before, __atomic_load_n(&innocent.done, __ATOMIC_RELAXED));
	}
	__atomic_store_n(&innocent.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, innocent.wrong);
	rig_close(&innocent.rig);
}

static unsigned long host_free_kib(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

struct slabs {
	unsigned int count;
	char name[512][32];
	unsigned long objects[512];
};

/*
 * Objects in use, by the allocator's count, which is off by the few slabs that each processor holds
 * ready: not of those with so many objects that this matters, nor of vmalloc's, freed late.
 */
static void read_slabs(struct slabs *slabs)
{
	FILE *file = fopen("/proc/slabinfo", "r");
	unsigned int in_a_slab;
	char line[256];

	slabs->count = 0;
	while (file && slabs->count < 512 && fgets(line, sizeof(line), file))
		slabs->count += sscanf(line, "%31s %lu %*u %*u %u", slabs->name[slabs->count],
				       &slabs->objects[slabs->count], &in_a_slab) == 3 &&
				in_a_slab <= 128 && strcmp(slabs->name[slabs->count], "vmap_area");
	if (file)
		fclose(file);
}

/* A kind of object of which 800 more are in use than before, or NULL; RCU may take a while. */
static const char *grown_slab(const struct slabs *before)
{
	static struct slabs after;
	unsigned int i, seconds;

	for (seconds = 0; seconds < 20; seconds++) {
		read_slabs(&after);
		for (i = 0; i < after.count; i++)
			if (i >= before->count || strcmp(before->name[i], after.name[i]) ||
			    after.objects[i] > before->objects[i] + 800)
				break;
		if (i == after.count)
			return NULL;
		sleep(1);
	}
	return after.name[i];
}

TEST_F_TIMEOUT(fault, a_thousand_hangs_leave_no_leak, 600)
{
	const int kasan = !access("/sys/kernel/debug/kmemleak", F_OK);
	static struct slabs before;
	struct q35_hw_desc hang = hang_job();
	unsigned long free_before = 0;
	const char *leak;
	unsigned int i;

	for (i = 0; i < 1020; i++) {
		uint32_t queue;

		if (i == 20) { /* slabs and per-CPU caches are warm */
			free_before = host_free_kib();
			read_slabs(&before);
		}
		ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 1, &queue));
		ASSERT_EQ(-EIO, run(self->rig.fd, queue, &hang, 1));
		ASSERT_EQ(0, queue_destroy(self->rig.fd, queue));
	}
	/* A leaked ring alone would be 125 MiB. KASAN keeps what is freed, up to a 32nd of all memory. */
	EXPECT_LT(free_before - (kasan ? 96 : 8) * 1024, host_free_kib());

	/* Nor is of any kind of object one more in use for each hang. With KASAN it is kmemleak that looks. */
	if (kasan)
		return;
	ASSERT_LT(10, before.count);
	leak = grown_slab(&before);
	EXPECT_EQ(NULL, leak) TH_LOG("%s", leak);
}

TEST_F(fault, destroying_a_queue_cancels_its_jobs)
{
	struct drm_q35_sync sync = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct q35_hw_desc hang = hang_job();
	uint32_t queue;

	ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 60000, &queue));
	ASSERT_EQ(0, submit(self->rig.fd, queue, &hang, 1, &sync, 1));
	ASSERT_EQ(0, queue_destroy(self->rig.fd, queue));
	ASSERT_EQ(0, sync_wait(self->rig.fd, sync.handle));
	EXPECT_EQ(-ECANCELED, sync_status(self->rig.fd, sync.handle));
}

TEST_F(fault, closing_the_file_with_jobs_in_flight_frees_all)
{
	struct drm_q35_memory before, after;
	unsigned int i;

	ASSERT_EQ(0, query_memory(self->rig.fd, &before));
	for (i = 0; i < 10; i++) {
		struct q35_hw_desc jobs[2] = {fill_job(4 * GIB, 4 * MIB, i), hang_job()};
		struct rig rig;
		uint32_t bo;

		ASSERT_EQ(0, rig_open(&rig, 60000));
		ASSERT_EQ(0, bo_create(rig.fd, 4 * MIB, DRM_Q35_BO_DEVICE, &bo));
		ASSERT_EQ(0, map_at(rig.fd, rig.vm, 0, bo, 0, 4 * GIB, 4 * MIB));
		ASSERT_EQ(0, submit(rig.fd, rig.queue, jobs, 2, NULL, 0));
		ASSERT_EQ(0, submit(rig.fd, rig.queue, jobs, 2, NULL, 0));
		rig_close(&rig);
	}
	ASSERT_EQ(0, query_memory(self->rig.fd, &after));
	EXPECT_EQ(before.free, after.free);
}

TEST_F(fault, killing_a_client_with_jobs_in_flight_frees_its_queue)
{
	struct drm_q35_device info;
	unsigned int i;

	ASSERT_EQ(0, query_device(self->rig.fd, &info));
	for (i = 0; i < 2 * info.queues; i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			struct q35_hw_desc hang = hang_job();
			struct rig rig;

			if (rig_open(&rig, 60000) || run(rig.fd, rig.queue, &hang, 1) != -ETIME)
				_exit(1);
			_exit(0);
		}
		usleep(20000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
	}
}

/* Another queue may wait for a fence: its failure releases the waiter, and does not spread. */
TEST_F(fault, a_waiter_for_a_failed_job_runs)
{
	struct drm_q35_sync out = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct drm_q35_sync syncs[2] = {
		{0, out.handle, 0},
		{DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0},
	};
	struct q35_hw_desc hang = hang_job(), good = fill_job(BASE + 64, 4, 0x900d);
	uint32_t other;

	ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 0, &other));
	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &hang, 1, &out, 1));
	ASSERT_EQ(0, submit(self->rig.fd, other, &good, 1, syncs, 2));
	ASSERT_EQ(0, sync_wait(self->rig.fd, syncs[1].handle));
	EXPECT_EQ(0, sync_status(self->rig.fd, syncs[1].handle));
	EXPECT_EQ(0x900d, self->rig.mem[16]);
}

/* Its owner unmaps memory under a job that hangs: the call returns once the job is gone. */
TEST_F(fault, unmapping_under_a_hanging_job_waits_for_its_end)
{
	struct drm_q35_sync out = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
	struct q35_hw_desc hang = hang_job();

	ASSERT_EQ(0, submit(self->rig.fd, self->rig.queue, &hang, 1, &out, 1));
	ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, BASE, RIG_SIZE));
	ASSERT_EQ(0, sync_wait(self->rig.fd, out.handle));
	EXPECT_EQ(-EIO, sync_status(self->rig.fd, out.handle));
}

#define DUMPS "/sys/class/devcoredump/devcd*/data"

/* Of the one dump there is; writing to it discards it. Return: a file, or -1 if there is none. */
static int open_dump(int flags)
{
	glob_t found;
	int fd;

	if (glob(DUMPS, 0, NULL, &found))
		return -1;
	fd = open(found.gl_pathv[0], flags);
	globfree(&found);
	return fd;
}

static void discard_dump(void)
{
	unsigned int i;
	int fd;

	for (i = 0; i < 200 && (fd = open_dump(O_WRONLY)) >= 0; i++) {
		if (write(fd, "1", 1) != 1)
			perror("discarding a dump");
		close(fd);
		usleep(10000);
	}
}

/* Of the failure that has just happened, to be freed; NULL if none comes. */
static char *read_dump(void)
{
	const size_t max = 65536;
	char *text = calloc(1, max);
	size_t length = 0;
	unsigned int i;
	ssize_t got;
	int fd = -1;

	for (i = 0; i < 500 && (fd = open_dump(O_RDONLY)) < 0; i++)
		usleep(10000);
	while (fd >= 0 && length < max - 1 && (got = read(fd, text + length, max - 1 - length)) > 0)
		length += got;
	if (fd < 0) {
		free(text);
		return NULL;
	}
	close(fd);
	return text;
}

TEST_F(fault, leaves_a_dump_with_job_and_walk)
{
	struct q35_hw_desc jobs[2] = {fill_job(BASE, 4, 1), fill_job(BASE + 16 * PAGE, 4, 0x5eed)};
	char *text, line[128];

	ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, BASE + 16 * PAGE, PAGE));
	discard_dump();
	ASSERT_EQ(-EIO, run(self->rig.fd, self->rig.queue, jobs, 2));
	text = read_dump();
	ASSERT_NE(NULL, text);
	EXPECT_EQ(text, strstr(text, "q35 coredump 1\nreason: fault\n"));
	EXPECT_NE(NULL, strstr(text, "\ncard 0x000: 41353351 "));
	EXPECT_NE(NULL, strstr(text, "\nqueue 0 0x000: 00000001 00000003 ")); /* enabled, FAULTED */
	snprintf(line, sizeof(line), " of driver_fault (%d), address space ", getpid());
	EXPECT_NE(NULL, strstr(text, line));
	EXPECT_NE(NULL, strstr(text, "\nfault: code 1, info 0x80000000, address 0x40010000\n"));
	EXPECT_NE(NULL, strstr(text, "\nsubmission: 0, job 1, 2 jobs from ring index 0x0\n"));
	snprintf(line, sizeof(line), "\ndescriptor 0x000: %016llx %016llx %016llx %016llx\n",
		 0x00070003ull, 1ull, (unsigned long long)jobs[1].fill.dst_va, 4ull);
	EXPECT_NE(NULL, strstr(text, line));
	/* A directory and a table, in which the entry is empty. */
	EXPECT_NE(NULL, strstr(text, "\nwalk 2: "));
	EXPECT_EQ(NULL, strstr(text, "\nwalk 2: 0000000000000000\n"));
	EXPECT_NE(NULL, strstr(text, "\nwalk 1: "));
	EXPECT_EQ(NULL, strstr(text, "\nwalk 1: 0000000000000000\n"));
	EXPECT_NE(NULL, strstr(text, "\nwalk 0: 0000000000000000\n"));
	free(text);
	discard_dump();
}

/* And in it the priority that the card was given. */
TEST_F(fault, a_hang_leaves_a_dump)
{
	struct drm_q35_queue_create args = {
		.vm_id = self->rig.vm,
		.priority = 2,
		.timeout_ms = TIMEOUT_MS,
	};
	struct q35_hw_desc hang = hang_job();
	char *text;

	ASSERT_EQ(0, call(self->rig.fd, DRM_IOCTL_Q35_QUEUE_CREATE, &args));
	discard_dump();
	ASSERT_EQ(-EIO, run(self->rig.fd, args.queue_id, &hang, 1));
	text = read_dump();
	ASSERT_NE(NULL, text);
	/* Enabled, running, address space, priority: of the rig's queue and of the one that hangs. */
	EXPECT_NE(NULL, strstr(text, "\nqueue 0 0x000: 00000001 00000001 00000000 00000001 "));
	EXPECT_NE(NULL, strstr(text, "\nqueue 1 0x000: 00000001 00000002 00000000 00000002 "));
	EXPECT_EQ(text, strstr(text, "q35 coredump 1\nreason: hang\n"));
	EXPECT_NE(NULL, strstr(text, "\nsubmission: 0, job 0, 1 jobs from ring index 0x0\n"));
	free(text);
	discard_dump();
}

TEST_HARNESS_MAIN
