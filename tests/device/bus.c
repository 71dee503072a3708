// SPDX-License-Identifier: MIT
/* The card as a function on the bus of a real QEMU, without a guest. */
#include "machine.h"

#define RAM 0x100000u /* the test's, in system memory */
#define RING (RAM + 0x0000)
#define WRITEBACK (RAM + 0x1000)
#define MESSAGE (RAM + 0x2000) /* where the interrupt vectors write to */

FIXTURE(function)
{
	struct machine m;
	struct sheet sheet;
	struct bus bus;
};

FIXTURE_SETUP(function)
{
	static const char *const card[] = {"-device",
					   "q35-accel,addr=4,vram=1M,queues=40,threads=2", NULL};

	read_datasheet(&self->sheet, "qemu-device/README.md");
	machine_start(&self->m, 4 << 3, card);
	place_bars(&self->m, 0);
	self->bus = machine_bus(&self->m);
}

FIXTURE_TEARDOWN(function)
{
	ASSERT_EQ(machine_stop(&self->m), 0);
}

/* ---- Configuration space ---- */

TEST_F(function, identity_bars_and_capabilities)
{
	uint32_t msix = capability(&self->m, PCI_CAP_MSIX),
		 express = capability(&self->m, PCI_CAP_EXPRESS), i;
	const uint32_t sizes[] = {0xfff80004, 0xffffffff, 0xfff0000c, 0xffffffff, 0xfffff000, 0};

	EXPECT_EQ(config_rd(&self->m, 0x00), Q35_PCI_DEVICE_ID << 16 | Q35_PCI_VENDOR_ID);
	EXPECT_EQ(config_rd(&self->m, 0x08), (uint32_t)Q35_PCI_CLASS << 8 | Q35_VERSION_MAJOR);
	EXPECT_EQ(config_rd(&self->m, 0x3c) >> 8 & 0xff, 0); /* no interrupt pin */
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		config_wr(&self->m, PCI_BAR(i), 0xffffffff);
		EXPECT_EQ(config_rd(&self->m, PCI_BAR(i)), sizes[i]) TH_LOG("BAR %u", i);
	}
	ASSERT_NE(msix, 0);
	EXPECT_EQ(config_rd(&self->m, msix) >> 16 & 0x7ff, Q35_VECTORS - 1);
	EXPECT_EQ(config_rd(&self->m, msix + 4) & 7, Q35_BAR_MSIX);
	EXPECT_EQ(config_rd(&self->m, msix + 8) & 7, Q35_BAR_MSIX);
	ASSERT_NE(express, 0);
	EXPECT_TRUE(config_rd(&self->m, express + 4) & 1u << 28); /* function-level reset */
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

TEST_F_TIMEOUT(function, undefined_offsets_do_nothing, 200)
{
	check_undefined_offsets(&self->sheet, &self->bus, _metadata);
}

/* Of 1 and 2 bytes, and of 4 at an odd address. */
TEST_F(function, other_accesses_do_nothing)
{
	const uint64_t reg = REGS + Q35_REG_COALESCE, magic = REGS + Q35_REG_MAGIC;
	uint32_t i;

	store(&self->m, 'l', reg, 0x12345678);
	for (i = 0; i < 4; i++) {
		store(&self->m, 'b', reg + i, 0xff);
		EXPECT_EQ(load(&self->m, 'b', magic + i), 0);
	}
	for (i = 0; i < 3; i++) {
		store(&self->m, 'w', reg + i, 0xffff);
		EXPECT_EQ(load(&self->m, 'w', magic + i), 0);
	}
	for (i = 1; i < 4; i++) {
		store(&self->m, 'l', reg - 4 + i, 0xffffffff);
		store(&self->m, 'l', reg + i, 0xffffffff);
		EXPECT_EQ(load(&self->m, 'l', magic + i), 0);
	}
	EXPECT_EQ(load(&self->m, 'l', reg), 0x12345678);
	/* Nor does half a doorbell ring: a tail so far would be a fault. */
	store(&self->m, 'l', REGS + bus_queue(&self->bus, 0, Q35_QREG_CONTROL),
	      Q35_QCONTROL_ENABLE);
	store(&self->m, 'w', REGS + bus_doorbell(&self->bus, 0), 100);
	EXPECT_EQ(load(&self->m, 'l', REGS + bus_queue(&self->bus, 0, Q35_QREG_STATE)),
		  Q35_QUEUE_IDLE);
}

TEST_F(function, device_memory_takes_every_access_and_survives_resets)
{
	store(&self->m, 'q', MEMORY + 0xffff8, 0x1122334455667788);
	EXPECT_EQ(load(&self->m, 'b', MEMORY + 0xffff8), 0x88);
	EXPECT_EQ(load(&self->m, 'w', MEMORY + 0xffff9), 0x6677);
	EXPECT_EQ(load(&self->m, 'l', MEMORY + 0xffffb), 0x22334455);
	ASSERT_TRUE(bus_reset(&self->bus));
	function_level_reset(&self->m);
	place_bars(&self->m, 0);
	EXPECT_EQ(load(&self->m, 'q', MEMORY + 0xffff8), 0x1122334455667788);
}

TEST_F(function, function_level_reset_restores_every_register)
{
	const struct entry *e;
	uint32_t offset;

	for (e = self->sheet.entry; e < self->sheet.entry + self->sheet.count; e++)
		if (place(&self->bus, e, &offset) && offset != Q35_REG_CONTROL)
			bus_wr(&self->bus, offset, 0xfffffffd);
	bus_wr(&self->bus, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	function_level_reset(&self->m);
	EXPECT_EQ(config_rd(&self->m, 0x04) & 0x7, 0); /* the function's own part */
	EXPECT_EQ(config_rd(&self->m, 0x10), 0x4);
	place_bars(&self->m, 0);
	have_reset_values(&self->sheet, &self->bus, _metadata);
}

/* ---- Bus mastering and interrupts ---- */

/* Queue 0 with a NOP that asks for the interrupt, which is a write of its vector's number + 1. */
static void ring_nop(struct machine *m, bool master)
{
	const struct bus bus = machine_bus(m), *b = &bus;
	uint32_t msix = capability(m, PCI_CAP_MSIX), v;

	qtest(m, "memset 0x%x 0x3000 0", RAM);
	store(m, 'l', RING, (Q35_DESC_NOTIFY | Q35_DESC_IRQ) << 16 | Q35_OP_NOP);
	store(m, 'q', RING + 8, 0x123456789a);
	config_wr(m, PCI_COMMAND, PCI_COMMAND_MEMORY | (master ? PCI_COMMAND_MASTER : 0));
	config_wr(m, msix, config_rd(m, msix) | 1u << 31);
	for (v = 0; v < Q35_VECTORS; v++) {
		store(m, 'q', MSIX + 16 * v, MESSAGE + 4 * v);
		store(m, 'l', MSIX + 16 * v + 8, v + 1);
		store(m, 'l', MSIX + 16 * v + 12, 0);
	}
	bus_wr(b, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_RING_LO), RING);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_WRITEBACK_LO), WRITEBACK);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
	bus_wr(b, bus_doorbell(b, 0), 1);
}

static bool message(struct machine *m, uint32_t vector)
{
	time_t end = time(NULL) + 20;

	while (load(m, 'l', MESSAGE + 4 * vector) != vector + 1)
		if (time(NULL) > end)
			return false;
	return true;
}

TEST_F(function, a_descriptor_completes_with_its_interrupt)
{
	ring_nop(&self->m, true);
	ASSERT_TRUE(message(&self->m, Q35_VECTOR_COMPLETION));
	EXPECT_EQ(load(&self->m, 'q', WRITEBACK), 0x123456789a);
	EXPECT_EQ(load(&self->m, 'l', WRITEBACK + 8), 1);
	EXPECT_EQ(load(&self->m, 'l', MESSAGE + 4 * Q35_VECTOR_FAULT), 0);
	EXPECT_EQ(bus_rd(&self->bus, bus_queue(&self->bus, 0, Q35_QREG_STATE)), Q35_QUEUE_IDLE);
}

/* Nor is a message sent, for that is an access to memory too. */
TEST_F(function, nothing_is_accessed_without_bus_mastering)
{
	const struct bus *b = &self->bus;

	ring_nop(&self->m, false);
	ASSERT_TRUE(bus_poll(b, bus_queue(b, 0, Q35_QREG_STATE), Q35_QUEUE_FAULTED));
	EXPECT_EQ(bus_rd(b, bus_queue(b, 0, Q35_QREG_FAULT_CODE)), Q35_FAULT_RING);
	EXPECT_EQ(load(&self->m, 'l', WRITEBACK + 12), 0);
	EXPECT_EQ(load(&self->m, 'l', MESSAGE + 4 * Q35_VECTOR_FAULT), 0);
}

/* BAR0 itself as the ring: a card that read its registers in there could call itself. */
TEST_F(function, registers_are_no_memory_for_bus_mastering)
{
	const struct bus *b = &self->bus;

	ring_nop(&self->m, true);
	ASSERT_TRUE(message(&self->m, Q35_VECTOR_COMPLETION));
	bus_wr(b, bus_queue(b, 1, Q35_QREG_RING_LO), REGS);
	bus_wr(b, bus_queue(b, 1, Q35_QREG_WRITEBACK_LO), REGS + 0x1000);
	bus_wr(b, bus_queue(b, 1, Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
	bus_wr(b, bus_doorbell(b, 1), 1);
	ASSERT_TRUE(message(&self->m, Q35_VECTOR_FAULT));
	EXPECT_EQ(bus_rd(b, bus_queue(b, 1, Q35_QREG_FAULT_CODE)), Q35_FAULT_RING);
	EXPECT_EQ(bus_rd(b, bus_queue(b, 1, Q35_QREG_FAULT_ADDR_LO)), REGS);
}

TEST_HARNESS_MAIN
