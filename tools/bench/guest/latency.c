// SPDX-License-Identifier: MIT
/*
 * In a guest with the card: how fast submission after submission comes back, each waited for, beside
 * two threads of the same guest that wake each other with eventfds, or one that signals the other's
 * fences of vgem; and what that costs in register accesses, each an exit to the host, and interrupts, by
 * the driver's own count. For guest.sh, rows of name|value|unit|peer|peer's value.
 */
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "q35_test.h"

#define ROUNDS 15 /* of each measurement, by turns; the medians count */
#define TRIPS 200 /* in a round */
#define BATCH 64
#define KINDS 4
#define STATS "/sys/kernel/debug/accel/*:*/stats"

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int there, back; /* eventfds */

static void *answer(void *arg)
{
	uint64_t value;

	(void)arg;
	while (read(there, &value, sizeof(value)) == sizeof(value) && value == 1)
		if (write(back, &value, sizeof(value)) != sizeof(value))
			break;
	return NULL;
}

static void trip_of_eventfds(void)
{
	uint64_t value = 1;

	if (write(there, &value, sizeof(value)) != sizeof(value) ||
	    read(back, &value, sizeof(value)) != sizeof(value))
		die("eventfd");
}

/* Of vgem's ABI, whose header Debian has in no package for user space. */
struct vgem_attach {
	uint32_t handle, flags, fence, pad;
};

struct vgem_signal {
	uint32_t fence, flags;
};

#define VGEM_ATTACH DRM_IOWR(DRM_COMMAND_BASE + 1, struct vgem_attach)
#define VGEM_SIGNAL DRM_IOW(DRM_COMMAND_BASE + 2, struct vgem_signal)
#define VGEM_WRITE 1 /* exclusive, so that readers wait for it */

/* A device with nothing behind it: its fence is attached to a buffer, and a thread signals it. */
static int vgem = -1, vgem_asked, vgem_file;
static uint32_t vgem_buffer;

static void *be_device(void *arg)
{
	uint64_t fence;

	(void)arg;
	while (read(vgem_asked, &fence, sizeof(fence)) == sizeof(fence)) {
		struct vgem_signal signal = {.fence = fence};

		if (drmIoctl(vgem, VGEM_SIGNAL, &signal))
			die("vgem's fence");
	}
	return NULL;
}

static void be_vgem(void)
{
	struct drm_mode_create_dumb create = {.width = PAGE / 4, .height = 1, .bpp = 32};
	pthread_t thread;

	vgem = vgem_open();
	vgem_asked = eventfd(0, 0);
	if (vgem < 0 || vgem_asked < 0 || drmIoctl(vgem, DRM_IOCTL_MODE_CREATE_DUMB, &create) ||
	    drmPrimeHandleToFD(vgem, create.handle, 0, &vgem_file) ||
	    pthread_create(&thread, NULL, be_device, NULL))
		die("vgem");
	vgem_buffer = create.handle;
}

static void trip_of_vgem(void)
{
	struct vgem_attach attach = {.handle = vgem_buffer, .flags = VGEM_WRITE};
	struct pollfd signalled = {.fd = vgem_file, .events = POLLIN};
	uint64_t fence;

	if (drmIoctl(vgem, VGEM_ATTACH, &attach))
		die("vgem's fence");
	fence = attach.fence;
	if (write(vgem_asked, &fence, sizeof(fence)) != sizeof(fence) ||
	    poll(&signalled, 1, -1) != 1)
		die("vgem's fence");
}

static struct rig rig;
static struct q35_hw_desc nops[BATCH]; /* zeros */
static uint32_t syncobj;

static void trip_of_jobs(uint32_t count)
{
	struct drm_q35_sync sync = {.flags = DRM_Q35_SYNC_SIGNAL, .handle = syncobj};

	if (submit(rig.fd, rig.queue, nops, count, &sync, 1) || sync_wait(rig.fd, syncobj))
		die("submission");
}

static void trip_of_one(void)
{
	trip_of_jobs(1);
}

static void trip_of_batch(void)
{
	trip_of_jobs(BATCH);
}

struct stats {
	long long reads, writes, interrupts;
};

/* Zeros if the driver does not tell. */
static struct stats read_stats(void)
{
	struct stats stats = {0};
	glob_t found;
	FILE *file;

	if (glob(STATS, 0, NULL, &found))
		return stats;
	file = fopen(found.gl_pathv[0], "r");
	globfree(&found);
	if (!file ||
	    fscanf(file, "register_reads %lld register_writes %lld completion_interrupts %lld",
		   &stats.reads, &stats.writes, &stats.interrupts) != 3)
		die(STATS);
	fclose(file);
	return stats;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), by_size);
	return values[ROUNDS / 2];
}

int main(void)
{
	static const struct {
		const char *name;
		void (*trip)(void);
	} kinds[] = {
		{"eventfds", trip_of_eventfds},
		{"a fence of vgem that another thread signals", trip_of_vgem},
		{"a submission of an empty job, and its fence", trip_of_one},
		{"a submission of 64 empty jobs, and their fence", trip_of_batch},
	};
	static double seconds[KINDS][ROUNDS];
	double of_eventfds;
	pthread_t thread;
	unsigned int round, kind, i;

	there = eventfd(0, 0);
	back = eventfd(0, 0);
	if (there < 0 || back < 0 || pthread_create(&thread, NULL, answer, NULL))
		die("eventfd");
	be_vgem();
	if (rig_open(&rig, 0))
		die("no card");
	syncobj = sync_create(rig.fd);
	for (round = 0; round < ROUNDS; round++)
		for (kind = 0; kind < KINDS; kind++) {
			int64_t start = deadline(0);

			for (i = 0; i < TRIPS; i++)
				kinds[kind].trip();
			seconds[kind][round] = (deadline(0) - start) * 1e-9 / TRIPS;
		}

	of_eventfds = median(seconds[0]);
	for (kind = 1; kind < KINDS; kind++) {
		struct stats before = read_stats(), after;
		double each = median(seconds[kind]);

		for (i = 0; i < TRIPS; i++)
			kinds[kind].trip();
		after = read_stats();
		printf("%s (%.1f µs)|%.9g|1/s|round trip of two threads over eventfds (%.1f µs)|%.9g\n",
		       kinds[kind].name, each * 1e6, 1 / each, of_eventfds * 1e6, 1 / of_eventfds);
		if (kinds[kind].trip == trip_of_vgem)
			continue;
		printf("register accesses, each an exit, for %s|%.9g|accesses||\n",
		       kinds[kind].name,
		       (double)(after.reads - before.reads + after.writes - before.writes) / TRIPS);
		printf("interrupts for %s|%.9g|interrupts||\n", kinds[kind].name,
		       (double)(after.interrupts - before.interrupts) / TRIPS);
	}
	rig_close(&rig);
	return 0;
}
