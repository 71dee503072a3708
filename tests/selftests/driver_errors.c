// SPDX-License-Identifier: MIT
/* Each ioctl's arguments, wrong in one way at a time, get the errno that the header promises. */
#include "kselftest_harness.h"

#include "q35_test.h"

/* One call with one field of a good argument changed. */
struct wrong {
	const char *what;
	unsigned long request;
	size_t offset, size; /* of the field */
	uint64_t value;
	int error;
};

#define WRONG(ioctl, type, field, value, error)                                   \
	{                                                                         \
#ioctl " " #field " = " #value, DRM_IOCTL_Q35_##ioctl,            \
			offsetof(struct drm_q35_##type, field),                   \
			sizeof(((struct drm_q35_##type *)0)->field), value, error \
	}
#define BIND(field, value, error)                                                  \
	{                                                                          \
		"VM_BIND op." #field " = " #value, DRM_IOCTL_Q35_VM_BIND,          \
			0x10000 + offsetof(struct drm_q35_bind_op, field),         \
			sizeof(((struct drm_q35_bind_op *)0)->field), value, error \
	}
#define SYNC(field, value, error)                                               \
	{                                                                       \
		"SUBMIT sync." #field " = " #value, DRM_IOCTL_Q35_SUBMIT,       \
			0x10000 + offsetof(struct drm_q35_sync, field),         \
			sizeof(((struct drm_q35_sync *)0)->field), value, error \
	}

#define BAD_POINTER 0x10 /* where nobody maps anything */

static const struct wrong wrongs[] = {
	WRONG(DEV_QUERY, dev_query, type, 2, EINVAL),
	WRONG(DEV_QUERY, dev_query, type, 0xffffffff, EINVAL),
	WRONG(DEV_QUERY, dev_query, pointer, BAD_POINTER, EFAULT),
	WRONG(DEV_QUERY, dev_query, pointer, 1ull << 63, EFAULT),
	WRONG(BO_CREATE, bo_create, size, 0, EINVAL),
	WRONG(BO_CREATE, bo_create, size, ~0ull, ENOMEM),
	WRONG(BO_CREATE, bo_create, flags, 3, EINVAL),
	WRONG(BO_CREATE, bo_create, flags, 4, EINVAL),
	WRONG(BO_CREATE, bo_create, flags, 1u << 31, EINVAL),
	WRONG(BO_MMAP_OFFSET, bo_mmap_offset, handle, 0, ENOENT),
	WRONG(BO_MMAP_OFFSET, bo_mmap_offset, handle, 0xffffffff, ENOENT),
	WRONG(BO_MMAP_OFFSET, bo_mmap_offset, pad, 1, EINVAL),
	WRONG(BO_INFO, bo_info, handle, 0, ENOENT),
	WRONG(BO_INFO, bo_info, handle, 0xffffffff, ENOENT),
	WRONG(VM_CREATE, vm_create, flags, 1, EINVAL),
	WRONG(VM_CREATE, vm_create, flags, 1u << 31, EINVAL),
	WRONG(VM_DESTROY, vm_destroy, vm_id, 0, ENOENT),
	WRONG(VM_DESTROY, vm_destroy, vm_id, 0xffffffff, ENOENT),
	WRONG(VM_DESTROY, vm_destroy, pad, 1, EINVAL),
	WRONG(VM_BIND, vm_bind, vm_id, 0, ENOENT),
	WRONG(VM_BIND, vm_bind, vm_id, 0xffffffff, ENOENT),
	WRONG(VM_BIND, vm_bind, ops.stride, 0, EINVAL),
	WRONG(VM_BIND, vm_bind, ops.stride, sizeof(struct drm_q35_bind_op) - 1, EINVAL),
	WRONG(VM_BIND, vm_bind, ops.count, 1025, EINVAL),
	WRONG(VM_BIND, vm_bind, ops.count, 0xffffffff, EINVAL),
	WRONG(VM_BIND, vm_bind, ops.array, 0, EFAULT),
	WRONG(VM_BIND, vm_bind, ops.array, BAD_POINTER, EFAULT),
	WRONG(VM_BIND, vm_bind, ops.array, ~0ull, EFAULT),
	BIND(flags, 3, EINVAL),
	BIND(flags, 4, EINVAL),
	BIND(flags, 1u << 31, EINVAL),
	BIND(flags, DRM_Q35_BIND_UNMAP, EINVAL), /* with a handle */
	BIND(handle, 0, ENOENT),
	BIND(handle, 0xffffffff, ENOENT),
	BIND(bo_offset, 1, EINVAL),
	BIND(bo_offset, PAGE / 2, EINVAL),
	BIND(bo_offset, RIG_SIZE, EINVAL),
	BIND(bo_offset, RIG_SIZE - PAGE + 1, EINVAL),
	BIND(bo_offset, -PAGE, EINVAL),
	BIND(va, 0, EINVAL),
	BIND(va, PAGE, EINVAL),
	BIND(va, BASE + 1, EINVAL),
	BIND(va, 1ull << 39, EINVAL),
	BIND(va, 1ull << 63, EINVAL),
	BIND(va, -PAGE, EINVAL),
	BIND(size, 0, EINVAL),
	BIND(size, 1, EINVAL),
	BIND(size, PAGE + 8, EINVAL),
	BIND(size, RIG_SIZE + PAGE, EINVAL),
	BIND(size, 1ull << 39, EINVAL),
	BIND(size, -PAGE, EINVAL),
	WRONG(QUEUE_CREATE, queue_create, vm_id, 0, ENOENT),
	WRONG(QUEUE_CREATE, queue_create, vm_id, 0xffffffff, ENOENT),
	WRONG(QUEUE_CREATE, queue_create, priority, 4, EINVAL),
	WRONG(QUEUE_CREATE, queue_create, priority, 0xffffffff, EINVAL),
	WRONG(QUEUE_CREATE, queue_create, timeout_ms, 0xffffffff, EINVAL),
	WRONG(QUEUE_CREATE, queue_create, flags, 1, EINVAL),
	WRONG(QUEUE_CREATE, queue_create, pad, 1, EINVAL),
	WRONG(QUEUE_DESTROY, queue_destroy, queue_id, 0, ENOENT),
	WRONG(QUEUE_DESTROY, queue_destroy, queue_id, 0xffffffff, ENOENT),
	WRONG(QUEUE_DESTROY, queue_destroy, pad, 1, EINVAL),
	WRONG(QUEUE_STATE, queue_state, queue_id, 0, ENOENT),
	WRONG(QUEUE_STATE, queue_state, queue_id, 0xffffffff, ENOENT),
	WRONG(QUEUE_STATE, queue_state, pad, 1, EINVAL),
	WRONG(SUBMIT, submit, queue_id, 0, ENOENT),
	WRONG(SUBMIT, submit, queue_id, 0xffffffff, ENOENT),
	WRONG(SUBMIT, submit, jobs.stride, 0, EINVAL),
	WRONG(SUBMIT, submit, jobs.stride, Q35_DESC_SIZE - 1, EINVAL),
	WRONG(SUBMIT, submit, jobs.count, 1u << 25, EINVAL),
	WRONG(SUBMIT, submit, jobs.count, 0xffffffff, EINVAL),
	WRONG(SUBMIT, submit, jobs.array, 0, EFAULT),
	WRONG(SUBMIT, submit, jobs.array, BAD_POINTER, EFAULT),
	WRONG(SUBMIT, submit, jobs.array, ~0ull, EFAULT),
	WRONG(SUBMIT, submit, syncs.stride, 0, EINVAL),
	WRONG(SUBMIT, submit, syncs.stride, sizeof(struct drm_q35_sync) - 1, EINVAL),
	WRONG(SUBMIT, submit, syncs.count, 257, EINVAL),
	WRONG(SUBMIT, submit, syncs.count, 0xffffffff, EINVAL),
	WRONG(SUBMIT, submit, syncs.array, 0, EFAULT),
	WRONG(SUBMIT, submit, syncs.array, BAD_POINTER, EFAULT),
	SYNC(flags, 4, EINVAL),
	SYNC(flags, 1u << 31, EINVAL),
	SYNC(flags, DRM_Q35_SYNC_SIGNAL | DRM_Q35_SYNC_TIMELINE, EINVAL), /* without a point */
	SYNC(handle, 0, ENOENT),
	SYNC(handle, 0xffffffff, ENOENT),
	SYNC(point, 1, EINVAL), /* of a binary one */
	WRONG(PERF_QUERY, perf_query, queue_id, 0xffffffff, ENOENT),
	WRONG(PERF_QUERY, perf_query, pad, 1, EINVAL),
};

FIXTURE(errors)
{
	struct rig rig;
	struct q35_hw_desc job;
	struct drm_q35_sync sync;
	struct drm_q35_bind_op op;
	uint8_t room[sizeof(struct drm_q35_device)];
};

FIXTURE_SETUP(errors)
{
	ASSERT_EQ(0, rig_open(&self->rig, 0));
	self->sync.handle = sync_create(self->rig.fd);
}

FIXTURE_TEARDOWN(errors)
{
	rig_close(&self->rig);
}

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

/* An argument that is good; the element of its array as well. */
static void *prepare(FIXTURE_DATA(errors) * self, unsigned long request, union argument *arg)
{
	memset(arg, 0, sizeof(*arg));
	switch (request) {
	case DRM_IOCTL_Q35_DEV_QUERY:
		arg->query.size = sizeof(self->room);
		arg->query.pointer = (uintptr_t)self->room;
		break;
	case DRM_IOCTL_Q35_BO_CREATE:
		arg->bo_create.size = PAGE;
		break;
	case DRM_IOCTL_Q35_BO_MMAP_OFFSET:
		arg->mmap_offset.handle = self->rig.bo;
		break;
	case DRM_IOCTL_Q35_BO_INFO:
		arg->bo_info.handle = self->rig.bo;
		break;
	case DRM_IOCTL_Q35_VM_DESTROY:
		arg->vm_destroy.vm_id = self->rig.vm;
		break;
	case DRM_IOCTL_Q35_VM_BIND:
		self->op = (struct drm_q35_bind_op){
			.handle = self->rig.bo,
			.va = 2 * GIB,
			.size = RIG_SIZE,
		};
		arg->bind.vm_id = self->rig.vm;
		arg->bind.ops.stride = sizeof(self->op);
		arg->bind.ops.count = 1;
		arg->bind.ops.array = (uintptr_t)&self->op;
		return &self->op;
	case DRM_IOCTL_Q35_QUEUE_CREATE:
		arg->queue_create.vm_id = self->rig.vm;
		break;
	case DRM_IOCTL_Q35_QUEUE_DESTROY:
		arg->queue_destroy.queue_id = self->rig.queue;
		break;
	case DRM_IOCTL_Q35_QUEUE_STATE:
		arg->queue_state.queue_id = self->rig.queue;
		break;
	case DRM_IOCTL_Q35_SUBMIT:
		self->job = fill_job(BASE, 4, 1);
		self->sync.flags = DRM_Q35_SYNC_SIGNAL;
		self->sync.point = 0;
		arg->submit.queue_id = self->rig.queue;
		arg->submit.jobs.stride = sizeof(self->job);
		arg->submit.jobs.count = 1;
		arg->submit.jobs.array = (uintptr_t)&self->job;
		arg->submit.syncs.stride = sizeof(self->sync);
		arg->submit.syncs.count = 1;
		arg->submit.syncs.array = (uintptr_t)&self->sync;
		return &self->sync;
	case DRM_IOCTL_Q35_PERF_QUERY:
		arg->perf.queue_id = self->rig.queue;
		break;
	}
	return NULL;
}

TEST_F(errors, each_bad_field_gets_its_errno)
{
	uint32_t handle = self->sync.handle;
	unsigned int i;

	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct wrong *wrong = &wrongs[i];
		union argument arg;
		uint8_t *element;

		self->sync.handle = handle;
		element = prepare(self, wrong->request, &arg);
		if (wrong->offset < 0x10000)
			memcpy(arg.bytes + wrong->offset, &wrong->value, wrong->size);
		else
			memcpy(element + wrong->offset - 0x10000, &wrong->value, wrong->size);
		EXPECT_EQ(-wrong->error, call(self->rig.fd, wrong->request, &arg))
		TH_LOG("%s", wrong->what);
	}
}

/* So that the table above proves something: the same arguments unharmed are accepted. */
TEST_F(errors, the_good_arguments_are_good)
{
	unsigned int i, last = sizeof(wrongs) / sizeof(wrongs[0]);

	for (i = 0; i < last; i++) {
		unsigned long request = wrongs[i].request;
		union argument arg;

		if (request == DRM_IOCTL_Q35_VM_DESTROY || request == DRM_IOCTL_Q35_QUEUE_DESTROY ||
		    (i + 1 < last && wrongs[i + 1].request == request))
			continue;
		prepare(self, request, &arg);
		EXPECT_EQ(0, call(self->rig.fd, request, &arg)) TH_LOG("%s", wrongs[i].what);
	}
}

/* A page that ends where the array goes on. */
TEST_F(errors, an_array_that_ends_in_nowhere_is_a_fault)
{
	uint8_t *page =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct q35_hw_desc *jobs = (void *)(page + PAGE - 3 * sizeof(*jobs));
	struct drm_q35_submit args = {
		.queue_id = self->rig.queue,
		.jobs = {.stride = sizeof(*jobs), .count = 4, .array = (uintptr_t)jobs},
	};
	unsigned int i;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, munmap(page + PAGE, PAGE));
	for (i = 0; i < 3; i++)
		jobs[i] = fill_job(BASE, 4, 1);
	EXPECT_EQ(-EFAULT, call(self->rig.fd, DRM_IOCTL_Q35_SUBMIT, &args));
	args.jobs.count = 3;
	EXPECT_EQ(0, call(self->rig.fd, DRM_IOCTL_Q35_SUBMIT, &args));
}

TEST_F(errors, privileges_are_asked_for)
{
	struct drm_q35_queue_create create = {.vm_id = self->rig.vm, .priority = 3};
	struct drm_q35_perf_query perf;

	ASSERT_EQ(0, call(self->rig.fd, DRM_IOCTL_Q35_QUEUE_CREATE, &create));
	ASSERT_EQ(0, perf_query(self->rig.fd, 0, &perf));
	ASSERT_EQ(0, setuid(65534));
	EXPECT_EQ(-EPERM, call(self->rig.fd, DRM_IOCTL_Q35_QUEUE_CREATE, &create));
	EXPECT_EQ(-EPERM, perf_query(self->rig.fd, 0, &perf));
	EXPECT_EQ(0, perf_query(self->rig.fd, self->rig.queue, &perf));
}

TEST_F(errors, ids_of_another_client_are_unknown)
{
	struct drm_q35_queue_state state;
	struct rig other;
	uint32_t vm, queue;

	ASSERT_EQ(0, rig_open(&other, 0));
	ASSERT_EQ(0, vm_create(other.fd, &vm));
	ASSERT_EQ(0, queue_create(other.fd, vm, 0, &queue));
	EXPECT_EQ(-ENOENT, queue_state(self->rig.fd, queue, &state));
	EXPECT_EQ(-ENOENT, submit(self->rig.fd, queue, NULL, 0, NULL, 0));
	EXPECT_EQ(-ENOENT, unmap_at(self->rig.fd, vm, BASE, PAGE));
	EXPECT_EQ(-ENOENT, queue_create(self->rig.fd, vm, 0, &queue));
	rig_close(&other);
}

TEST_F(errors, an_unknown_ioctl_is_refused)
{
	char arg[64] = {0};

	EXPECT_GT(0, call(self->rig.fd, DRM_IOWR(DRM_COMMAND_BASE + 12, arg), arg));
	EXPECT_GT(0, call(self->rig.fd, DRM_IOWR(DRM_COMMAND_BASE + 63, arg), arg));
}

TEST_HARNESS_MAIN
