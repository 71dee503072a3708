// SPDX-License-Identifier: MIT
/* Buffers and queries: what is told about the card, where memory comes from and goes. */
#include "kselftest_harness.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "q35_test.h"

#define SHARE 64 /* of device memory, in tests of exhaustion */

FIXTURE(memory)
{
	int fd;
	struct drm_q35_device info;
};

FIXTURE_SETUP(memory)
{
	self->fd = card_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, query_device(self->fd, &self->info));
}

FIXTURE_TEARDOWN(memory)
{
	close(self->fd);
}

static uint64_t free_bytes(int fd)
{
	struct drm_q35_memory memory = {0};

	query_memory(fd, &memory);
	return memory.free;
}

TEST_F(memory, the_card_is_described)
{
	EXPECT_EQ(Q35_VERSION_MAJOR, self->info.version >> 16);
	EXPECT_EQ(PAGE, self->info.page_size);
	EXPECT_LT(0, self->info.va_start);
	EXPECT_LT(self->info.va_start, self->info.va_end);
	EXPECT_LE(16, self->info.queues);
	EXPECT_LE(256, self->info.max_jobs);
	EXPECT_LT(0, self->info.memory_size);
}

TEST_F(memory, a_query_from_an_older_header_is_cut_and_from_a_newer_one_zero_filled)
{
	struct {
		struct drm_q35_device device;
		uint8_t more[64];
	} room;
	struct drm_q35_dev_query args = {.type = DRM_Q35_QUERY_DEVICE};
	unsigned int i;

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_Q35_DEV_QUERY, &args));
	EXPECT_EQ(sizeof(room.device), args.size);

	memset(&room, 0xff, sizeof(room));
	args.size = sizeof(room);
	args.pointer = (uintptr_t)&room;
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_Q35_DEV_QUERY, &args));
	EXPECT_EQ(0, memcmp(&room.device, &self->info, sizeof(self->info)));
	for (i = 0; i < sizeof(room.more); i++)
		ASSERT_EQ(0, room.more[i]);

	memset(&room, 0xff, sizeof(room));
	args.size = 4;
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_Q35_DEV_QUERY, &args));
	EXPECT_EQ(self->info.version, room.device.version);
	EXPECT_EQ(0xffffffff, room.device.features);
}

FIXTURE(buffer)
{
	int fd;
};

FIXTURE_VARIANT(buffer)
{
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(buffer, device){.flags = DRM_Q35_BO_DEVICE};
FIXTURE_VARIANT_ADD(buffer, host_cached){.flags = 0};
FIXTURE_VARIANT_ADD(buffer, host_wc){.flags = DRM_Q35_BO_WC};

FIXTURE_SETUP(buffer)
{
	self->fd = card_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(buffer)
{
	close(self->fd);
}

TEST_F(buffer, is_rounded_up_to_pages_and_described)
{
	struct drm_q35_bo_create args = {.size = 5000, .flags = variant->flags};
	struct drm_q35_bo_info info = {0};

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_Q35_BO_CREATE, &args));
	EXPECT_EQ(8192, args.size);
	info.handle = args.handle;
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_Q35_BO_INFO, &info));
	EXPECT_EQ(8192, info.size);
	EXPECT_EQ(variant->flags, info.flags);
}

/* Dirty, freed and allocated again: what another client left must not be seen. */
TEST_F(buffer, reads_as_zeros_even_where_another_was)
{
	const uint64_t size = 5 * MIB;
	unsigned int round, i;

	for (round = 0; round < 3; round++) {
		uint32_t handle, *mem;

		ASSERT_EQ(0, bo_create(self->fd, size, variant->flags, &handle));
		mem = bo_map(self->fd, handle, size);
		ASSERT_NE(MAP_FAILED, mem);
		for (i = 0; i < size / 4; i++)
			ASSERT_EQ(0, mem[i]);
		memset(mem, 0xa5, size);
		for (i = 0; i < size / 4; i += 1021)
			ASSERT_EQ(0xa5a5a5a5, mem[i]);
		munmap(mem, size);
		ASSERT_EQ(0, bo_close(self->fd, handle));
	}
}

TEST_F(buffer, mapping_outlives_the_handle)
{
	uint32_t handle, *mem;

	ASSERT_EQ(0, bo_create(self->fd, MIB, variant->flags, &handle));
	mem = bo_map(self->fd, handle, MIB);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, bo_close(self->fd, handle));
	mem[0] = 1;
	mem[MIB / 4 - 1] = 2;
	EXPECT_EQ(1, mem[0]);
	EXPECT_EQ(2, mem[MIB / 4 - 1]);
	munmap(mem, MIB);
}

TEST_F(buffer, private_mapping_is_refused)
{
	struct drm_q35_bo_mmap_offset args = {0};

	ASSERT_EQ(0, bo_create(self->fd, PAGE, variant->flags, &args.handle));
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_Q35_BO_MMAP_OFFSET, &args));
	EXPECT_EQ(MAP_FAILED,
		  mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd, args.offset));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(buffer, another_client_cannot_map_it)
{
	struct drm_q35_bo_mmap_offset args = {0};
	int other = card_open();

	ASSERT_LE(0, other);
	ASSERT_EQ(0, bo_create(self->fd, PAGE, variant->flags, &args.handle));
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_Q35_BO_MMAP_OFFSET, &args));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, other, args.offset));
	EXPECT_EQ(EACCES, errno);
	close(other);
}

TEST_F(memory, device_memory_that_is_full_says_enospc_and_comes_back_whole)
{
	const uint64_t all = free_bytes(self->fd), size = all / SHARE / PAGE * PAGE;
	uint32_t handles[SHARE + 1], handle;
	unsigned int count, i;

	for (count = 0; count < SHARE; count++)
		ASSERT_EQ(0, bo_create(self->fd, size, DRM_Q35_BO_DEVICE, &handles[count]));
	EXPECT_EQ(-ENOSPC, bo_create(self->fd, 2 * size, DRM_Q35_BO_DEVICE, &handle));
	for (i = 0; i < count; i++)
		ASSERT_EQ(0, bo_close(self->fd, handles[i]));
	EXPECT_EQ(all, free_bytes(self->fd));
}

TEST_F(memory, scattered_device_memory_serves_a_large_buffer)
{
	const uint64_t all = free_bytes(self->fd), size = all / SHARE / PAGE * PAGE;
	const uint64_t large = SHARE / 2 * size;
	uint32_t handles[SHARE], handle, *mem;
	unsigned int i;

	for (i = 0; i < SHARE; i++)
		ASSERT_EQ(0, bo_create(self->fd, size, DRM_Q35_BO_DEVICE, &handles[i]));
	for (i = 0; i < SHARE; i += 2)
		ASSERT_EQ(0, bo_close(self->fd, handles[i]));
	ASSERT_EQ(0, bo_create(self->fd, large, DRM_Q35_BO_DEVICE, &handle));
	mem = bo_map(self->fd, handle, large);
	ASSERT_NE(MAP_FAILED, mem);
	for (i = 0; i < SHARE / 2; i++)
		mem[i * size / 4] = i;
	for (i = 0; i < SHARE / 2; i++)
		ASSERT_EQ(i, mem[i * size / 4]);
	munmap(mem, large);
}

TEST_F(memory, closing_the_file_frees_device_memory)
{
	const uint64_t before = free_bytes(self->fd);
	uint32_t handle;
	int other = card_open();

	ASSERT_LE(0, other);
	ASSERT_EQ(0, bo_create(other, 16 * MIB, DRM_Q35_BO_DEVICE, &handle));
	EXPECT_EQ(before - 16 * MIB, free_bytes(self->fd));
	close(other);
	EXPECT_EQ(before, free_bytes(self->fd));
}

TEST_F(memory, sizes_that_nobody_has_are_refused)
{
	static const uint64_t sizes[] = {1ull << 40, 1ull << 62, UINT64_MAX - 1, UINT64_MAX};
	uint32_t handle;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		EXPECT_EQ(-ENOSPC, bo_create(self->fd, sizes[i], DRM_Q35_BO_DEVICE, &handle));
		EXPECT_EQ(-ENOMEM, bo_create(self->fd, sizes[i], 0, &handle));
	}
}

/* Between two files of one device: the same buffer, not a copy. */
TEST_F(memory, host_memory_is_shared_by_dma_buf)
{
	uint32_t handle, imported, *mem, *seen;
	int other = card_open(), prime;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, bo_create(self->fd, MIB, 0, &handle));
	ASSERT_EQ(0, drmPrimeHandleToFD(self->fd, handle, DRM_CLOEXEC | DRM_RDWR, &prime));
	ASSERT_EQ(0, drmPrimeFDToHandle(other, prime, &imported));
	mem = bo_map(self->fd, handle, MIB);
	seen = bo_map(other, imported, MIB);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_NE(MAP_FAILED, seen);
	mem[77] = 0x1234;
	EXPECT_EQ(0x1234, seen[77]);
	munmap(mem, MIB);
	munmap(seen, MIB);
	close(prime);
	close(other);
}

TEST_F(memory, device_memory_is_not_exported)
{
	uint32_t handle;
	int prime;

	ASSERT_EQ(0, bo_create(self->fd, MIB, DRM_Q35_BO_DEVICE, &handle));
	EXPECT_NE(0, drmPrimeHandleToFD(self->fd, handle, DRM_CLOEXEC, &prime));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

/* The number after a key of fdinfo as the kernel's drm-usage-stats.rst has them; -1 if it is not there. */
static long figure(int fd, const char *key)
{
	char path[64], line[128];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			value = strtol(line + strlen(key) + 1, NULL, 0);
	if (file)
		fclose(file);
	return value;
}

TEST_F(memory, fdinfo_tells_memory_by_region)
{
	uint32_t handle;
	int prime;

	ASSERT_EQ(0, bo_create(self->fd, 3 * MIB, DRM_Q35_BO_DEVICE, &handle));
	ASSERT_EQ(0, bo_create(self->fd, 2 * MIB, 0, &handle));
	ASSERT_EQ(0, bo_create(self->fd, 5 * MIB, 0, &handle));
	ASSERT_EQ(0, drmPrimeHandleToFD(self->fd, handle, DRM_CLOEXEC | DRM_RDWR, &prime));
	EXPECT_LT(0, figure(self->fd, "drm-client-id"));
	EXPECT_EQ(3, figure(self->fd, "drm-total-device"));
	EXPECT_EQ(0, figure(self->fd, "drm-shared-device"));
	EXPECT_EQ(7, figure(self->fd, "drm-total-host"));
	EXPECT_EQ(5, figure(self->fd, "drm-shared-host"));
	close(prime);
}

#define CGROUPS "/tmp/cgroups"
#define GROUP CGROUPS "/q35"

static unsigned long long charged(void)
{
	unsigned long long bytes = 0;
	FILE *file = fopen(GROUP "/memory.current", "r");

	if (file && fscanf(file, "%llu", &bytes) != 1)
		bytes = 0;
	if (file)
		fclose(file);
	return bytes;
}

/* In a child that has joined the group. Return: 0, or which step failed. */
static int charge(void)
{
	unsigned long long before;
	struct rig rig;
	uint32_t bo, queue;
	unsigned int i;

	if (write_text(GROUP "/cgroup.procs", "0"))
		return 1;
	if (rig_open(&rig, 0) || bo_create(rig.fd, 16 * MIB, 0, &bo))
		return 2;
	before = charged();
	if (map_at(rig.fd, rig.vm, 0, bo, 0, 2 * GIB, 16 * MIB))
		return 3;
	if (charged() - before < 16 * MIB)
		return 4;

	/* What the driver needs for a queue above all is its ring: 1024 descriptors. */
	before = charged();
	for (i = 0; i < 8; i++)
		if (queue_create(rig.fd, rig.vm, 0, &queue))
			return 5;
	if (charged() - before < 8 * 1024 * sizeof(struct q35_hw_desc))
		return 6;

	/* Page tables: one a mapping. */
	before = charged();
	for (i = 0; i < 256; i++)
		if (map_at(rig.fd, rig.vm, 0, rig.bo, 0, 4 * GIB + i * 2 * MIB, PAGE))
			return 7;
	return charged() - before >= 256 * PAGE ? 0 : 8;
}

TEST_F(memory, of_the_host_is_charged_to_who_uses_it)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, mkdir(CGROUPS, 0755));
	ASSERT_EQ(0, mount("none", CGROUPS, "cgroup2", 0, NULL));
	ASSERT_EQ(0, write_text(CGROUPS "/cgroup.subtree_control", "+memory"));
	ASSERT_EQ(0, mkdir(GROUP, 0755));
	pid = fork();
	if (!pid)
		_exit(charge());
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, rmdir(GROUP));
	EXPECT_EQ(0, umount(CGROUPS));
}

TEST_HARNESS_MAIN
