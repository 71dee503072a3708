// SPDX-License-Identifier: MIT
/*
 * Every field of every ioctl at its bounds, past them, and with reserved bits set, gets the errno that
 * the header promises: a table, a subtest a row. Then what no single field can say: truncated and grown
 * arguments, arrays that end in nowhere.
 *
 * Without libdrm, because it is built for 32 bits as well: driver_abi32.
 */
#define _FILE_OFFSET_BITS 64 /* as mmap's offsets have in either */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drm/q35_accel.h"
#include "kselftest.h"
#include "q35_hw.h"

#define PAGE 4096ull
#define BO_SIZE (4 * PAGE)
#define BASE (1ull << 30) /* where the buffer is mapped */
#define FREE (1ull << 31) /* where nothing is */
#define BAD_POINTER 16 /* where nobody maps anything */
#define NOBODY 0xffffffffu /* is no one's id */
#define MAX_JOBS 1024 /* of this card and driver; checked below */
#define MAX_OPS 1024
#define MAX_SYNCS 256
#define MAX_TIMEOUT_MS 600000

/* What a row changes: the argument, or the first element of one of its arrays. Answers may hold anything. */
enum where { ARG, OP, JOB, SYNC };

struct row {
	const char *what;
	unsigned long request;
	enum where where;
	size_t offset, size; /* of the field */
	uint64_t value;
	int error;
};

#define FIELD(IOCTL, where, type, field, value, error)                                          \
	{                                                                                       \
#IOCTL " " #field " = " #value, DRM_IOCTL_Q35_##IOCTL, where,                   \
			offsetof(struct type, field), sizeof(((struct type *)0)->field), value, \
			error                                                                   \
	}
#define QUERY(field, value, error) FIELD(DEV_QUERY, ARG, drm_q35_dev_query, field, value, error)
#define BO(field, value, error) FIELD(BO_CREATE, ARG, drm_q35_bo_create, field, value, error)
#define OFFSET(field, value, error) \
	FIELD(BO_MMAP_OFFSET, ARG, drm_q35_bo_mmap_offset, field, value, error)
#define INFO(field, value, error) FIELD(BO_INFO, ARG, drm_q35_bo_info, field, value, error)
#define VM(field, value, error) FIELD(VM_CREATE, ARG, drm_q35_vm_create, field, value, error)
#define VM_END(field, value, error) FIELD(VM_DESTROY, ARG, drm_q35_vm_destroy, field, value, error)
#define BIND(field, value, error) FIELD(VM_BIND, ARG, drm_q35_vm_bind, field, value, error)
#define BIND_OP(field, value, error) FIELD(VM_BIND, OP, drm_q35_bind_op, field, value, error)
#define QUEUE(field, value, error) \
	FIELD(QUEUE_CREATE, ARG, drm_q35_queue_create, field, value, error)
#define QUEUE_END(field, value, error) \
	FIELD(QUEUE_DESTROY, ARG, drm_q35_queue_destroy, field, value, error)
#define STATE(field, value, error) FIELD(QUEUE_STATE, ARG, drm_q35_queue_state, field, value, error)
#define SUBMIT(field, value, error) FIELD(SUBMIT, ARG, drm_q35_submit, field, value, error)
#define SUBMIT_JOB(field, value, error) FIELD(SUBMIT, JOB, q35_hw_desc, field, value, error)
#define SUBMIT_SYNC(field, value, error) FIELD(SUBMIT, SYNC, drm_q35_sync, field, value, error)
#define PERF(field, value, error) FIELD(PERF_QUERY, ARG, drm_q35_perf_query, field, value, error)

#define DEVICE_SIZE sizeof(struct drm_q35_device)
#define OP_SIZE sizeof(struct drm_q35_bind_op)
#define SYNC_SIZE sizeof(struct drm_q35_sync)

static const struct row rows[] = {
	QUERY(type, DRM_Q35_QUERY_DEVICE, 0),
	QUERY(type, DRM_Q35_QUERY_MEMORY, 0),
	QUERY(type, 2, EINVAL),
	QUERY(type, 1u << 31, EINVAL),
	QUERY(type, NOBODY, EINVAL),
	QUERY(size, 0, 0),
	QUERY(size, 1, 0),
	QUERY(size, DEVICE_SIZE - 1, 0),
	QUERY(size, DEVICE_SIZE + 1, 0),
	QUERY(size, NOBODY, EFAULT), /* there is no such room */
	QUERY(pointer, 0, 0),
	QUERY(pointer, BAD_POINTER, EFAULT),
	QUERY(pointer, 1ull << 46, EFAULT),
	QUERY(pointer, 1ull << 63, EFAULT),
	QUERY(pointer, ~0ull, EFAULT),

	BO(size, 0, EINVAL),
	BO(size, 1, 0),
	BO(size, PAGE + 1, 0),
	BO(size, 1ull << 40, ENOMEM),
	BO(size, 1ull << 63, ENOMEM),
	BO(size, -PAGE, ENOMEM),
	BO(size, ~0ull, ENOMEM),
	BO(flags, DRM_Q35_BO_DEVICE, 0),
	BO(flags, DRM_Q35_BO_WC, 0),
	BO(flags, DRM_Q35_BO_DEVICE | DRM_Q35_BO_WC, EINVAL),
	BO(flags, 4, EINVAL),
	BO(flags, 1u << 31, EINVAL),
	BO(flags, ~0u, EINVAL),

	BO(handle, NOBODY, 0),

	OFFSET(handle, 0, ENOENT),
	OFFSET(handle, 1u << 20, ENOENT),
	OFFSET(handle, NOBODY, ENOENT),
	OFFSET(pad, 1, EINVAL),
	OFFSET(pad, 1u << 31, EINVAL),
	OFFSET(offset, ~0ull, 0),

	INFO(handle, 0, ENOENT),
	INFO(handle, 1u << 20, ENOENT),
	INFO(handle, NOBODY, ENOENT),
	INFO(flags, NOBODY, 0),
	INFO(size, ~0ull, 0),

	VM(flags, 0, 0),
	VM(flags, 1, EINVAL),
	VM(flags, 1u << 31, EINVAL),
	VM(vm_id, NOBODY, 0),

	VM_END(vm_id, 0, ENOENT),
	VM_END(vm_id, 1u << 20, ENOENT),
	VM_END(vm_id, NOBODY, ENOENT),
	VM_END(pad, 1, EINVAL),
	VM_END(pad, 1u << 31, EINVAL),

	BIND(vm_id, 0, ENOENT),
	BIND(vm_id, NOBODY, ENOENT),
	BIND(ops_done, NOBODY, 0),
	BIND(ops.count, 0, 0),
	BIND(ops.count, MAX_OPS, 0),
	BIND(ops.count, MAX_OPS + 1, EINVAL),
	BIND(ops.count, NOBODY, EINVAL),
	BIND(ops.stride, 0, EINVAL),
	BIND(ops.stride, OP_SIZE - 1, EINVAL),
	BIND(ops.stride, PAGE, E2BIG), /* the next elements are not zero */
	BIND(ops.stride, PAGE + 1, EINVAL),
	BIND(ops.stride, NOBODY, EINVAL),
	BIND(ops.array, 0, EFAULT),
	BIND(ops.array, BAD_POINTER, EFAULT),
	BIND(ops.array, 1ull << 46, EFAULT),
	BIND(ops.array, 1ull << 63, EFAULT),
	BIND(ops.array, ~0ull, EFAULT),
	BIND_OP(flags, DRM_Q35_BIND_READONLY, 0),
	BIND_OP(flags, DRM_Q35_BIND_UNMAP, EINVAL), /* with a handle */
	BIND_OP(flags, DRM_Q35_BIND_UNMAP | DRM_Q35_BIND_READONLY, EINVAL),
	BIND_OP(flags, 4, EINVAL),
	BIND_OP(flags, 1u << 31, EINVAL),
	BIND_OP(handle, 0, ENOENT),
	BIND_OP(handle, 1u << 20, ENOENT),
	BIND_OP(handle, NOBODY, ENOENT),
	BIND_OP(bo_offset, BO_SIZE - PAGE, 0),
	BIND_OP(bo_offset, 1, EINVAL),
	BIND_OP(bo_offset, PAGE / 2, EINVAL),
	BIND_OP(bo_offset, BO_SIZE, EINVAL),
	BIND_OP(bo_offset, 1ull << 63, EINVAL),
	BIND_OP(bo_offset, -PAGE, EINVAL),
	BIND_OP(va, 1ull << 21, 0), /* the first */
	BIND_OP(va, (1ull << 39) - PAGE, 0), /* the last */
	BIND_OP(va, 0, EINVAL),
	BIND_OP(va, (1ull << 21) - PAGE, EINVAL),
	BIND_OP(va, FREE + 1, EINVAL),
	BIND_OP(va, 1ull << 39, EINVAL),
	BIND_OP(va, 1ull << 63, EINVAL),
	BIND_OP(va, -PAGE, EINVAL),
	BIND_OP(size, BO_SIZE, 0),
	BIND_OP(size, 0, EINVAL),
	BIND_OP(size, 1, EINVAL),
	BIND_OP(size, PAGE + 8, EINVAL),
	BIND_OP(size, BO_SIZE + PAGE, EINVAL),
	BIND_OP(size, 1ull << 39, EINVAL),
	BIND_OP(size, 1ull << 63, EINVAL),
	BIND_OP(size, -PAGE, EINVAL),

	QUEUE(vm_id, 0, ENOENT),
	QUEUE(vm_id, NOBODY, ENOENT),
	QUEUE(priority, 0, 0),
	QUEUE(priority, 3, 0),
	QUEUE(priority, 4, EINVAL),
	QUEUE(priority, NOBODY, EINVAL),
	QUEUE(timeout_ms, 0, 0),
	QUEUE(timeout_ms, 1, 0),
	QUEUE(timeout_ms, MAX_TIMEOUT_MS, 0),
	QUEUE(timeout_ms, MAX_TIMEOUT_MS + 1, EINVAL),
	QUEUE(timeout_ms, NOBODY, EINVAL),
	QUEUE(flags, 1, EINVAL),
	QUEUE(flags, 1u << 31, EINVAL),
	QUEUE(pad, 1, EINVAL),
	QUEUE(pad, 1u << 31, EINVAL),
	QUEUE(queue_id, NOBODY, 0),

	QUEUE_END(queue_id, 0, ENOENT),
	QUEUE_END(queue_id, 1u << 20, ENOENT),
	QUEUE_END(queue_id, NOBODY, ENOENT),
	QUEUE_END(pad, 1, EINVAL),
	QUEUE_END(pad, 1u << 31, EINVAL),

	STATE(queue_id, 0, ENOENT),
	STATE(queue_id, NOBODY, ENOENT),
	STATE(pad, 1, EINVAL),
	STATE(pad, 1u << 31, EINVAL),
	STATE(status, NOBODY, 0),
	STATE(fault_code, NOBODY, 0),
	STATE(fault_info, NOBODY, 0),
	STATE(fault_addr, ~0ull, 0),
	STATE(job_index, NOBODY, 0),
	STATE(submission, ~0ull, 0),

	SUBMIT(queue_id, 0, ENOENT),
	SUBMIT(queue_id, NOBODY, ENOENT),
	SUBMIT(bad_job, 0, 0),
	SUBMIT(jobs.count, 0, 0),
	SUBMIT(jobs.count, MAX_JOBS, 0),
	SUBMIT(jobs.count, MAX_JOBS + 1, EINVAL),
	SUBMIT(jobs.count, NOBODY, EINVAL),
	SUBMIT(jobs.stride, 0, EINVAL),
	SUBMIT(jobs.stride, Q35_DESC_SIZE - 1, EINVAL),
	SUBMIT(jobs.stride, Q35_DESC_SIZE + 1, E2BIG),
	SUBMIT(jobs.stride, PAGE, E2BIG),
	SUBMIT(jobs.stride, PAGE + 1, EINVAL),
	SUBMIT(jobs.stride, NOBODY, EINVAL),
	SUBMIT(jobs.array, 0, EFAULT),
	SUBMIT(jobs.array, BAD_POINTER, EFAULT),
	SUBMIT(jobs.array, 1ull << 46, EFAULT),
	SUBMIT(jobs.array, 1ull << 63, EFAULT),
	SUBMIT(jobs.array, ~0ull, EFAULT),
	SUBMIT_JOB(op, Q35_OP_TIMESTAMP + 1, EINVAL),
	SUBMIT_JOB(op, 0x8000, EINVAL),
	SUBMIT_JOB(op, 0xffff, EINVAL),
	SUBMIT_JOB(flags, 0, 0),
	SUBMIT_JOB(flags, Q35_DESC_BARRIER, 0),
	SUBMIT_JOB(flags, Q35_DESC_NOTIFY, EINVAL),
	SUBMIT_JOB(flags, Q35_DESC_IRQ, EINVAL),
	SUBMIT_JOB(flags, 0x8000, EINVAL),
	SUBMIT_JOB(seqno, 1, EINVAL),
	SUBMIT_JOB(seqno, 1ull << 63, EINVAL),
	SUBMIT(syncs.count, 0, 0),
	SUBMIT(syncs.count, MAX_SYNCS, 0),
	SUBMIT(syncs.count, MAX_SYNCS + 1, EINVAL),
	SUBMIT(syncs.count, NOBODY, EINVAL),
	SUBMIT(syncs.stride, 0, EINVAL),
	SUBMIT(syncs.stride, SYNC_SIZE - 1, EINVAL),
	SUBMIT(syncs.stride, SYNC_SIZE + 1, E2BIG),
	SUBMIT(syncs.stride, PAGE + 1, EINVAL),
	SUBMIT(syncs.stride, NOBODY, EINVAL),
	SUBMIT(syncs.array, 0, EFAULT),
	SUBMIT(syncs.array, BAD_POINTER, EFAULT),
	SUBMIT(syncs.array, 1ull << 63, EFAULT),
	SUBMIT(syncs.array, ~0ull, EFAULT),
	SUBMIT_SYNC(flags, 0, 0), /* waits for what has been submitted before */
	SUBMIT_SYNC(flags, DRM_Q35_SYNC_TIMELINE, EINVAL), /* without a point */
	SUBMIT_SYNC(flags, DRM_Q35_SYNC_SIGNAL | DRM_Q35_SYNC_TIMELINE, EINVAL),
	SUBMIT_SYNC(flags, 4, EINVAL),
	SUBMIT_SYNC(flags, 1u << 31, EINVAL),
	SUBMIT_SYNC(handle, 0, ENOENT),
	SUBMIT_SYNC(handle, 1u << 20, ENOENT),
	SUBMIT_SYNC(handle, NOBODY, ENOENT),
	SUBMIT_SYNC(point, 1, EINVAL), /* of a binary one */
	SUBMIT_SYNC(point, 1ull << 63, EINVAL),

	PERF(queue_id, 0, 0), /* all of the card, for root */
	PERF(queue_id, NOBODY, ENOENT),
	PERF(pad, 1, EINVAL),
	PERF(pad, 1u << 31, EINVAL),
	PERF(cycles, ~0ull, 0),
	PERF(macs, ~0ull, 0),
	PERF(memory_bytes, ~0ull, 0),
	PERF(link_bytes, ~0ull, 0),
	PERF(stall_cycles, ~0ull, 0),
	PERF(jobs, ~0ull, 0),
	PERF(busy_ns, ~0ull, 0),
};

/* An argument as long as it was first published, and how it fares when only its first bytes come. */
static const struct {
	const char *what;
	unsigned long request;
	size_t least; /* bytes with which the ioctl can still do something */
} ioctls[] = {
	{"DEV_QUERY", DRM_IOCTL_Q35_DEV_QUERY, 8},
	{"BO_CREATE", DRM_IOCTL_Q35_BO_CREATE, 8},
	{"BO_MMAP_OFFSET", DRM_IOCTL_Q35_BO_MMAP_OFFSET, 4},
	{"BO_INFO", DRM_IOCTL_Q35_BO_INFO, 4},
	{"VM_CREATE", DRM_IOCTL_Q35_VM_CREATE, 4},
	{"VM_DESTROY", DRM_IOCTL_Q35_VM_DESTROY, 4},
	{"VM_BIND", DRM_IOCTL_Q35_VM_BIND, 8},
	{"QUEUE_CREATE", DRM_IOCTL_Q35_QUEUE_CREATE, 4},
	{"QUEUE_DESTROY", DRM_IOCTL_Q35_QUEUE_DESTROY, 4},
	{"QUEUE_STATE", DRM_IOCTL_Q35_QUEUE_STATE, 4},
	{"SUBMIT", DRM_IOCTL_Q35_SUBMIT, 4},
	{"PERF_QUERY", DRM_IOCTL_Q35_PERF_QUERY, 4},
};

#define RESIZED(request, size) _IOC(_IOC_DIR(request), _IOC_TYPE(request), _IOC_NR(request), size)

union argument {
	struct drm_q35_dev_query query;
	struct drm_q35_bo_create bo_create;
	struct drm_q35_bo_mmap_offset mmap_offset;
	struct drm_q35_bo_info bo_info;
	struct drm_q35_vm_create vm_create;
	struct drm_q35_vm_destroy vm_destroy;
	struct drm_q35_vm_bind bind;
	struct drm_q35_queue_create queue_create;
	struct drm_q35_queue_destroy queue_destroy;
	struct drm_q35_queue_state queue_state;
	struct drm_q35_submit submit;
	struct drm_q35_perf_query perf;
	uint8_t bytes[256];
};

/* What the calls work on; arrays have one more than is allowed. */
static int fd;
static uint32_t vm, queue, bo, syncobj;
static struct drm_q35_device *room; /* 8 bytes past it nothing is mapped */
static struct drm_q35_bind_op ops[MAX_OPS + 1];
static struct q35_hw_desc jobs[MAX_JOBS + 1];
static struct drm_q35_sync syncs[MAX_SYNCS + 1];

static int call(unsigned long request, void *arg)
{
	int ret;

	do
		ret = ioctl(fd, request, arg) ? -errno : 0;
	while (ret == -EINTR || ret == -EAGAIN);
	return ret;
}

static struct q35_hw_desc fill_job(uint32_t value)
{
	return (struct q35_hw_desc){
		.op = Q35_OP_FILL,
		.flags = Q35_DESC_BARRIER,
		.fill = {.dst_va = BASE, .size = 4, .value = value},
	};
}

/* A good argument of the ioctl, and good elements of its arrays. */
static void prepare(unsigned long request, union argument *arg)
{
	unsigned int i;

	memset(arg, 0, sizeof(*arg));
	for (i = 0; i < MAX_OPS + 1; i++)
		ops[i] = (struct drm_q35_bind_op){.handle = bo, .va = FREE, .size = PAGE};
	for (i = 0; i < MAX_JOBS + 1; i++)
		jobs[i] = fill_job(i);
	for (i = 0; i < MAX_SYNCS + 1; i++)
		syncs[i] = (struct drm_q35_sync){DRM_Q35_SYNC_SIGNAL, syncobj, 0};

	switch (_IOC_NR(request) - DRM_COMMAND_BASE) {
	case DRM_Q35_DEV_QUERY:
		arg->query.size = sizeof(*room);
		arg->query.pointer = (uintptr_t)room;
		break;
	case DRM_Q35_BO_CREATE:
		arg->bo_create.size = PAGE;
		break;
	case DRM_Q35_BO_MMAP_OFFSET:
	case DRM_Q35_BO_INFO:
		arg->bo_info.handle = bo;
		break;
	case DRM_Q35_VM_DESTROY:
		arg->vm_destroy.vm_id = vm;
		break;
	case DRM_Q35_VM_BIND:
		arg->bind.vm_id = vm;
		arg->bind.ops = (struct drm_q35_array){OP_SIZE, 1, (uintptr_t)ops};
		break;
	case DRM_Q35_QUEUE_CREATE:
		arg->queue_create.vm_id = vm;
		break;
	case DRM_Q35_QUEUE_DESTROY:
	case DRM_Q35_QUEUE_STATE:
	case DRM_Q35_PERF_QUERY:
		arg->queue_state.queue_id = queue;
		break;
	case DRM_Q35_SUBMIT:
		arg->submit.queue_id = queue;
		arg->submit.jobs = (struct drm_q35_array){Q35_DESC_SIZE, 1, (uintptr_t)jobs};
		arg->submit.syncs = (struct drm_q35_array){SYNC_SIZE, 1, (uintptr_t)syncs};
		break;
	}
}

/* Undo what a call has made, so that there is room for the next. */
static void undo(unsigned long request, union argument *arg)
{
	struct drm_gem_close gem = {0};

	switch (_IOC_NR(request) - DRM_COMMAND_BASE) {
	case DRM_Q35_BO_CREATE:
		gem.handle = arg->bo_create.handle;
		call(DRM_IOCTL_GEM_CLOSE, &gem);
		break;
	case DRM_Q35_VM_CREATE:
		call(DRM_IOCTL_Q35_VM_DESTROY,
		     &(struct drm_q35_vm_destroy){.vm_id = arg->vm_create.vm_id});
		break;
	case DRM_Q35_QUEUE_CREATE:
		call(DRM_IOCTL_Q35_QUEUE_DESTROY,
		     &(struct drm_q35_queue_destroy){.queue_id = arg->queue_create.queue_id});
		break;
	}
}

/* The client's address space and queue, anew if a test has destroyed them. */
static int make_vm(void)
{
	struct drm_q35_vm_create create = {0};
	struct drm_q35_queue_create queue_create = {.priority = 1};
	struct drm_q35_bind_op op = {.handle = bo, .va = BASE, .size = BO_SIZE};
	struct drm_q35_vm_bind bind = {.ops = {OP_SIZE, 1, (uintptr_t)&op}};
	int ret = call(DRM_IOCTL_Q35_VM_CREATE, &create);

	vm = create.vm_id;
	queue_create.vm_id = vm;
	bind.vm_id = vm;
	ret = ret ?: call(DRM_IOCTL_Q35_VM_BIND, &bind);
	ret = ret ?: call(DRM_IOCTL_Q35_QUEUE_CREATE, &queue_create);
	queue = queue_create.queue_id;
	return ret;
}

static void drop_vm(void)
{
	call(DRM_IOCTL_Q35_QUEUE_DESTROY, &(struct drm_q35_queue_destroy){.queue_id = queue});
	call(DRM_IOCTL_Q35_VM_DESTROY, &(struct drm_q35_vm_destroy){.vm_id = vm});
}

static int open_card(void)
{
	struct drm_q35_bo_create create = {.size = BO_SIZE};
	struct drm_syncobj_create sync = {0};
	char path[32], name[4];
	int i;

	for (i = 0; i < 64; i++) {
		struct drm_version version = {.name_len = sizeof(name), .name = name};

		snprintf(path, sizeof(path), "/dev/accel/accel%d", i);
		fd = open(path, O_RDWR);
		if (fd < 0)
			continue;
		if (!call(DRM_IOCTL_VERSION, &version) && !memcmp(name, "q35", 3))
			break;
		close(fd);
		fd = -1;
	}
	if (fd < 0 || call(DRM_IOCTL_Q35_BO_CREATE, &create) ||
	    call(DRM_IOCTL_SYNCOBJ_CREATE, &sync))
		return -1;
	bo = create.handle;
	syncobj = sync.handle;
	return make_vm();
}

static void check(int want, int got, const char *what)
{
	if (want != got)
		ksft_print_msg("%s: %d instead of %d\n", what, got, want);
	ksft_test_result(want == got, "%s: %s\n", what, want ? strerror(-want) : "taken");
}

/* All ones were in a field that is for the answer, and still are. */
static int unanswered(const struct row *row, const void *base)
{
	const uint64_t ones = row->size == 8 ? ~0ull : NOBODY;

	return row->value == ones && !memcmp(base + row->offset, &ones, row->size);
}

static void check_rows(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		union argument arg;
		void *base = &arg;
		int ret;

		prepare(row->request, &arg);
		switch (row->where) {
		case OP:
			base = ops;
			break;
		case JOB:
			base = jobs;
			break;
		case SYNC:
			base = syncs;
			break;
		case ARG:
			break;
		}
		memcpy(base + row->offset, &row->value, row->size); /* x86 is little-endian */
		ret = call(row->request, &arg);
		check(-row->error, ret ?: unanswered(row, base) ? -EPROTO : 0, row->what);
		if (!ret)
			undo(row->request, &arg);
	}
}

/* A page, and none behind it. */
static uint8_t *page_at_the_end(void)
{
	uint8_t *page =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED || munmap(page + PAGE, PAGE))
		ksft_exit_fail_msg("no memory\n");
	return page;
}

#define ARGUMENT_TESTS 6 /* for each ioctl */

static void check_argument(const char *ioctl, unsigned long request, size_t least)
{
	size_t size = _IOC_SIZE(request);
	uint8_t *page = page_at_the_end();
	union argument arg, before;
	char what[96];

	snprintf(what, sizeof(what), "%s with a bad pointer", ioctl);
	check(-EFAULT, call(request, (void *)BAD_POINTER), what);

	snprintf(what, sizeof(what), "%s with an argument that ends in nowhere", ioctl);
	prepare(request, &arg);
	memcpy(page + PAGE - size + 4, &arg, size - 4);
	check(-EFAULT, call(request, page + PAGE - size + 4), what);

	snprintf(what, sizeof(what), "%s with an argument that cannot be written to", ioctl);
	prepare(request, &arg);
	memcpy(page, &arg, size);
	mprotect(page, PAGE, PROT_READ);
	check(-EFAULT, call(request, page), what);
	drop_vm(); /* it has done its work all the same */
	make_vm();

	/* As if compiled with an older header, then with newer ones. */
	snprintf(what, sizeof(what), "%s with the first %zu bytes", ioctl, least);
	prepare(request, &arg);
	memset(arg.bytes + least, 0xff, sizeof(arg) - least);
	check(0, call(RESIZED(request, least), &arg), what);
	drop_vm();
	make_vm();

	snprintf(what, sizeof(what), "%s grown by zeros", ioctl);
	prepare(request, &arg);
	check(0, call(RESIZED(request, size + 8), &arg), what);
	undo(request, &arg);
	drop_vm();
	make_vm();

	/* What the driver does not know it leaves alone. */
	snprintf(what, sizeof(what), "%s grown by something unknown", ioctl);
	prepare(request, &arg);
	memset(arg.bytes + size, 0xa5, 8);
	before = arg;
	ksft_test_result(!call(RESIZED(request, size + 8), &arg) &&
				 !memcmp(arg.bytes + size, before.bytes + size, 8),
			 "%s\n", what);
	undo(request, &arg);
	drop_vm();
	make_vm();
	munmap(page, PAGE);
}

#define ARRAY_TESTS 6 /* for each array */

/* The array of an ioctl with count elements, the last one in other ways than the row tests have. */
static void check_array(const char *name, unsigned long request, size_t offset,
			const void *elements, size_t size)
{
	uint8_t *page = page_at_the_end();
	struct drm_q35_array *array;
	union argument arg;
	unsigned int i;
	char what[96];

	prepare(request, &arg);
	array = (void *)(arg.bytes + offset);
	array->count = 4;
	array->stride = size;

	snprintf(what, sizeof(what), "%s: the last element is nowhere", name);
	array->array = (uintptr_t)(page + PAGE - 3 * size);
	memcpy(page + PAGE - 3 * size, elements, 3 * size);
	check(-EFAULT, call(request, &arg), what);

	snprintf(what, sizeof(what), "%s: half of the last element is nowhere", name);
	array->array = (uintptr_t)(page + PAGE - 3 * size - size / 2);
	memcpy(page + PAGE - 3 * size - size / 2, elements, 3 * size + size / 2);
	check(-EFAULT, call(request, &arg), what);

	snprintf(what, sizeof(what), "%s: the last element's unknown part is nowhere", name);
	array->stride = size + 8;
	array->array = (uintptr_t)(page + PAGE - 4 * size - 3 * 8);
	memset(page, 0, PAGE);
	for (i = 0; i < 4; i++)
		memcpy(page + PAGE - 4 * size - 3 * 8 + i * (size + 8), elements, size);
	check(-EFAULT, call(request, &arg), what);

	snprintf(what, sizeof(what), "%s: the last element's unknown part is not zero", name);
	array->array = (uintptr_t)(page + PAGE - 4 * (size + 8));
	memset(page, 0, PAGE);
	for (i = 0; i < 4; i++)
		memcpy(page + PAGE - 4 * (size + 8) + i * (size + 8), elements, size);
	page[PAGE - 1] = 1;
	check(-E2BIG, call(request, &arg), what);

	snprintf(what, sizeof(what), "%s: unknown parts that are zero, up to the last byte", name);
	page[PAGE - 1] = 0;
	check(0, call(request, &arg), what);

	snprintf(what, sizeof(what), "%s: at an odd address", name);
	array->stride = size;
	array->array = (uintptr_t)(page + 1);
	for (i = 0; i < 4; i++)
		memcpy(page + 1 + i * size, elements, size);
	check(0, call(request, &arg), what);
	munmap(page, PAGE);
}

/* Submit a fill of the buffer's first word and see it there. */
static int work(volatile uint32_t *mem, uint32_t value)
{
	struct drm_q35_sync sync = {DRM_Q35_SYNC_SIGNAL, syncobj, 0};
	struct q35_hw_desc job = fill_job(value);
	struct drm_q35_submit submit = {
		.queue_id = queue,
		.jobs = {Q35_DESC_SIZE, 1, (uintptr_t)&job},
		.syncs = {SYNC_SIZE, 1, (uintptr_t)&sync},
	};
	struct drm_syncobj_wait wait = {
		.handles = (uintptr_t)&syncobj,
		.timeout_nsec = INT64_MAX,
		.count_handles = 1,
	};
	int ret = call(DRM_IOCTL_Q35_SUBMIT, &submit);

	ret = ret ?: call(DRM_IOCTL_SYNCOBJ_WAIT, &wait);
	return ret ?: mem[0] == value ? 0 : -EIO;
}

static volatile uint32_t *map_bo(void)
{
	struct drm_q35_bo_mmap_offset args = {.handle = bo};
	void *mem;

	if (call(DRM_IOCTL_Q35_BO_MMAP_OFFSET, &args))
		return NULL;
	mem = mmap(NULL, BO_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, args.offset);
	return mem == MAP_FAILED ? NULL : mem;
}

int main(void)
{
	volatile uint32_t *mem;
	unsigned int i;

	ksft_print_header();
	ksft_set_plan(2 + ARRAY_SIZE(rows) + ARRAY_SIZE(ioctls) * ARGUMENT_TESTS + 3 * ARRAY_TESTS);
	room = (void *)(page_at_the_end() + PAGE - sizeof(*room) - 8);
	if (open_card())
		ksft_exit_fail_msg("no card\n");

	ksft_test_result(!call(DRM_IOCTL_Q35_DEV_QUERY,
			       &(struct drm_q35_dev_query){.size = sizeof(*room),
							   .pointer = (uintptr_t)room}) &&
				 room->max_jobs == MAX_JOBS && room->max_syncs == MAX_SYNCS &&
				 room->max_bind_ops == MAX_OPS && room->page_size == PAGE &&
				 room->max_timeout_ms == MAX_TIMEOUT_MS &&
				 room->va_start == 1ull << 21 && room->va_end == 1ull << 39,
			 "the bounds are those that the card is asked for\n");
	check_rows();
	for (i = 0; i < ARRAY_SIZE(ioctls); i++)
		check_argument(ioctls[i].what, ioctls[i].request, ioctls[i].least);
	prepare(DRM_IOCTL_Q35_SUBMIT, &(union argument){});
	check_array("VM_BIND ops", DRM_IOCTL_Q35_VM_BIND, offsetof(struct drm_q35_vm_bind, ops),
		    ops, OP_SIZE);
	check_array("SUBMIT jobs", DRM_IOCTL_Q35_SUBMIT, offsetof(struct drm_q35_submit, jobs),
		    jobs, Q35_DESC_SIZE);
	check_array("SUBMIT syncs", DRM_IOCTL_Q35_SUBMIT, offsetof(struct drm_q35_submit, syncs),
		    syncs, SYNC_SIZE);
	mem = map_bo();
	check(0, mem ? work(mem, 0x35) : -ENOMEM, "a job's result is seen through mmap");
	ksft_finished();
}
