// SPDX-License-Identifier: MIT
/* What a client may not do is refused; driver_abi.c has the fields of arguments. */
#include "kselftest_harness.h"

#include "q35_test.h"

FIXTURE(errors)
{
	struct rig rig;
};

FIXTURE_SETUP(errors)
{
	ASSERT_EQ(0, rig_open(&self->rig, 0));
}

FIXTURE_TEARDOWN(errors)
{
	rig_close(&self->rig);
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
