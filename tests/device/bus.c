// SPDX-License-Identifier: MIT
/*
 * The card as a function on the bus of a real QEMU, without a guest: QEMU's qtest protocol does what
 * a processor would do, while the processor sleeps in firmware that does nothing else. tools/q35-qemu
 * starts it; run this in the repository's top directory.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "register_tests.h"

#define FIRMWARE_SIZE 0x10000
#define SLOT 4 /* on bus 0 */
#define REGS 0xe0000000u /* where the test puts BAR0 */
#define MEMORY 0xe1000000u /* BAR2 */
#define MSIX 0xe0100000u /* BAR4 */
#define RAM 0x100000u /* the test's, in system memory */
#define RING (RAM + 0x0000)
#define WRITEBACK (RAM + 0x1000)
#define MESSAGE (RAM + 0x2000) /* where the interrupt vectors write to */

FIXTURE(function)
{
	pid_t qemu;
	FILE *to, *from;
	char firmware[32];
	struct sheet sheet;
	struct bus bus;
};

/* ---- The qtest protocol: a command a line, and its answer ---- */

/* The answer's words after "OK"; interrupts that are reported in between are not of interest. */
static const char *command(FIXTURE_DATA(function) * f, const char *format, ...)
{
	static char line[16384];
	va_list args;

	va_start(args, format);
	vfprintf(f->to, format, args);
	va_end(args);
	fputc('\n', f->to);
	fflush(f->to);
	do {
		if (!fgets(line, sizeof(line), f->from))
			ksft_exit_fail_msg("QEMU is gone\n");
	} while (!strncmp(line, "IRQ ", 4));
	if (strncmp(line, "OK", 2))
		ksft_exit_fail_msg("QEMU answers: %s\n", line);
	return line + 2;
}

static uint64_t load(FIXTURE_DATA(function) * f, char size, uint64_t address)
{
	return strtoull(command(f, "read%c 0x%llx", size, (unsigned long long)address), NULL, 0);
}

static void store(FIXTURE_DATA(function) * f, char size, uint64_t address, uint64_t value)
{
	command(f, "write%c 0x%llx 0x%llx", size, (unsigned long long)address,
		(unsigned long long)value);
}

static uint32_t qtest_rd(void *opaque, uint32_t offset)
{
	return load(opaque, 'l', REGS + offset);
}

static void qtest_wr(void *opaque, uint32_t offset, uint32_t value)
{
	store(opaque, 'l', REGS + offset, value);
}

static uint32_t config_rd(FIXTURE_DATA(function) * f, uint32_t offset)
{
	command(f, "outl 0xcf8 0x%x", 0x80000000 | SLOT << 11 | (offset & ~3u));
	return strtoull(command(f, "inl 0xcfc"), NULL, 0) >> 8 * (offset & 3);
}

static void config_wr(FIXTURE_DATA(function) * f, uint32_t offset, uint32_t value)
{
	command(f, "outl 0xcf8 0x%x", 0x80000000 | SLOT << 11 | offset);
	command(f, "outl 0xcfc 0x%x", value);
}

/* Where the capability is in configuration space, or 0. */
static uint32_t capability(FIXTURE_DATA(function) * f, uint8_t id)
{
	uint32_t at = config_rd(f, 0x34) & 0xff;

	while (at && (config_rd(f, at) & 0xff) != id)
		at = config_rd(f, at) >> 8 & 0xff;
	return at;
}

/* As firmware does it; all but bus mastering. */
static void place_bars(FIXTURE_DATA(function) * f)
{
	config_wr(f, 0x10, REGS);
	config_wr(f, 0x14, 0);
	config_wr(f, 0x18, MEMORY);
	config_wr(f, 0x1c, 0);
	config_wr(f, 0x20, MSIX);
	config_wr(f, 0x24, 0);
	config_wr(f, 0x04, 0x2);
}

static void write_firmware(char *path)
{
	static uint8_t image[FIRMWARE_SIZE];
	int fd = mkstemp(path);

	/* At the reset vector: hlt, and again after an interrupt, of which there is none. */
	memcpy(image + FIRMWARE_SIZE - 16, "\xf4\xeb\xfd", 3);
	if (fd < 0 || write(fd, image, sizeof(image)) != sizeof(image))
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
	close(fd);
}

FIXTURE_SETUP(function)
{
	int to[2], from[2];

	strcpy(self->firmware, "/tmp/q35-bus.XXXXXX");
	write_firmware(self->firmware);
	read_datasheet(&self->sheet, "qemu-device/README.md");
	ASSERT_EQ(pipe(to), 0);
	ASSERT_EQ(pipe(from), 0);
	self->qemu = fork();
	ASSERT_GE(self->qemu, 0);
	if (!self->qemu) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		execl("tools/q35-qemu", "q35-qemu", "-nodefaults", "-no-user-config", "-machine",
		      "q35", "-accel", "tcg", "-bios", self->firmware, "-display", "none", "-m",
		      "64M", "-qtest", "stdio", "-qtest-log", "none", "-device",
		      "q35-accel,addr=4,vram=1M,queues=40,threads=2", NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	self->to = fdopen(to[1], "w");
	self->from = fdopen(from[0], "r");
	place_bars(self); /* QEMU has answered, so the file was read */
	unlink(self->firmware);
	self->bus = (struct bus){.rd = qtest_rd, .wr = qtest_wr, .opaque = self, .slow = true};
}

FIXTURE_TEARDOWN(function)
{
	int status;

	fclose(self->to);
	fclose(self->from);
	kill(self->qemu, SIGTERM);
	ASSERT_EQ(waitpid(self->qemu, &status, 0), self->qemu);
	/* A sanitizer would end it otherwise. */
	ASSERT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), 0);
}

/* ---- Configuration space ---- */

TEST_F(function, identity_bars_and_capabilities)
{
	uint32_t msix = capability(self, 0x11), express = capability(self, 0x10), i;
	const uint32_t sizes[] = {0xfff80004, 0xffffffff, 0xfff0000c, 0xffffffff, 0xfffff000, 0};

	EXPECT_EQ(config_rd(self, 0x00), Q35_PCI_DEVICE_ID << 16 | Q35_PCI_VENDOR_ID);
	EXPECT_EQ(config_rd(self, 0x08), (uint32_t)Q35_PCI_CLASS << 8 | Q35_VERSION_MAJOR);
	EXPECT_EQ(config_rd(self, 0x3c) >> 8 & 0xff, 0); /* no interrupt pin */
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		config_wr(self, 0x10 + 4 * i, 0xffffffff);
		EXPECT_EQ(config_rd(self, 0x10 + 4 * i), sizes[i]) TH_LOG("BAR %u", i);
	}
	ASSERT_NE(msix, 0);
	EXPECT_EQ(config_rd(self, msix) >> 16 & 0x7ff, Q35_VECTORS - 1);
	EXPECT_EQ(config_rd(self, msix + 4) & 7, Q35_BAR_MSIX);
	EXPECT_EQ(config_rd(self, msix + 8) & 7, Q35_BAR_MSIX);
	ASSERT_NE(express, 0);
	EXPECT_TRUE(config_rd(self, express + 4) & 1u << 28); /* function-level reset */
}

/* ---- Registers ---- */

TEST_F(function, reset_values)
{
	check_reset_values(&self->sheet, &self->bus, _metadata);
}

TEST_F(function, written_bits_stick_where_they_may)
{
	check_written_bits(&self->sheet, &self->bus, _metadata);
}

TEST_F(function, faulted_bits_are_cleared_by_ones)
{
	check_faulted_bits(&self->bus, _metadata);
}

TEST_F(function, undefined_offsets_do_nothing)
{
	check_undefined_offsets(&self->sheet, &self->bus, _metadata);
}

/* Of 1 and 2 bytes, and of 4 at an odd address. */
TEST_F(function, other_accesses_do_nothing)
{
	const uint64_t reg = REGS + Q35_REG_COALESCE, magic = REGS + Q35_REG_MAGIC;
	uint32_t i;

	store(self, 'l', reg, 0x12345678);
	for (i = 0; i < 4; i++) {
		store(self, 'b', reg + i, 0xff);
		EXPECT_EQ(load(self, 'b', magic + i), 0);
	}
	for (i = 0; i < 3; i++) {
		store(self, 'w', reg + i, 0xffff);
		EXPECT_EQ(load(self, 'w', magic + i), 0);
	}
	for (i = 1; i < 4; i++) {
		store(self, 'l', reg - 4 + i, 0xffffffff);
		store(self, 'l', reg + i, 0xffffffff);
		EXPECT_EQ(load(self, 'l', magic + i), 0);
	}
	EXPECT_EQ(load(self, 'l', reg), 0x12345678);
	/* Nor does half a doorbell ring: a tail so far would be a fault. */
	store(self, 'l', REGS + bus_queue(&self->bus, 0, Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
	store(self, 'w', REGS + bus_doorbell(&self->bus, 0), 100);
	EXPECT_EQ(load(self, 'l', REGS + bus_queue(&self->bus, 0, Q35_QREG_STATE)), Q35_QUEUE_IDLE);
}

TEST_F(function, device_memory_takes_every_access_and_survives_resets)
{
	uint32_t express = capability(self, 0x10);

	store(self, 'q', MEMORY + 0xffff8, 0x1122334455667788);
	EXPECT_EQ(load(self, 'b', MEMORY + 0xffff8), 0x88);
	EXPECT_EQ(load(self, 'w', MEMORY + 0xffff9), 0x6677);
	EXPECT_EQ(load(self, 'l', MEMORY + 0xffffb), 0x22334455);
	ASSERT_TRUE(bus_reset(&self->bus));
	config_wr(self, express + 8, config_rd(self, express + 8) | 1u << 15); /* FLR */
	place_bars(self);
	EXPECT_EQ(load(self, 'q', MEMORY + 0xffff8), 0x1122334455667788);
}

TEST_F(function, function_level_reset_restores_every_register)
{
	uint32_t express = capability(self, 0x10);
	const struct entry *e;
	uint32_t offset;

	for (e = self->sheet.entry; e < self->sheet.entry + self->sheet.count; e++)
		if (place(&self->bus, e, &offset) && offset != Q35_REG_CONTROL)
			bus_wr(&self->bus, offset, 0xfffffffd);
	bus_wr(&self->bus, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	config_wr(self, express + 8, config_rd(self, express + 8) | 1u << 15);
	EXPECT_EQ(config_rd(self, 0x04) & 0x7, 0); /* the function's own part */
	EXPECT_EQ(config_rd(self, 0x10), 0x4);
	place_bars(self);
	have_reset_values(&self->sheet, &self->bus, _metadata);
}

/* ---- Bus mastering and interrupts ---- */

/* Queue 0 with a NOP that asks for the interrupt, which is a write of its vector's number + 1. */
static void ring_nop(FIXTURE_DATA(function) * f, bool master)
{
	const struct bus *b = &f->bus;
	uint32_t msix = capability(f, 0x11), v;

	command(f, "memset 0x%x 0x3000 0", RAM);
	store(f, 'l', RING, (Q35_DESC_NOTIFY | Q35_DESC_IRQ) << 16 | Q35_OP_NOP);
	store(f, 'q', RING + 8, 0x123456789a);
	config_wr(f, 0x04, master ? 0x6 : 0x2);
	config_wr(f, msix, config_rd(f, msix) | 1u << 31);
	for (v = 0; v < Q35_VECTORS; v++) {
		store(f, 'q', MSIX + 16 * v, MESSAGE + 4 * v);
		store(f, 'l', MSIX + 16 * v + 8, v + 1);
		store(f, 'l', MSIX + 16 * v + 12, 0);
	}
	bus_wr(b, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_RING_LO), RING);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_WRITEBACK_LO), WRITEBACK);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
	bus_wr(b, bus_doorbell(b, 0), 1);
}

static bool message(FIXTURE_DATA(function) * f, uint32_t vector)
{
	time_t end = time(NULL) + 20;

	while (load(f, 'l', MESSAGE + 4 * vector) != vector + 1)
		if (time(NULL) > end)
			return false;
	return true;
}

TEST_F(function, a_descriptor_completes_with_its_interrupt)
{
	ring_nop(self, true);
	ASSERT_TRUE(message(self, Q35_VECTOR_COMPLETION));
	EXPECT_EQ(load(self, 'q', WRITEBACK), 0x123456789a);
	EXPECT_EQ(load(self, 'l', WRITEBACK + 8), 1);
	EXPECT_EQ(load(self, 'l', MESSAGE + 4 * Q35_VECTOR_FAULT), 0);
	EXPECT_EQ(bus_rd(&self->bus, bus_queue(&self->bus, 0, Q35_QREG_STATE)), Q35_QUEUE_IDLE);
}

/* Nor is a message sent, for that is an access to memory too. */
TEST_F(function, nothing_is_accessed_without_bus_mastering)
{
	const struct bus *b = &self->bus;

	ring_nop(self, false);
	ASSERT_TRUE(bus_poll(b, bus_queue(b, 0, Q35_QREG_STATE), Q35_QUEUE_FAULTED));
	EXPECT_EQ(bus_rd(b, bus_queue(b, 0, Q35_QREG_FAULT_CODE)), Q35_FAULT_RING);
	EXPECT_EQ(load(self, 'l', WRITEBACK + 12), 0);
	EXPECT_EQ(load(self, 'l', MESSAGE + 4 * Q35_VECTOR_FAULT), 0);
}

/* BAR0 itself as the ring: a card that read its registers in there could call itself. */
TEST_F(function, registers_are_no_memory_for_bus_mastering)
{
	const struct bus *b = &self->bus;

	ring_nop(self, true);
	ASSERT_TRUE(message(self, Q35_VECTOR_COMPLETION));
	bus_wr(b, bus_queue(b, 1, Q35_QREG_RING_LO), REGS);
	bus_wr(b, bus_queue(b, 1, Q35_QREG_WRITEBACK_LO), REGS + 0x1000);
	bus_wr(b, bus_queue(b, 1, Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
	bus_wr(b, bus_doorbell(b, 1), 1);
	ASSERT_TRUE(message(self, Q35_VECTOR_FAULT));
	EXPECT_EQ(bus_rd(b, bus_queue(b, 1, Q35_QREG_FAULT_CODE)), Q35_FAULT_RING);
	EXPECT_EQ(bus_rd(b, bus_queue(b, 1, Q35_QREG_FAULT_ADDR_LO)), REGS);
}

TEST_HARNESS_MAIN
