// SPDX-License-Identifier: MIT
/*
 * Every memory allocation and every copy from or to user space fails in turn, in every ioctl, in page
 * faults, and while the driver finds the card: each time the call says ENOMEM or EFAULT, or has done
 * without, and afterwards works. The kernel needs fault injection; kmemleak and the other sanitizers
 * then tell what error paths forget. The card must be alone.
 */
#include "kselftest_harness.h"

#include <glob.h>
#include <libgen.h>
#include <sys/syscall.h>

#include "q35_test.h"

#define MOST 2000 /* more allocations than any call makes */
#define PROBE_STEP 8 /* finding a card has some 600, a second each; $q35_probe_step=1 tries all */
#define DRIVER "/sys/bus/pci/drivers/q35"
#define DEBUGFS "/sys/kernel/debug/"

/*
 * Where the kernel itself does not bear a failure (seen in Linux 6.12), nothing fails: its buddy
 * allocator, when it cannot split a block, gives one back that was free, and crashes later; DRM, when it
 * cannot make a minor's device, drops a reference to the error code instead.
 */
#define BUDDY_ALLOCATOR "gpu_buddy_alloc_blocks"
#define OLD_BUDDY_ALLOCATOR "drm_buddy_alloc_blocks" /* as it was called before */
#define DRM_MINOR "drm_sysfs_minor_alloc"

static int find_function(const char *wanted, unsigned long *start, unsigned long *end)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	char line[512], name[256];
	unsigned long address;

	*start = 0;
	*end = 0;
	while (file && !*end && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx %*c %255s", &address, name) != 2)
			continue;
		if (*start)
			*end = address; /* the next function, as they are sorted */
		else if (!strcmp(name, wanted))
			*start = address;
	}
	if (file)
		fclose(file);
	return *end > *start ? 0 : -ENOENT;
}

static int write_to(const char *kind, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", kind, name);
	return write_text(path, text);
}

/* Also allocations that may wait fail, and nothing is logged. Nothing fails in the function. */
static int set_up_injection(const char *spared)
{
	static const char *const kinds[] = {"failslab", "fail_page_alloc", "fail_usercopy"};
	char first[32], last[32];
	unsigned long start, end;
	int ret = find_function(spared, &start, &end);
	unsigned int i;

	snprintf(first, sizeof(first), "%#lx", start);
	snprintf(last, sizeof(last), "%#lx", end);
	for (i = 0; !ret && i < 3; i++)
		ret = write_to(kinds[i], "verbose", "0") ?:
		      write_to(kinds[i], "reject-start", first) ?:
		      write_to(kinds[i], "reject-end", last) ?:
		      write_to(kinds[i], "stacktrace-depth", "32");
	return ret ?: write_to(kinds[0], "ignore-gfp-wait", "N") ?:
	       write_to(kinds[1], "ignore-gfp-wait", "N") ?:
	       write_to(kinds[1], "ignore-gfp-highmem", "N") ?:
	       write_to(kinds[1], "min-order", "0");
}

static int fail_nth = -1; /* /proc/thread-self/fail-nth */

static void inject(unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	if (fail_nth < 0)
		fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	/* Should it be this write that fails, nothing more does. */
	if (pwrite(fail_nth, text, length, 0) != length &&
	    pwrite(fail_nth, text, length, 0) != length)
		abort();
}

/* Whether the failure has come; nothing fails any more. */
static int injected(void)
{
	char text[16] = {0};
	int came = 0; /* if it comes only now */

	if (pread(fail_nth, text, sizeof(text) - 1, 0) > 0)
		came = !atoi(text);
	else if (errno != EFAULT)
		abort();
	inject(0);
	return came;
}

/*
 * Repeat CALL, an expression of 0 or -errno, with the first, second, … chance to fail taken, until it
 * gets by without a failure; after each success run UNDO.
 */
#define SWEEP(CALL, UNDO)                                                                \
	do {                                                                             \
		unsigned int nth, failures = 0;                                          \
		int ret, hit = 1;                                                        \
		for (nth = 1; hit && nth < MOST; nth++) {                                \
			inject(nth);                                                     \
			ret = (CALL);                                                    \
			hit = injected();                                                \
			failures += !!ret;                                               \
			EXPECT_TRUE(!ret || (hit && (ret == -ENOMEM || ret == -EFAULT))) \
			TH_LOG("%s: %d at the %uth", #CALL, ret, nth);                   \
			if (!ret) {                                                      \
				UNDO;                                                    \
			}                                                                \
		}                                                                        \
		EXPECT_FALSE(hit);                                                       \
		TH_LOG("%s: %u chances, %u failures", #CALL, nth - 2, failures);         \
	} while (0)

FIXTURE(fail_nth)
{
	struct rig rig;
	struct drm_q35_memory before;
};

FIXTURE_SETUP(fail_nth)
{
	if (set_up_injection(BUDDY_ALLOCATOR))
		ASSERT_EQ(0, set_up_injection(OLD_BUDDY_ALLOCATOR));
	ASSERT_EQ(0, rig_open(&self->rig, 0));
	ASSERT_EQ(0, query_memory(self->rig.fd, &self->before));
}

/* The client still works, and device memory is as free as it was. */
FIXTURE_TEARDOWN(fail_nth)
{
	struct q35_hw_desc job = fill_job(BASE, 4, 0x35);
	struct drm_q35_memory after;

	EXPECT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(0x35, self->rig.mem[0]);
	EXPECT_EQ(0, query_memory(self->rig.fd, &after));
	EXPECT_EQ(self->before.free, after.free);
	rig_close(&self->rig);
}

TEST_F_TIMEOUT(fail_nth, queries, 600)
{
	struct drm_q35_bo_mmap_offset offset = {.handle = self->rig.bo};
	struct drm_q35_bo_info info = {.handle = self->rig.bo};
	struct drm_q35_queue_state state;
	struct drm_q35_perf_query perf;
	struct drm_q35_device device;
	struct drm_q35_memory memory;
	int fd = self->rig.fd;

	SWEEP(query_device(fd, &device), );
	SWEEP(query_memory(fd, &memory), );
	SWEEP(call(fd, DRM_IOCTL_Q35_BO_MMAP_OFFSET, &offset), );
	SWEEP(call(fd, DRM_IOCTL_Q35_BO_INFO, &info), );
	SWEEP(queue_state(fd, self->rig.queue, &state), );
	SWEEP(perf_query(fd, self->rig.queue, &perf), );
	SWEEP(perf_query(fd, 0, &perf), );
}

TEST_F_TIMEOUT(fail_nth, buffers, 600)
{
	static const uint32_t flags[] = {0, DRM_Q35_BO_WC, DRM_Q35_BO_DEVICE};
	int fd = self->rig.fd;
	unsigned int i;
	uint32_t bo;

	for (i = 0; i < 3; i++)
		SWEEP(bo_create(fd, 4 * PAGE, flags[i], &bo), bo_close(fd, bo));
	/* Handles that the client was not told are freed with the file. */
	rig_close(&self->rig);
	ASSERT_EQ(0, rig_open(&self->rig, 0));
}

TEST_F_TIMEOUT(fail_nth, page_faults, 600)
{
	static const uint32_t flags[] = {0, DRM_Q35_BO_DEVICE};
	unsigned int i;

	catch_bus_errors();
	for (i = 0; i < 2; i++) {
		uint32_t bo;
		void *mem;

		ASSERT_EQ(0, bo_create(self->rig.fd, 4 * PAGE, flags[i], &bo));
		mem = bo_map(self->rig.fd, bo, 4 * PAGE);
		ASSERT_NE(MAP_FAILED, mem);
		SWEEP(access_faults(mem) ? -ENOMEM : 0, madvise(mem, 4 * PAGE, MADV_DONTNEED));
		munmap(mem, 4 * PAGE);
		SWEEP((mem = bo_map(self->rig.fd, bo, 4 * PAGE)) == MAP_FAILED ? -errno : 0,
		      munmap(mem, 4 * PAGE));
		EXPECT_EQ(0, bo_close(self->rig.fd, bo));
	}
}

TEST_F_TIMEOUT(fail_nth, address_spaces_and_queues, 600)
{
	int fd = self->rig.fd;
	uint32_t vm, queue;

	SWEEP(vm_create(fd, &vm), vm_destroy(fd, vm));
	rig_close(&self->rig);
	ASSERT_EQ(0, rig_open(&self->rig, 0));
	SWEEP(queue_create(fd, self->rig.vm, 0, &queue), queue_destroy(fd, queue));
	rig_close(&self->rig);
	ASSERT_EQ(0, rig_open(&self->rig, 0));
}

/*
 * With the nth chance to fail taken. What fails has done nothing, and works the second time, unless it
 * is the answer that could not be written.
 */
static int destroy_twice(int (*destroy)(int, uint32_t), int fd, uint32_t id, unsigned int nth,
			 int *hit)
{
	int once, twice;

	inject(nth);
	once = destroy(fd, id);
	*hit |= injected();
	twice = destroy(fd, id);
	if (!once)
		return twice == -ENOENT ? 0 : 1;
	return *hit && once == -EFAULT && (!twice || twice == -ENOENT) ? 0 : once;
}

TEST_F_TIMEOUT(fail_nth, destruction_of_what_lives, 600)
{
	struct q35_hw_desc job = fill_job(BASE, RIG_SIZE, 1);
	int fd = self->rig.fd, hit = 1;
	unsigned int nth;

	for (nth = 1; hit && nth < MOST; nth++) {
		uint32_t vm, queue;

		ASSERT_EQ(0, vm_create(fd, &vm));
		ASSERT_EQ(0, map_at(fd, vm, 0, self->rig.bo, 0, BASE, RIG_SIZE));
		ASSERT_EQ(0, queue_create(fd, vm, 0, &queue));
		ASSERT_EQ(0, submit(fd, queue, &job, 1, NULL, 0));
		hit = 0;
		EXPECT_EQ(0, destroy_twice(queue_destroy, fd, queue, nth, &hit));
		EXPECT_EQ(0, destroy_twice(vm_destroy, fd, vm, nth, &hit));
	}
	EXPECT_FALSE(hit);
	EXPECT_LT(2, nth);
}

/* On an error the operations that were not done have left no trace. */
TEST_F_TIMEOUT(fail_nth, bindings, 600)
{
	const uint64_t va = 4 * GIB - MIB; /* two directories, three tables */
	struct q35_hw_desc job = fill_job(va, 4, 2);
	struct drm_q35_bind_op ops[3];
	int fd = self->rig.fd;
	unsigned int i;
	uint32_t bo;

	ASSERT_EQ(0, bo_create(fd, 4 * MIB, DRM_Q35_BO_DEVICE, &bo));
	SWEEP(map_at(fd, self->rig.vm, 0, bo, 0, va, 4 * MIB),
	      unmap_at(fd, self->rig.vm, va, 4 * MIB));
	SWEEP(map_at(fd, self->rig.vm, 0, self->rig.bo, 0, va, RIG_SIZE),
	      unmap_at(fd, self->rig.vm, va, RIG_SIZE));

	/* A hole in a 2 MiB page and one that splits a mapping. */
	SWEEP(unmap_at(fd, self->rig.vm, BASE + PAGE, PAGE),
	      map_at(fd, self->rig.vm, 0, self->rig.bo, 0, BASE, RIG_SIZE));
	for (i = 0; i < 3; i++)
		ops[i] =
			(struct drm_q35_bind_op){.handle = bo, .va = va + i * 2 * MIB, .size = MIB};
	SWEEP(bind_ops(fd, self->rig.vm, ops, 3, NULL), unmap_at(fd, self->rig.vm, va, 6 * MIB));

	ASSERT_EQ(0, map_at(fd, self->rig.vm, 0, self->rig.bo, 0, BASE, RIG_SIZE));
	ASSERT_EQ(0, map_at(fd, self->rig.vm, 0, self->rig.bo, 0, va, RIG_SIZE));
	EXPECT_EQ(0, run(fd, self->rig.queue, &job, 1));
	EXPECT_EQ(2, self->rig.mem[0]);
	ASSERT_EQ(0, unmap_at(fd, self->rig.vm, va, 6 * MIB));
	ASSERT_EQ(0, bo_close(fd, bo));
}

TEST_F_TIMEOUT(fail_nth, submissions, 600)
{
	int fd = self->rig.fd;
	struct q35_hw_desc jobs[3] = {fill_job(BASE, 4, 1), fill_job(BASE, 4, 2),
				      fill_job(BASE, 4, 3)};
	struct drm_q35_sync syncs[3] = {
		{DRM_Q35_SYNC_SIGNAL, sync_create(fd), 0},
		{DRM_Q35_SYNC_SIGNAL | DRM_Q35_SYNC_TIMELINE, sync_create(fd), 1},
		{0, sync_create(fd), 0},
	};

	ASSERT_EQ(0, drmSyncobjSignal(fd, &syncs[2].handle, 1));
	SWEEP(submit(fd, self->rig.queue, NULL, 0, NULL, 0), );
	SWEEP(submit(fd, self->rig.queue, jobs, 3, NULL, 0), );
	SWEEP(submit(fd, self->rig.queue, jobs, 3, syncs, 3), syncs[1].point++);
	ASSERT_EQ(0, run(fd, self->rig.queue, jobs, 3));
	EXPECT_EQ(3, self->rig.mem[0]);
}

static int export(int fd, uint32_t bo, int *file)
{
	return drmPrimeHandleToFD(fd, bo, DRM_CLOEXEC | DRM_RDWR, file) ? -errno : 0;
}

static int import(int fd, int file, uint32_t *bo)
{
	return drmPrimeFDToHandle(fd, file, bo) ? -errno : 0;
}

TEST_F_TIMEOUT(fail_nth, files_and_sharing, 600)
{
	int fd = self->rig.fd, other, file = -1;
	uint32_t bo;

	SWEEP((other = open("/dev/accel/accel0", O_RDWR)) < 0 ? -errno : 0, close(other));
	SWEEP(export(fd, self->rig.bo, &file), close(file));
	ASSERT_EQ(0, export(fd, self->rig.bo, &file));
	other = card_open();
	ASSERT_LE(0, other);
	SWEEP(import(other, file, &bo), bo_close(other, bo));
	close(other);
	close(file);
}

FIXTURE(probing)
{
	char address[32]; /* of the PCI function */
};

FIXTURE_SETUP(probing)
{
	glob_t bound;

	ASSERT_EQ(0, set_up_injection(DRM_MINOR));
	ASSERT_EQ(0, glob(DRIVER "/*:*", 0, NULL, &bound));
	snprintf(self->address, sizeof(self->address), "%.31s", basename(bound.gl_pathv[0]));
	globfree(&bound);
	ASSERT_EQ(0, write_text(DRIVER "/unbind", self->address));
}

FIXTURE_TEARDOWN(probing)
{
	struct rig rig;

	EXPECT_EQ(0, rig_open(&rig, 0));
	rig_close(&rig);
}

TEST_F_TIMEOUT(probing, refuses_a_card_without_memory_for_it_and_finds_it_in_the_end, 1800)
{
	const char *wanted = getenv("q35_probe_step");
	unsigned int step = wanted ? atoi(wanted) : PROBE_STEP, nth, refused = 0;
	int hit = 1;

	ASSERT_LT(0, step);
	for (nth = 1; hit && nth < MOST; nth += step) {
		int file = open(DRIVER "/bind", O_WRONLY), ret;

		inject(nth);
		ret = write(file, self->address, strlen(self->address)) < 0 ? -errno : 0;
		hit = injected();
		close(file);
		EXPECT_TRUE(!ret || hit) TH_LOG("%d at the %uth", ret, nth);
		refused += !!ret;
		if (!ret && hit)
			ASSERT_EQ(0, write_text(DRIVER "/unbind", self->address));
	}
	EXPECT_FALSE(hit);
	EXPECT_LT(10, refused);
	TH_LOG("%u chances, one in %u tried, %u failures", nth, step, refused);
}

TEST_HARNESS_MAIN
