/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the driver have in common: its ioctls as functions that return 0 or -errno, jobs,
 * and a rig: a client with an address space, a queue and a buffer. They talk to the driver itself,
 * not through libq35, and need the card.
 */
#ifndef Q35_TEST_H
#define Q35_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/sync_file.h>
#include <xf86drm.h>

#include "drm/q35_accel.h"
#include "q35_hw.h"

#define PAGE 4096ull
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define BASE GIB /* where the rig's buffer is for the card */
#define RIG_SIZE (2 * MIB)
#define HANG_VALUE 0xdeadbeef /* a FILL with it hangs on a card with x-fault=hang-fill */
#define PATIENCE_NS 60000000000ll /* a loaded host, without KVM, and KASAN */

#undef TEST_TIMEOUT_DEFAULT /* seconds, of the harness */
#define TEST_TIMEOUT_DEFAULT 120

/* To a file of sysfs, debugfs and the like. */
static inline int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* Whether the node is that of the card at the PCI address, if one is asked for. */
static inline int card_is_at(int node, const char *address)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/accel/accel%d", address, node);
	return !access(path, F_OK);
}

/* A file descriptor of the first node that q35 drives, or of $Q35_CARD's; or -errno. */
static inline int card_open(void)
{
	const char *address = getenv("Q35_CARD");
	int i;

	for (i = 0; i < 64; i++) {
		char path[32];
		drmVersion *version;
		int fd, ours;

		if (address && !card_is_at(i, address))
			continue;
		snprintf(path, sizeof(path), "/dev/accel/accel%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		version = drmGetVersion(fd);
		ours = version && !strcmp(version->name, "q35");
		drmFreeVersion(version);
		if (ours)
			return fd;
		close(fd);
	}
	return -ENODEV;
}

static inline int call(int fd, unsigned long request, void *arg)
{
	return drmIoctl(fd, request, arg) ? -errno : 0;
}

static inline int query_device(int fd, struct drm_q35_device *info)
{
	struct drm_q35_dev_query args = {
		.type = DRM_Q35_QUERY_DEVICE,
		.size = sizeof(*info),
		.pointer = (uintptr_t)info,
	};

	return call(fd, DRM_IOCTL_Q35_DEV_QUERY, &args);
}

static inline int query_memory(int fd, struct drm_q35_memory *info)
{
	struct drm_q35_dev_query args = {
		.type = DRM_Q35_QUERY_MEMORY,
		.size = sizeof(*info),
		.pointer = (uintptr_t)info,
	};

	return call(fd, DRM_IOCTL_Q35_DEV_QUERY, &args);
}

static inline int bo_create(int fd, uint64_t size, uint32_t flags, uint32_t *handle)
{
	struct drm_q35_bo_create args = {.size = size, .flags = flags};
	int ret = call(fd, DRM_IOCTL_Q35_BO_CREATE, &args);

	*handle = args.handle;
	return ret;
}

static inline int bo_close(int fd, uint32_t handle)
{
	struct drm_gem_close args = {.handle = handle};

	return call(fd, DRM_IOCTL_GEM_CLOSE, &args);
}

/* The buffer for the CPU, or MAP_FAILED with errno. */
static inline void *bo_map(int fd, uint32_t handle, uint64_t size)
{
	struct drm_q35_bo_mmap_offset args = {.handle = handle};

	if (drmIoctl(fd, DRM_IOCTL_Q35_BO_MMAP_OFFSET, &args))
		return MAP_FAILED;
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, args.offset);
}

static inline int vm_create(int fd, uint32_t *id)
{
	struct drm_q35_vm_create args = {0};
	int ret = call(fd, DRM_IOCTL_Q35_VM_CREATE, &args);

	*id = args.vm_id;
	return ret;
}

static inline int vm_destroy(int fd, uint32_t id)
{
	struct drm_q35_vm_destroy args = {.vm_id = id};

	return call(fd, DRM_IOCTL_Q35_VM_DESTROY, &args);
}

static inline int bind_ops(int fd, uint32_t vm, struct drm_q35_bind_op *ops, uint32_t count,
			   uint32_t *done)
{
	struct drm_q35_vm_bind args = {
		.vm_id = vm,
		.ops = {.stride = sizeof(*ops), .count = count, .array = (uintptr_t)ops},
	};
	int ret = call(fd, DRM_IOCTL_Q35_VM_BIND, &args);

	if (done)
		*done = args.ops_done;
	return ret;
}

static inline int map_at(int fd, uint32_t vm, uint32_t flags, uint32_t handle, uint64_t offset,
			 uint64_t va, uint64_t size)
{
	struct drm_q35_bind_op op = {
		.flags = flags,
		.handle = handle,
		.bo_offset = offset,
		.va = va,
		.size = size,
	};

	return bind_ops(fd, vm, &op, 1, NULL);
}

static inline int unmap_at(int fd, uint32_t vm, uint64_t va, uint64_t size)
{
	return map_at(fd, vm, DRM_Q35_BIND_UNMAP, 0, 0, va, size);
}

static inline int queue_create(int fd, uint32_t vm, uint32_t timeout_ms, uint32_t *id)
{
	struct drm_q35_queue_create args = {.vm_id = vm, .priority = 1, .timeout_ms = timeout_ms};
	int ret = call(fd, DRM_IOCTL_Q35_QUEUE_CREATE, &args);

	*id = args.queue_id;
	return ret;
}

static inline int queue_destroy(int fd, uint32_t id)
{
	struct drm_q35_queue_destroy args = {.queue_id = id};

	return call(fd, DRM_IOCTL_Q35_QUEUE_DESTROY, &args);
}

static inline int queue_state(int fd, uint32_t id, struct drm_q35_queue_state *state)
{
	memset(state, 0, sizeof(*state));
	state->queue_id = id;
	return call(fd, DRM_IOCTL_Q35_QUEUE_STATE, state);
}

static inline int perf_query(int fd, uint32_t queue, struct drm_q35_perf_query *perf)
{
	memset(perf, 0, sizeof(*perf));
	perf->queue_id = queue;
	return call(fd, DRM_IOCTL_Q35_PERF_QUERY, perf);
}

static inline int submit(int fd, uint32_t queue, const struct q35_hw_desc *jobs, uint32_t count,
			 const struct drm_q35_sync *syncs, uint32_t sync_count)
{
	struct drm_q35_submit args = {
		.queue_id = queue,
		.jobs = {.stride = sizeof(*jobs), .count = count, .array = (uintptr_t)jobs},
		.syncs = {.stride = sizeof(*syncs), .count = sync_count, .array = (uintptr_t)syncs},
	};

	return call(fd, DRM_IOCTL_Q35_SUBMIT, &args);
}

static inline uint32_t sync_create(int fd)
{
	uint32_t handle = 0;

	drmSyncobjCreate(fd, 0, &handle);
	return handle;
}

static inline int64_t deadline(int64_t ns)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec + ns;
}

static inline int sync_wait(int fd, uint32_t handle)
{
	return drmSyncobjWait(fd, &handle, 1, deadline(PATIENCE_NS), 0, NULL);
}

/* How the work behind a binary syncobj ended: 0 or -errno; 1 if it has not yet. */
static inline int sync_status(int fd, uint32_t handle)
{
	struct sync_file_info info = {0};
	int file, ret;

	if (drmSyncobjExportSyncFile(fd, handle, &file))
		return -errno;
	ret = ioctl(file, SYNC_IOC_FILE_INFO, &info) ? -errno : info.status;
	close(file);
	return ret == 1 ? 0 : ret == 0 ? 1 : ret;
}

/* Submit, wait, and tell how it ended. */
static inline int run(int fd, uint32_t queue, const struct q35_hw_desc *jobs, uint32_t count)
{
	struct drm_q35_sync sync = {.flags = DRM_Q35_SYNC_SIGNAL, .handle = sync_create(fd)};
	int ret = submit(fd, queue, jobs, count, &sync, 1);

	if (!ret)
		ret = sync_wait(fd, sync.handle);
	if (!ret)
		ret = sync_status(fd, sync.handle);
	drmSyncobjDestroy(fd, sync.handle);
	return ret;
}

static inline struct q35_hw_desc fill_job(uint64_t va, uint64_t size, uint32_t value)
{
	return (struct q35_hw_desc){
		.op = Q35_OP_FILL,
		.flags = Q35_DESC_BARRIER,
		.fill = {.dst_va = va, .size = size, .value = value},
	};
}

static inline struct q35_hw_desc copy_job(uint64_t to, uint64_t from, uint64_t size)
{
	return (struct q35_hw_desc){
		.op = Q35_OP_COPY,
		.flags = Q35_DESC_BARRIER,
		.copy = {.dst_va = to, .src_va = from, .size = size},
	};
}

static inline struct q35_hw_desc fence_job(uint64_t va, uint64_t value)
{
	return (struct q35_hw_desc){
		.op = Q35_OP_FENCE,
		.flags = Q35_DESC_BARRIER,
		.fence = {.va = va, .value = value},
	};
}

static inline struct q35_hw_desc time_job(uint64_t va)
{
	return (struct q35_hw_desc){
		.op = Q35_OP_TIMESTAMP,
		.flags = Q35_DESC_BARRIER,
		.timestamp = {.va = va},
	};
}

static inline struct q35_hw_desc hang_job(void)
{
	return fill_job(BASE, 4, HANG_VALUE);
}

/* A client with RIG_SIZE bytes of host memory at BASE. */
struct rig {
	int fd;
	uint32_t vm, queue, bo;
	uint32_t *mem; /* the buffer for the CPU */
};

static inline int rig_open(struct rig *rig, uint32_t timeout_ms)
{
	int ret;

	memset(rig, 0, sizeof(*rig));
	rig->fd = card_open();
	if (rig->fd < 0)
		return rig->fd;
	ret = vm_create(rig->fd, &rig->vm);
	if (!ret)
		ret = bo_create(rig->fd, RIG_SIZE, 0, &rig->bo);
	if (!ret)
		ret = map_at(rig->fd, rig->vm, 0, rig->bo, 0, BASE, RIG_SIZE);
	if (!ret)
		ret = queue_create(rig->fd, rig->vm, timeout_ms, &rig->queue);
	if (ret)
		return ret;
	rig->mem = bo_map(rig->fd, rig->bo, RIG_SIZE);
	return rig->mem == MAP_FAILED ? -errno : 0;
}

static inline void rig_close(struct rig *rig)
{
	if (rig->mem)
		munmap(rig->mem, RIG_SIZE);
	close(rig->fd);
}

/* Whether writing to a mapping is a bus error; after catch_bus_errors(). */
static sigjmp_buf bus_error;

static inline void on_bus_error(int signal)
{
	siglongjmp(bus_error, signal);
}

static inline void catch_bus_errors(void)
{
	signal(SIGBUS, on_bus_error);
}

static inline int access_faults(volatile uint32_t *at)
{
	if (sigsetjmp(bus_error, 1))
		return 1;
	*at = 1;
	return 0;
}

/* Another DRM driver, with nothing behind it; or -ENODEV. */
static inline int vgem_open(void)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		char path[32];
		drmVersion *version;
		int fd, ours;

		snprintf(path, sizeof(path), "/dev/dri/card%u", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		version = drmGetVersion(fd);
		ours = version && !strcmp(version->name, "vgem");
		drmFreeVersion(version);
		if (ours)
			return fd;
		close(fd);
	}
	return -ENODEV;
}

#endif /* Q35_TEST_H */
