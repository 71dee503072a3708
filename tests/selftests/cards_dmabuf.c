// SPDX-License-Identifier: MIT
/*
 * Buffers shared with other drivers and with another card, $Q35_OTHER's: what one side writes the other
 * one sees, in either direction, without a copy.
 */
#include "kselftest_harness.h"

#include <linux/udmabuf.h>
#include <sys/mman.h>

#include "q35_test.h"

/* vgem claims to take no longer segments, and DMA-API debugging heeds it. */
#define SIZE (16 * PAGE)
#define SHARED (2 * GIB) /* where the shared buffer is for the card */

FIXTURE(dmabuf)
{
	struct rig rig;
	int vgem;
};

FIXTURE_SETUP(dmabuf)
{
	ASSERT_EQ(0, rig_open(&self->rig, 0));
	self->vgem = vgem_open();
	ASSERT_LE(0, self->vgem);
}

FIXTURE_TEARDOWN(dmabuf)
{
	close(self->vgem);
	rig_close(&self->rig);
}

/* The card reads from the shared buffer what the CPU has put there, and writes to it. */
static int card_shares(struct rig *rig, int prime, volatile uint32_t *seen)
{
	struct q35_hw_desc jobs[2] = {
		copy_job(BASE + 64, SHARED, 4),
		fill_job(SHARED + SIZE - 4, 4, 0xcafe),
	};
	uint32_t handle;
	int ret;

	if (drmPrimeFDToHandle(rig->fd, prime, &handle))
		return -errno;
	ret = map_at(rig->fd, rig->vm, 0, handle, 0, SHARED, SIZE);
	if (ret)
		return ret;
	seen[0] = 0xbeef;
	ret = run(rig->fd, rig->queue, jobs, 2);
	if (!ret && (rig->mem[16] != 0xbeef || seen[SIZE / 4 - 1] != 0xcafe))
		ret = 1;
	rig->mem[16] = 0;
	seen[SIZE / 4 - 1] = 0;
	if (!ret)
		ret = unmap_at(rig->fd, rig->vm, SHARED, SIZE);
	return ret ?: bo_close(rig->fd, handle);
}

TEST_F(dmabuf, is_imported_from_udmabuf)
{
	struct udmabuf_create create = {.size = SIZE};
	int device = open("/dev/udmabuf", O_RDWR), prime;
	int memfd = memfd_create("q35", MFD_ALLOW_SEALING);
	uint32_t *mem, handle;

	ASSERT_LE(0, device);
	ASSERT_EQ(0, ftruncate(memfd, SIZE));
	ASSERT_EQ(0, fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	create.memfd = memfd;
	prime = ioctl(device, UDMABUF_CREATE, &create);
	ASSERT_LE(0, prime);
	EXPECT_EQ(0, card_shares(&self->rig, prime, mem));

	ASSERT_EQ(0, drmPrimeFDToHandle(self->rig.fd, prime, &handle));
	EXPECT_EQ(MAP_FAILED, bo_map(self->rig.fd, handle, SIZE));
	EXPECT_EQ(EPERM, errno);
	close(prime);
	close(memfd);
	close(device);
}

/* A buffer of vgem's, for the CPU. */
static uint32_t *vgem_map(int vgem, uint32_t handle)
{
	struct drm_mode_map_dumb map = {.handle = handle};

	if (drmIoctl(vgem, DRM_IOCTL_MODE_MAP_DUMB, &map))
		return MAP_FAILED;
	return mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vgem, map.offset);
}

TEST_F(dmabuf, is_imported_from_vgem)
{
	struct drm_mode_create_dumb create = {.width = SIZE / 4, .height = 1, .bpp = 32};
	uint32_t *mem;
	int prime;

	ASSERT_EQ(0, drmIoctl(self->vgem, DRM_IOCTL_MODE_CREATE_DUMB, &create));
	mem = vgem_map(self->vgem, create.handle);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, drmPrimeHandleToFD(self->vgem, create.handle, DRM_CLOEXEC | DRM_RDWR, &prime));
	EXPECT_EQ(0, card_shares(&self->rig, prime, mem));
	close(prime);
}

TEST_F(dmabuf, is_exported_to_vgem)
{
	struct q35_hw_desc job = fill_job(SHARED, 4, 0xfeed);
	uint32_t bo, handle;
	void *mem;
	int prime;

	ASSERT_EQ(0, bo_create(self->rig.fd, SIZE, 0, &bo));
	ASSERT_EQ(0, drmPrimeHandleToFD(self->rig.fd, bo, DRM_CLOEXEC | DRM_RDWR, &prime));
	/* Nobody has touched it yet: it is the importer who makes it have pages. */
	ASSERT_EQ(0, drmPrimeFDToHandle(self->vgem, prime, &handle));
	/* DMA-API debugging complains of a device that maps what another one has mapped, if not importing. */
	ASSERT_EQ(0, bo_close(self->vgem, handle));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, bo, 0, SHARED, SIZE));
	ASSERT_EQ(0, drmPrimeFDToHandle(self->vgem, prime, &handle));
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, prime, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	EXPECT_EQ(0xfeed, *(volatile uint32_t *)mem);
	munmap(mem, SIZE);
	close(prime);
}

TEST_F_TIMEOUT(dmabuf, is_shared_by_two_cards_and_outlives_one, 120)
{
	const char *ours = getenv("Q35_CARD"), *other = getenv("Q35_OTHER");
	struct q35_hw_desc job = fill_job(BASE, 4, 0xfeed);
	struct rig exporter;
	int prime;

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, setenv("Q35_CARD", other, 1));
	ASSERT_EQ(0, rig_open(&exporter, 0));
	ASSERT_EQ(0, setenv("Q35_CARD", ours, 1));
	ASSERT_EQ(0, drmPrimeHandleToFD(exporter.fd, exporter.bo, DRM_CLOEXEC | DRM_RDWR, &prime));
	EXPECT_EQ(0, card_shares(&self->rig, prime, exporter.mem));
	ASSERT_EQ(0, run(exporter.fd, exporter.queue, &job, 1));
	EXPECT_EQ(0xfeed, exporter.mem[0]);

	ASSERT_EQ(0, write_text("/sys/bus/pci/drivers/q35/unbind", other));
	EXPECT_EQ(-ENODEV, submit(exporter.fd, exporter.queue, &job, 1, NULL, 0));
	EXPECT_EQ(0, card_shares(&self->rig, prime, exporter.mem));
	close(prime);
	rig_close(&exporter);
	ASSERT_EQ(0, write_text("/sys/bus/pci/drivers/q35/bind", other));
}

/* Another device would need peer-to-peer DMA, and to let go when the card leaves. */
TEST_F(dmabuf, of_device_memory_is_refused)
{
	uint32_t handle;
	int prime;

	ASSERT_EQ(0, bo_create(self->rig.fd, SIZE, DRM_Q35_BO_DEVICE, &handle));
	EXPECT_NE(0, drmPrimeHandleToFD(self->rig.fd, handle, DRM_CLOEXEC | DRM_RDWR, &prime));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

TEST_HARNESS_MAIN
