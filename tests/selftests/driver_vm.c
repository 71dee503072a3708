// SPDX-License-Identifier: MIT
/* Address spaces: what jobs can reach, and what they cannot. */
#include "kselftest_harness.h"

#include "q35_test.h"

#define WORDS_PER_PAGE (PAGE / 4)

FIXTURE(vm)
{
	struct rig rig;
};

FIXTURE_SETUP(vm)
{
	ASSERT_EQ(0, rig_open(&self->rig, 0));
}

FIXTURE_TEARDOWN(vm)
{
	rig_close(&self->rig);
}

/* Whether a job of a new queue can write, or read, 4 bytes at va: the old one may have died. */
static int reach(struct rig *rig, uint64_t va, int write)
{
	struct q35_hw_desc job = write ? fill_job(va, 4, 1) : copy_job(BASE + RIG_SIZE - 4, va, 4);
	uint32_t queue;
	int ret;

	ret = queue_create(rig->fd, rig->vm, 0, &queue);
	if (ret)
		return ret;
	ret = run(rig->fd, queue, &job, 1);
	queue_destroy(rig->fd, queue);
	return ret;
}

#define CAN_WRITE(va) EXPECT_EQ(0, reach(&self->rig, va, 1)) TH_LOG("va %#llx", (long long)(va))
#define CAN_READ(va) EXPECT_EQ(0, reach(&self->rig, va, 0)) TH_LOG("va %#llx", (long long)(va))
#define FAULTS(va) EXPECT_EQ(-EIO, reach(&self->rig, va, 0)) TH_LOG("va %#llx", (long long)(va))
#define WRITE_FAULTS(va) \
	EXPECT_EQ(-EIO, reach(&self->rig, va, 1)) TH_LOG("va %#llx", (long long)(va))

TEST_F(vm, unmapped_addresses_fault)
{
	FAULTS(BASE - 4);
	FAULTS(BASE + RIG_SIZE);
	FAULTS(PAGE);
	FAULTS(1ull << 39);
	FAULTS(1ull << 63);
	FAULTS(~3ull);
	CAN_READ(BASE);
}

TEST_F(vm, a_hole_faults_and_its_borders_do_not)
{
	ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, BASE + 4 * PAGE, 2 * PAGE));
	CAN_WRITE(BASE + 4 * PAGE - 4);
	FAULTS(BASE + 4 * PAGE);
	FAULTS(BASE + 6 * PAGE - 4);
	CAN_WRITE(BASE + 6 * PAGE);
	CAN_WRITE(BASE);
	CAN_WRITE(BASE + RIG_SIZE - 4);
}

/* Of a large page: device memory of several MiB, mapped with 2 MiB entries where it is aligned. */
TEST_F(vm, holes_split_large_pages)
{
	const uint64_t va = 4 * GIB, size = 8 * MIB;
	struct q35_hw_desc job = fill_job(va, size, 0x11111111);
	uint32_t bo, *mem;
	unsigned int i;

	ASSERT_EQ(0, bo_create(self->rig.fd, size, DRM_Q35_BO_DEVICE, &bo));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, bo, 0, va, size));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, va + MIB, PAGE));
	ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, va + 3 * MIB, 4 * MIB));
	CAN_WRITE(va + MIB - 4);
	FAULTS(va + MIB);
	CAN_WRITE(va + MIB + PAGE);
	CAN_WRITE(va + 3 * MIB - 4);
	FAULTS(va + 3 * MIB);
	FAULTS(va + 5 * MIB);
	FAULTS(va + 7 * MIB - 4);
	CAN_WRITE(va + 7 * MIB);

	mem = bo_map(self->rig.fd, bo, size);
	ASSERT_NE(MAP_FAILED, mem);
	for (i = 0; i < size / 4; i++) {
		uint64_t at = i * 4ull;
		int touched =
			at == MIB - 4 || at == MIB + PAGE || at == 3 * MIB - 4 || at == 7 * MIB;

		ASSERT_EQ(touched ? 1 : 0x11111111, mem[i]);
	}
	munmap(mem, size);
}

TEST_F(vm, mapping_replaces_the_middle_of_another)
{
	struct q35_hw_desc job = fill_job(BASE, 8 * PAGE, 7);
	uint32_t bo, *mem;

	ASSERT_EQ(0, bo_create(self->rig.fd, 2 * PAGE, 0, &bo));
	mem = bo_map(self->rig.fd, bo, 2 * PAGE);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, bo, 0, BASE + 3 * PAGE, 2 * PAGE));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(7, self->rig.mem[3 * WORDS_PER_PAGE - 1]);
	EXPECT_EQ(0, self->rig.mem[3 * WORDS_PER_PAGE]);
	EXPECT_EQ(0, self->rig.mem[5 * WORDS_PER_PAGE - 1]);
	EXPECT_EQ(7, self->rig.mem[5 * WORDS_PER_PAGE]);
	EXPECT_EQ(7, mem[0]);
	EXPECT_EQ(7, mem[2 * WORDS_PER_PAGE - 1]);
	munmap(mem, 2 * PAGE);
}

TEST_F(vm, offsets_into_the_buffer_hold_after_a_split)
{
	struct q35_hw_desc job = fill_job(BASE + 10 * PAGE, PAGE, 10);

	ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, BASE, 10 * PAGE));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, self->rig.bo, 20 * PAGE, BASE, PAGE));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(10, self->rig.mem[10 * WORDS_PER_PAGE]);
	job = fill_job(BASE, PAGE, 20);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(20, self->rig.mem[20 * WORDS_PER_PAGE]);
	EXPECT_EQ(0, self->rig.mem[0]);
}

TEST_F(vm, readonly_mapping_can_be_read_and_not_written)
{
	struct drm_q35_queue_state state;
	struct q35_hw_desc job;

	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, DRM_Q35_BIND_READONLY, self->rig.bo, 0,
			    2 * GIB, PAGE));
	CAN_READ(2 * GIB);
	WRITE_FAULTS(2 * GIB);
	CAN_WRITE(BASE);

	job = fill_job(2 * GIB, 4, 1);
	EXPECT_EQ(-EIO, run(self->rig.fd, self->rig.queue, &job, 1));
	ASSERT_EQ(0, queue_state(self->rig.fd, self->rig.queue, &state));
	EXPECT_EQ(Q35_FAULT_PERMISSION, state.fault_code);
	EXPECT_EQ(2 * GIB, state.fault_addr);
	EXPECT_TRUE(state.fault_info & Q35_FAULT_WRITE);
}

TEST_F(vm, unmapping_what_is_not_mapped_is_fine)
{
	EXPECT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, 100 * GIB, 200 * GIB));
	EXPECT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, 2 * MIB, 512 * GIB - 2 * MIB));
	FAULTS(BASE);
}

TEST_F(vm, operations_before_a_bad_one_hold_and_later_ones_do_nothing)
{
	struct drm_q35_bind_op ops[] = {
		{.handle = self->rig.bo, .va = 2 * GIB, .size = PAGE},
		{.flags = DRM_Q35_BIND_UNMAP, .va = BASE, .size = PAGE},
		{.handle = self->rig.bo, .va = 2 * GIB + 1, .size = PAGE},
		{.handle = self->rig.bo, .va = 3 * GIB, .size = PAGE},
	};
	uint32_t done = 99;

	EXPECT_EQ(-EINVAL, bind_ops(self->rig.fd, self->rig.vm, ops, 4, &done));
	EXPECT_EQ(2, done);
	CAN_READ(2 * GIB);
	FAULTS(BASE);
	FAULTS(3 * GIB);
}

TEST_F(vm, a_buffer_stays_while_bound_though_its_handle_is_closed)
{
	struct q35_hw_desc job = fill_job(BASE, 4, 3);

	ASSERT_EQ(0, bo_close(self->rig.fd, self->rig.bo));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(3, self->rig.mem[0]);
}

TEST_F(vm, the_same_memory_can_be_at_two_addresses)
{
	struct q35_hw_desc job = fill_job(2 * GIB + 64, 4, 9);

	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, self->rig.bo, PAGE, 2 * GIB, PAGE));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(9, self->rig.mem[WORDS_PER_PAGE + 16]);
	ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, 2 * GIB, PAGE));
	FAULTS(2 * GIB);
	CAN_READ(BASE + PAGE);
}

/* The same addresses, other clients: neither reads nor writes the other's memory. */
TEST_F(vm, clients_do_not_see_each_other)
{
	const uint64_t secret_va = 8 * GIB;
	struct rig other;
	struct q35_hw_desc job;
	uint32_t secret;

	ASSERT_EQ(0, rig_open(&other, 0));
	ASSERT_EQ(0, bo_create(other.fd, MIB, DRM_Q35_BO_DEVICE, &secret));
	ASSERT_EQ(0, map_at(other.fd, other.vm, 0, secret, 0, secret_va, MIB));
	job = fill_job(secret_va, MIB, 0x5ec5e7);
	ASSERT_EQ(0, run(other.fd, other.queue, &job, 1));

	FAULTS(secret_va);
	WRITE_FAULTS(secret_va);
	job = fill_job(BASE, RIG_SIZE, 0x666);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(0, other.mem[0]);
	EXPECT_EQ(-ENOENT, map_at(self->rig.fd, self->rig.vm, 0, 77, 0, secret_va, PAGE));

	job = copy_job(BASE, secret_va, 4);
	ASSERT_EQ(0, run(other.fd, other.queue, &job, 1));
	EXPECT_EQ(0x5ec5e7, other.mem[0]);
	rig_close(&other);
}

/* No stale translation: what was freed and given to another client is out of reach. */
TEST_F(vm, unmapped_memory_is_out_of_reach_at_once)
{
	unsigned int i;

	for (i = 0; i < 20; i++) {
		struct q35_hw_desc job = fill_job(2 * GIB, PAGE, i + 1);
		uint32_t bo;

		ASSERT_EQ(0, bo_create(self->rig.fd, PAGE, DRM_Q35_BO_DEVICE, &bo));
		ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, bo, 0, 2 * GIB, PAGE));
		ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
		ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, 2 * GIB, PAGE));
		ASSERT_EQ(0, bo_close(self->rig.fd, bo));
		FAULTS(2 * GIB);
	}
}

#define BUFFERS 64
#define BUFFER_SIZE (16 * PAGE)
#define JOBS 1024 /* milliseconds of work */

/*
 * Memory is unmapped under jobs that use it. They complete or fault; but never do they reach for what
 * the host has taken back, which with an IOMMU the host refuses (Q35_FAULT_BUS).
 */
TEST_F(vm, memory_in_use_is_kept_until_the_card_has_forgotten_it)
{
	static struct q35_hw_desc jobs[JOBS];
	unsigned int round, i;

	for (i = 0; i < JOBS; i++)
		jobs[i] = fill_job(2 * GIB + i % BUFFERS * BUFFER_SIZE, BUFFER_SIZE, i);
	for (round = 0; round < 30; round++) {
		struct drm_q35_sync sync = {DRM_Q35_SYNC_SIGNAL, sync_create(self->rig.fd), 0};
		struct drm_q35_queue_state state;
		struct drm_q35_bind_op ops[BUFFERS];
		uint32_t queue;

		ASSERT_EQ(0, queue_create(self->rig.fd, self->rig.vm, 0, &queue));
		for (i = 0; i < BUFFERS; i++) {
			ops[i] = (struct drm_q35_bind_op){.va = 2 * GIB + i * BUFFER_SIZE,
							  .size = BUFFER_SIZE};
			ASSERT_EQ(0, bo_create(self->rig.fd, BUFFER_SIZE, 0, &ops[i].handle));
		}
		ASSERT_EQ(0, bind_ops(self->rig.fd, self->rig.vm, ops, BUFFERS, NULL));
		for (i = 0; i < BUFFERS; i++)
			ASSERT_EQ(0, bo_close(self->rig.fd, ops[i].handle));
		/* The first time the card learns the translations, the second time it may use them. */
		ASSERT_EQ(0, run(self->rig.fd, queue, jobs, BUFFERS));
		ASSERT_EQ(0, submit(self->rig.fd, queue, jobs, JOBS, &sync, 1));
		ASSERT_EQ(0, unmap_at(self->rig.fd, self->rig.vm, 2 * GIB, BUFFERS * BUFFER_SIZE));
		ASSERT_EQ(0, sync_wait(self->rig.fd, sync.handle));
		ASSERT_EQ(0, queue_state(self->rig.fd, queue, &state));
		if (state.status != DRM_Q35_QUEUE_OK) {
			EXPECT_EQ(DRM_Q35_QUEUE_FAULT, state.status);
			EXPECT_EQ(Q35_FAULT_UNMAPPED, state.fault_code);
		}
		drmSyncobjDestroy(self->rig.fd, sync.handle);
		ASSERT_EQ(0, queue_destroy(self->rig.fd, queue));
	}
}

TEST_F(vm, address_spaces_run_out_with_enospc_and_come_back)
{
	struct drm_q35_device info;
	uint32_t id, first = 0, count;
	unsigned int round;

	ASSERT_EQ(0, query_device(self->rig.fd, &info));
	for (round = 0; round < 2; round++) {
		for (count = 0; !vm_create(self->rig.fd, &id); count++) {
			if (!count)
				first = id;
			ASSERT_GT(info.vms, count);
		}
		EXPECT_EQ(info.vms - 1, count);
		EXPECT_EQ(-ENOSPC, vm_create(self->rig.fd, &id));
		while (count--)
			ASSERT_EQ(0, vm_destroy(self->rig.fd, first + count));
	}
}

/* The id goes at once, the address space with its last queue. */
TEST_F(vm, a_destroyed_address_space_serves_its_queues_to_the_end)
{
	struct q35_hw_desc job = fill_job(BASE, 4, 5);

	ASSERT_EQ(0, vm_destroy(self->rig.fd, self->rig.vm));
	EXPECT_EQ(-ENOENT, unmap_at(self->rig.fd, self->rig.vm, BASE, PAGE));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(5, self->rig.mem[0]);
	ASSERT_EQ(0, queue_destroy(self->rig.fd, self->rig.queue));
}

TEST_HARNESS_MAIN
