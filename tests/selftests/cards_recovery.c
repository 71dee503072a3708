// SPDX-License-Identifier: MIT
/*
 * The whole card is reset with jobs in flight: because one client's queue cannot be, or by the PCI
 * core, for which the shell command in $Q35_TRIGGER sees. The card must have been started
 * with x-fault=reset-fails+hang-fill+slow, with which each job takes 100 ms.
 */
#include "kselftest_harness.h"

#include <pthread.h>
#include <sys/resource.h>

#include "q35_test.h"

#define TIMEOUT_MS 300 /* of the guilty one */
#define BATCHES 20

FIXTURE(recovery)
{
	struct rig guilty, innocent;
};

FIXTURE_SETUP(recovery)
{
	ASSERT_EQ(0, rig_open(&self->guilty, TIMEOUT_MS));
	ASSERT_EQ(0, rig_open(&self->innocent, 60000));
}

FIXTURE_TEARDOWN(recovery)
{
	rig_close(&self->guilty);
	rig_close(&self->innocent);
}

static long count_resets(void)
{
	char path[128];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/q35/card_resets", getenv("Q35_CARD"));
	file = fopen(path, "r");
	if (file) {
		if (fscanf(file, "%ld", &value) != 1)
			value = -1;
		fclose(file);
	}
	return value;
}

#define LOG (BASE + MIB)

/*
 * A chain in which no step may run twice after a later one has run: words move along, and are
 * logged. Of each batch i, from 1: log[i] = i, i - 1, i - 2.
 */
static int submit_chain(struct rig *rig, struct drm_q35_sync sync[BATCHES + 1])
{
	unsigned int i;
	int ret = 0;

	memset(rig->mem, 0, RIG_SIZE);
	for (i = 1; i <= BATCHES && !ret; i++) {
		struct q35_hw_desc jobs[4] = {
			copy_job(BASE + 8, BASE + 4, 4),
			copy_job(BASE + 4, BASE, 4),
			fill_job(BASE, 4, i),
			copy_job(LOG + 16 * i, BASE, 12),
		};

		sync[i] = (struct drm_q35_sync){DRM_Q35_SYNC_SIGNAL, sync_create(rig->fd), 0};
		ret = submit(rig->fd, rig->queue, jobs, 4, &sync[i], 1);
	}
	return ret;
}

/* How many of the chain's batches have not gone as they should. */
static unsigned int check_chain(struct rig *rig, struct drm_q35_sync sync[BATCHES + 1])
{
	unsigned int i, wrong = 0;

	for (i = 1; i <= BATCHES; i++) {
		const uint32_t *at = rig->mem + (LOG - BASE + 16 * i) / 4;

		if (sync_wait(rig->fd, sync[i].handle) || sync_status(rig->fd, sync[i].handle) ||
		    at[0] != i || at[1] != i - 1 || at[2] != (i < 2 ? 0 : i - 2)) {
			printf("# batch %u: status %d, %u %u %u\n", i,
			       sync_status(rig->fd, sync[i].handle), at[0], at[1], at[2]);
			wrong++;
		}
		drmSyncobjDestroy(rig->fd, sync[i].handle);
	}
	return wrong;
}

TEST_F_TIMEOUT(recovery, innocent_jobs_run_exactly_as_without_it, 240)
{
	struct drm_q35_sync sync[BATCHES + 1];
	struct drm_q35_queue_state state;
	struct q35_hw_desc hang = hang_job();
	struct drm_q35_perf_query perf;
	long before = count_resets();

	ASSERT_EQ(0, submit_chain(&self->innocent, sync));
	EXPECT_EQ(-EIO, run(self->guilty.fd, self->guilty.queue, &hang, 1));
	EXPECT_EQ(before + 1, count_resets());
	ASSERT_EQ(0, queue_state(self->guilty.fd, self->guilty.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_HANG, state.status);
	EXPECT_EQ(1, sync_status(self->innocent.fd, sync[BATCHES].handle)); /* still at it */

	EXPECT_EQ(0, check_chain(&self->innocent, sync));
	ASSERT_EQ(0, queue_state(self->innocent.fd, self->innocent.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_OK, state.status);
	ASSERT_EQ(0, perf_query(self->innocent.fd, self->innocent.queue, &perf));
	EXPECT_LE(4 * BATCHES, perf.jobs);
	EXPECT_GE(4 * BATCHES + 1, perf.jobs); /* one may have been counted and not written back */
}

/* A product of zeros that adds to its output, which is what cannot be repeated. */
static struct q35_hw_desc in_place_job(void)
{
	struct q35_hw_desc job = {.op = Q35_OP_GEMM, .flags = Q35_DESC_BARRIER};

	job.gemm = (struct q35_hw_gemm){
		.x_va = BASE,
		.tiles_va = BASE + PAGE,
		.meta_va = BASE + 2 * PAGE,
		.codebook_va = BASE + 3 * PAGE,
		.aux_va = BASE + 4 * PAGE,
		.y_va = BASE + 4 * PAGE,
		.m = 1,
		.n = 64,
		.k = 8,
		.x_stride = 32,
		.aux_stride = 256,
		.y_stride = 256,
		.combine = Q35_HW_COMBINE_ADD,
		.window_bits = 8,
	};
	return job;
}

TEST_F_TIMEOUT(recovery, a_queue_that_cannot_repeat_is_lost_from_there_on, 240)
{
	struct q35_hw_desc job = in_place_job(), hang = hang_job();
	struct drm_q35_sync sync[BATCHES + 20];
	const unsigned int jobs = BATCHES + 20;
	struct drm_q35_queue_state state;
	unsigned int i, complete = 0;

	for (i = 0; i < jobs; i++) {
		sync[i] = (struct drm_q35_sync){DRM_Q35_SYNC_SIGNAL, sync_create(self->innocent.fd),
						0};
		ASSERT_EQ(0, submit(self->innocent.fd, self->innocent.queue, &job, 1, &sync[i], 1));
	}
	EXPECT_EQ(-EIO, run(self->guilty.fd, self->guilty.queue, &hang, 1));
	for (i = 0; i < jobs; i++) {
		int status;

		ASSERT_EQ(0, sync_wait(self->innocent.fd, sync[i].handle));
		status = sync_status(self->innocent.fd, sync[i].handle);
		if (!status && complete == i)
			complete++;
		else
			EXPECT_EQ(-ECANCELED, status);
	}
	ASSERT_EQ(0, queue_state(self->innocent.fd, self->innocent.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_LOST, state.status);
	EXPECT_LT(0, complete);
	EXPECT_GT(jobs, complete);
	EXPECT_EQ(complete, state.submission);
	EXPECT_EQ(-EIO, submit(self->innocent.fd, self->innocent.queue, &job, 1, NULL, 0));
}

FIXTURE(reset)
{
	struct rig rig;
	uint32_t bo;
	volatile uint32_t *mem; /* 4 MiB of device memory, at 4 GiB for the card */
};

FIXTURE_SETUP(reset)
{
	unsigned int i;

	ASSERT_NE(NULL, getenv("Q35_TRIGGER"));
	ASSERT_EQ(0, rig_open(&self->rig, 60000));
	ASSERT_EQ(0, bo_create(self->rig.fd, 4 * MIB, DRM_Q35_BO_DEVICE, &self->bo));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, self->bo, 0, 4 * GIB, 4 * MIB));
	self->mem = bo_map(self->rig.fd, self->bo, 4 * MIB);
	ASSERT_NE(MAP_FAILED, self->mem);
	for (i = 0; i < MIB; i += 1024)
		self->mem[i] = i;
}

FIXTURE_TEARDOWN(reset)
{
	munmap((void *)self->mem, 4 * MIB);
	rig_close(&self->rig);
}

struct counting {
	struct rig *rig;
	int stop, wrong;
	unsigned int times;
};

/* The counters of a queue only grow. */
static void *count(void *arg)
{
	struct drm_q35_perf_query before = {0}, now;
	struct counting *counting = arg;

	while (!__atomic_load_n(&counting->stop, __ATOMIC_RELAXED) && !counting->wrong) {
		counting->wrong = perf_query(counting->rig->fd, counting->rig->queue, &now);
		if (now.jobs < before.jobs || now.cycles < before.cycles ||
		    now.link_bytes < before.link_bytes || now.busy_ns < before.busy_ns)
			counting->wrong = 1;
		before = now;
		counting->times++;
		usleep(1000);
	}
	return NULL;
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt;
}

TEST_F_TIMEOUT(reset, with_jobs_in_flight_is_hidden_from_them, 240)
{
	struct counting counting = {.rig = &self->rig};
	struct drm_q35_sync sync[BATCHES + 1];
	struct drm_q35_queue_state state;
	pthread_t thread;
	unsigned int i;
	long before;

	ASSERT_EQ(0, submit_chain(&self->rig, sync));
	ASSERT_EQ(0, pthread_create(&thread, NULL, count, &counting));
	usleep(350000);
	ASSERT_EQ(0, self->mem[0]);
	ASSERT_EQ(0, system(getenv("Q35_TRIGGER")));
	EXPECT_EQ(1, sync_status(self->rig.fd, sync[BATCHES].handle)); /* still at it */
	/* Nobody could reach the card's memory meanwhile: its mapping comes back when it is touched. */
	before = faults();
	EXPECT_EQ(0, self->mem[0]);
	EXPECT_LT(before, faults());
	EXPECT_EQ(0, check_chain(&self->rig, sync));
	ASSERT_EQ(0, queue_state(self->rig.fd, self->rig.queue, &state));
	EXPECT_EQ(DRM_Q35_QUEUE_OK, state.status);
	for (i = 0; i < MIB; i += 1024)
		ASSERT_EQ(i, self->mem[i]);
	__atomic_store_n(&counting.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, counting.wrong);
	EXPECT_LT(10, counting.times);
}

struct reading {
	const uint32_t *from; /* in the card's memory */
	uint32_t value; /* that is there */
	pthread_t thread;
	int stop, wrong;
	long most; /* faults of one call */
	unsigned int spun; /* calls with more faults than ticks */
};

/* The kernel reads the card's memory, for a system call, over and over. */
static void *read_in_calls(void *arg)
{
	struct reading *reading = arg;
	int pipes[2];

	reading->wrong = pipe(pipes);
	while (!__atomic_load_n(&reading->stop, __ATOMIC_RELAXED) && !reading->wrong) {
		int64_t start = deadline(0);
		long before = faults(), calls;
		uint32_t value = 0;

		reading->wrong = write(pipes[1], reading->from, 4) != 4;
		calls = faults() - before;
		if (calls > reading->most)
			reading->most = calls;
		reading->spun += calls > 10 + (deadline(0) - start) / 1000000; /* at 1000 Hz */
		if (!reading->wrong)
			reading->wrong = read(pipes[0], &value, 4) != 4 || value != reading->value;
	}
	close(pipes[0]);
	close(pipes[1]);
	return NULL;
}

static void ignore(int signal)
{
}

static void *send_signals(void *arg)
{
	struct reading *reading = arg;

	while (!__atomic_load_n(&reading->stop, __ATOMIC_RELAXED)) {
		pthread_kill(reading->thread, SIGUSR1);
		usleep(1000);
	}
	return NULL;
}

/* A fault of the kernel's own cannot be interrupted, and sleeps all the same until the card is back. */
TEST_F_TIMEOUT(reset, signals_do_not_make_a_system_call_spin, 240)
{
	struct reading reading = {.from = (uint32_t *)self->mem + 1024, .value = 1024};
	pthread_t sender;
	unsigned int i;

	ASSERT_NE(SIG_ERR, signal(SIGUSR1, ignore));
	ASSERT_EQ(0, pthread_create(&reading.thread, NULL, read_in_calls, &reading));
	ASSERT_EQ(0, pthread_create(&sender, NULL, send_signals, &reading));
	for (i = 0; i < 50 && __atomic_load_n(&reading.most, __ATOMIC_RELAXED) < 2; i++)
		ASSERT_EQ(0, system(getenv("Q35_TRIGGER")));
	__atomic_store_n(&reading.stop, 1, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	pthread_join(reading.thread, NULL);
	EXPECT_EQ(0, reading.wrong);
	EXPECT_LE(2, reading.most); /* one of them was there when the card was not */
	EXPECT_EQ(0, reading.spun) TH_LOG("%ld faults", reading.most);
}

TEST_F_TIMEOUT(reset, of_an_idle_card_keeps_it_working, 240)
{
	struct q35_hw_desc job = copy_job(BASE, 4 * GIB + MIB, 64);
	unsigned int i;

	for (i = 0; i < 2; i++) {
		usleep(i * 1500000); /* the second time it sleeps */
		ASSERT_EQ(0, system(getenv("Q35_TRIGGER")));
		self->rig.mem[0] = 0;
		ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
		EXPECT_EQ(MIB / 4, self->rig.mem[0]);
		EXPECT_EQ(1024, self->mem[1024]);
	}
}

TEST_HARNESS_MAIN
