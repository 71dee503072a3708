// SPDX-License-Identifier: MIT
/*
 * The card's registers as a guest's processor sees them, against the datasheet, while the driver is
 * unbound: BAR0 through sysfs.
 */
#include "kselftest_harness.h"

#include <glob.h>
#include <libgen.h>
#include <sys/mman.h>

#include "q35_test.h"
#include "register_tests.h"

#define DRIVER "/sys/bus/pci/drivers/q35"
#define DEVICES "/sys/bus/pci/devices"

FIXTURE(registers)
{
	char address[32]; /* of the PCI function */
	volatile uint8_t *bar;
	struct sheet sheet;
	struct bus bus;
};

static bool put(const char *directory, const char *file, const char *text)
{
	char path[128];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	fd = open(path, O_WRONLY);
	ok = fd >= 0 && write(fd, text, strlen(text)) > 0;
	close(fd);
	return ok;
}

static uint32_t mapped_rd(void *opaque, uint32_t offset)
{
	return *(volatile uint32_t *)((uint8_t *)opaque + offset);
}

static void mapped_wr(void *opaque, uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)((uint8_t *)opaque + offset) = value;
}

FIXTURE_SETUP(registers)
{
	char device[64], path[96];
	glob_t bound;
	int fd;

	read_datasheet(&self->sheet, "README.md");
	ASSERT_EQ(0, glob(DRIVER "/*:*", 0, NULL, &bound));
	snprintf(self->address, sizeof(self->address), "%.31s", basename(bound.gl_pathv[0]));
	globfree(&bound);
	snprintf(device, sizeof(device), DEVICES "/%s", self->address);
	snprintf(path, sizeof(path), "%s/resource%d", device, Q35_BAR_REGS);
	ASSERT_TRUE(put(DRIVER, "unbind", self->address));
	ASSERT_TRUE(put(device, "enable", "1"));
	fd = open(path, O_RDWR);
	ASSERT_GE(fd, 0);
	self->bar = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, self->bar);
	close(fd);
	self->bus = (struct bus){
		.rd = mapped_rd, .wr = mapped_wr, .opaque = (void *)(uintptr_t)self->bar};
}

FIXTURE_TEARDOWN(registers)
{
	char device[64];

	EXPECT_EQ(0, munmap((void *)(uintptr_t)self->bar, BAR_SIZE));
	snprintf(device, sizeof(device), DEVICES "/%s", self->address);
	EXPECT_TRUE(put(device, "enable", "0"));
	EXPECT_TRUE(put(DRIVER, "bind", self->address));
}

TEST_F(registers, reset_values)
{
	check_reset_values(&self->sheet, &self->bus, _metadata);
}

TEST_F(registers, written_bits_stick_where_they_may)
{
	check_written_bits(&self->sheet, &self->bus, _metadata);
}

TEST_F(registers, faulted_bits_are_cleared_by_ones)
{
	check_faulted_bits(&self->bus, _metadata);
}

TEST_F(registers, undefined_offsets_do_nothing)
{
	check_undefined_offsets(&self->sheet, &self->bus, _metadata);
}

/* What they read is the machine's business. One of 8 bytes may arrive as two of 4, so none here. */
TEST_F(registers, other_accesses_change_nothing)
{
	volatile uint8_t *reg = self->bar + Q35_REG_COALESCE;
	uint32_t i;

	bus_wr(&self->bus, Q35_REG_COALESCE, 0x12345678);
	for (i = 0; i < 4; i++)
		reg[i] = 0xff;
	for (i = 0; i < 2; i++)
		*(volatile uint16_t *)(reg + 2 * i) = 0xffff;
	for (i = 1; i < 4; i++) {
		__asm__ volatile("movw %w1, %0" : "=m"(reg[i]) : "r"(0xffff));
		__asm__ volatile("movl %1, %0" : "=m"(reg[i]) : "r"(0xffffffff));
	}
	EXPECT_EQ(bus_rd(&self->bus, Q35_REG_COALESCE), 0x12345678);
	ASSERT_TRUE(bus_reset(&self->bus));
}

TEST_HARNESS_MAIN
