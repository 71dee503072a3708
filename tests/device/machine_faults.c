// SPDX-License-Identifier: MIT
/*
 * What happens to the card in a running machine: x-fault by QMP, surprise removal, resets and stops
 * with work in flight, also behind an IOMMU, whose translations the card cannot make by itself.
 */
#include <stddef.h>

#include "machine.h"

#define PORT (5 << 3) /* root port with bus 1, where the card is slot 0 */
#define CARD (1 << 8)
#define RAM 0x400000u /* the test's, in system memory */
#define RING (RAM + 0x0000) /* 32 descriptors */
#define WRITEBACK (RAM + 0x1000)
#define ROOT (RAM + 0x2000) /* of the card's address space 0 */
#define DIRECTORY (RAM + 0x3000)
#define RING_ORDER 5
#define FILL_SIZE 0x2000000u

#define PCI_BUSES 0x18
#define PCI_WINDOW 0x20
#define EXPRESS_SLTSTA 0x1a /* in the capability */
#define SLTSTA_CHANGED (1u << 3)
#define SLTSTA_PRESENT (1u << 6)

static bool set_fault(struct machine *m, const char *names)
{
	return qmp(
		m, "qom-set",
		"\"path\": \"/machine/peripheral/card\", \"property\": \"x-fault\", \"value\": \"%s\"",
		names);
}

static bool fault_is(struct machine *m, const char *names)
{
	char expected[64];

	qmp(m, "qom-get", "\"path\": \"/machine/peripheral/card\", \"property\": \"x-fault\"");
	snprintf(expected, sizeof(expected), "\"return\": \"%s\"", names);
	return strstr(m->answer, expected);
}

/*
 * Fills the ring of queue 0 with long work, a good part of a second of it, in device memory by large
 * pages. The card finds ring, write-back and tables at DMA addresses offset away from where they are.
 */
static void load_queue(struct machine *m, uint32_t offset)
{
	const struct bus bus = machine_bus(m), *b = &bus;
	uint64_t i;

	qtest(m, "memset 0x%x 0x4000 0", RAM);
	store(m, 'q', ROOT, (DIRECTORY + offset) | Q35_PTE_VALID);
	for (i = 0; i < FILL_SIZE; i += 1 << Q35_LEVEL_SHIFT(1))
		store(m, 'q', DIRECTORY + 8 * (i >> Q35_LEVEL_SHIFT(1)),
		      i | Q35_PTE_VALID | Q35_PTE_WRITABLE | Q35_PTE_LOCAL | Q35_PTE_LEAF);
	for (i = 0; i < 1u << RING_ORDER; i++) {
		uint32_t slot = RING + i * Q35_DESC_SIZE;

		store(m, 'l', slot, Q35_DESC_NOTIFY << 16 | Q35_OP_FILL);
		store(m, 'q', slot + offsetof(struct q35_hw_desc, seqno), i + 1);
		store(m, 'q', slot + offsetof(struct q35_hw_desc, fill.size), FILL_SIZE);
	}
	bus_wr(b, bus_vm(b, 0, Q35_VREG_ROOT_LO), (ROOT + offset) | Q35_PTE_VALID);
	bus_wr(b, bus_vm(b, 0, Q35_VREG_INVALIDATE), 1);
	bus_wr(b, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_RING_LO), RING + offset);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_RING_ORDER), RING_ORDER);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_WRITEBACK_LO), WRITEBACK + offset);
	bus_wr(b, bus_queue(b, 0, Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
	bus_wr(b, bus_doorbell(b, 0), 1u << RING_ORDER);
}

static uint32_t queue_state(struct machine *m)
{
	const struct bus bus = machine_bus(m);

	return bus_rd(&bus, bus_queue(&bus, 0, Q35_QREG_STATE));
}

static bool ends_as(struct machine *m, uint32_t state)
{
	time_t end = time(NULL) + 30;

	while (queue_state(m) != state)
		if (time(NULL) > end)
			return false;
	return true;
}

/* ---- In a hot-plug slot ---- */

FIXTURE(slot)
{
	struct machine m;
};

static void place_card(struct machine *m)
{
	config_wr_at(m, PORT, PCI_BUSES, 0x010100);
	config_wr_at(m, PORT, PCI_WINDOW, 0xe7f0e000);
	config_wr_at(m, PORT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	place_bars(m, PCI_COMMAND_MASTER);
}

static void system_reset(struct machine *m)
{
	if (!qmp(m, "system_reset", " "))
		ksft_exit_fail_msg("QEMU: %s\n", m->answer);
	while (config_rd_at(m, PORT, PCI_COMMAND) & PCI_COMMAND_MASTER)
		usleep(1000);
}

FIXTURE_SETUP(slot)
{
	static const char *const arguments[] = {
		"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
		"-device", "pcie-root-port,id=slot1,addr=5",
		"-device", "q35-accel,id=card,bus=slot1,vram=64M,threads=2",
		NULL};

	machine_start(&self->m, CARD, arguments);
	place_card(&self->m);
}

FIXTURE_TEARDOWN(slot)
{
	ASSERT_EQ(machine_stop(&self->m), 0);
}

TEST_F(slot, faults_are_set_and_refused_by_qmp)
{
	struct machine *m = &self->m;

	EXPECT_TRUE(fault_is(m, ""));
	EXPECT_TRUE(set_fault(m, "slow+hang"));
	EXPECT_TRUE(fault_is(m, "hang+slow"));
	EXPECT_FALSE(set_fault(m, "slow+nonsense"));
	EXPECT_NE(NULL, strstr(m->answer, "lost-irq")); /* what there is */
	EXPECT_TRUE(fault_is(m, "hang+slow"));
	EXPECT_TRUE(set_fault(m, ""));
	EXPECT_TRUE(fault_is(m, ""));
}

TEST_F(slot, a_dead_card_reads_as_all_ones_with_its_configuration_left)
{
	struct machine *m = &self->m;

	store(m, 'l', MEMORY + 8, 0x1234);
	EXPECT_TRUE(set_fault(m, "dead"));
	EXPECT_EQ(load(m, 'l', REGS + Q35_REG_MAGIC), UINT32_MAX);
	EXPECT_EQ(load(m, 'q', MEMORY + 8), UINT64_MAX);
	store(m, 'l', MEMORY + 8, 0);
	EXPECT_EQ(config_rd(m, 0), Q35_PCI_DEVICE_ID << 16 | Q35_PCI_VENDOR_ID);
	EXPECT_TRUE(set_fault(m, ""));
	EXPECT_EQ(load(m, 'l', REGS + Q35_REG_MAGIC), Q35_MAGIC);
	EXPECT_EQ(load(m, 'l', MEMORY + 8), 0x1234);
}

TEST_F(slot, without_its_link_the_card_is_all_ones_and_comes_back)
{
	struct machine *m = &self->m;

	load_queue(m, 0);
	store(m, 'l', MEMORY + FILL_SIZE, 0x1234);
	EXPECT_TRUE(set_fault(m, "link-down"));
	EXPECT_EQ(config_rd(m, 0), UINT32_MAX);
	EXPECT_EQ(load(m, 'l', REGS + Q35_REG_MAGIC), UINT32_MAX);
	EXPECT_EQ(load(m, 'b', MEMORY + FILL_SIZE), 0xff);
	config_wr(m, PCI_COMMAND, 0);
	EXPECT_TRUE(set_fault(m, ""));
	EXPECT_EQ(config_rd(m, PCI_COMMAND) & 7, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	EXPECT_EQ(load(m, 'l', MEMORY + FILL_SIZE), 0x1234);
	EXPECT_TRUE(ends_as(m, Q35_QUEUE_IDLE));
	EXPECT_EQ(load(m, 'q', WRITEBACK), 1u << RING_ORDER);
}

TEST_F_TIMEOUT(slot, a_busy_card_is_pulled_out_and_plugged_in_again, 200)
{
	struct machine *m = &self->m;
	uint32_t status = capability_at(m, PORT, PCI_CAP_EXPRESS) + EXPRESS_SLTSTA;
	static const char another[] =
		"\"driver\":\"q35-accel\",\"id\":\"card\",\"bus\":\"slot1\",\"vram\":67108864";
	int i;

	for (i = 0; i < 5; i++) {
		load_queue(m, 0);
		EXPECT_EQ(queue_state(m), Q35_QUEUE_RUNNING);
		EXPECT_TRUE(config_rd_at(m, PORT, status) & SLTSTA_PRESENT);
		ASSERT_TRUE(set_fault(m, "removed")) TH_LOG("%s", m->answer);
		ASSERT_TRUE(qmp_expect(m, "DEVICE_DELETED"));
		EXPECT_EQ(config_rd(m, 0), UINT32_MAX);
		EXPECT_EQ(config_rd_at(m, PORT, status) & (SLTSTA_PRESENT | SLTSTA_CHANGED),
			  SLTSTA_CHANGED);
		config_wr_at(m, PORT, status - 2, SLTSTA_CHANGED << 16);
		ASSERT_TRUE(qmp(m, "device_add", "%s", another));
		place_card(m);
		EXPECT_EQ(load(m, 'l', REGS + Q35_REG_MAGIC), Q35_MAGIC);
	}
}

TEST_F_TIMEOUT(slot, resets_and_stops_do_not_wait_for_jobs, 200)
{
	struct machine *m = &self->m;
	int i;

	for (i = 0; i < 10; i++) {
		load_queue(m, 0);
		ASSERT_TRUE(qmp(m, "stop", " "));
		EXPECT_EQ(queue_state(m), Q35_QUEUE_RUNNING);
		ASSERT_TRUE(qmp(m, "cont", " "));
		EXPECT_EQ(queue_state(m), Q35_QUEUE_RUNNING);
		if (i % 2)
			function_level_reset(m);
		else
			system_reset(m);
		place_card(m);
		EXPECT_EQ(queue_state(m), Q35_QUEUE_DISABLED);
	}
}

TEST(a_card_in_no_slot_is_not_removed)
{
	static const char *const arguments[] = {"-device", "q35-accel,id=card,addr=4,vram=1M",
						NULL};
	static struct machine m;

	machine_start(&m, 4 << 3, arguments);
	EXPECT_FALSE(set_fault(&m, "removed"));
	EXPECT_TRUE(fault_is(&m, ""));
	ASSERT_EQ(machine_stop(&m), 0);
}

/* ---- Behind an IOMMU: intel-iommu, whose tables map the test's memory and nothing else ---- */

#define IOMMU 0xfed90000u
#define IOMMU_COMMAND 0x18 /* GCMD */
#define IOMMU_STATUS 0x1c /* GSTS */
#define IOMMU_ROOT 0x20 /* RTADDR */
#define IOMMU_CAPABILITIES 0x08
#define IOMMU_FAULTS 0x34 /* FSTS, W1C */
#define IOMMU_FAULT_MASK 0x38 /* FECTL */
#define IOMMU_FAULT_DATA 0x3c /* FEDATA */
#define IOMMU_FAULT_ADDRESS 0x40 /* FEADDR */
#define FAULT_RECORDED (1u << 31) /* in a record's last word, W1C */
#define APIC 0xfee00000u
#define APIC_VECTOR 0x41
#define COMMAND_TRANSLATE (1u << 31)
#define COMMAND_ROOT (1u << 30)
#define FAULTS_PENDING 2u
#define ADDRESS_WIDTH_39 1

#define IOMMU_TABLES (RAM + 0x10000)
#define BUS_TABLE (IOMMU_TABLES + 0x0000) /* of functions, by bus */
#define CONTEXT_TABLE (IOMMU_TABLES + 0x1000)
#define LEVEL_3 (IOMMU_TABLES + 0x2000)
#define LEVEL_2 (IOMMU_TABLES + 0x3000)
#define READ_WRITE 3u
#define LARGE (1u << 7)
#define IOVA 0x80000000u /* where the card sees what is at 0 */

FIXTURE(iommu)
{
	struct machine m;
	struct bus bus;
};

FIXTURE_SETUP(iommu)
{
	static const char *const arguments[] = {"-device", "intel-iommu", "-device",
						"q35-accel,id=card,addr=4,vram=64M,threads=2",
						NULL};
	struct machine *m = &self->m;

	machine_start(m, 4 << 3, arguments);
	place_bars(m, PCI_COMMAND_MASTER);
	self->bus = machine_bus(m);
	store(m, 'q', BUS_TABLE, CONTEXT_TABLE | 1);
	store(m, 'q', CONTEXT_TABLE + 16 * (4 << 3), LEVEL_3 | 1);
	store(m, 'q', CONTEXT_TABLE + 16 * (4 << 3) + 8, 1 << 8 | ADDRESS_WIDTH_39);
	store(m, 'q', LEVEL_3 + 8 * (IOVA >> 30), LEVEL_2 | READ_WRITE);
	store(m, 'q', LEVEL_2 + 8 * (RAM >> 21), RAM | READ_WRITE | LARGE);
	store(m, 'q', IOMMU + IOMMU_ROOT, BUS_TABLE);
	store(m, 'l', IOMMU + IOMMU_COMMAND, COMMAND_ROOT);
	store(m, 'l', IOMMU + IOMMU_COMMAND, COMMAND_TRANSLATE);
	ASSERT_TRUE(load(m, 'l', IOMMU + IOMMU_STATUS) & COMMAND_TRANSLATE);
	/* A fault interrupts the processor, for which QEMU needs its lock. */
	store(m, 'l', IOMMU + IOMMU_FAULT_DATA, APIC_VECTOR);
	store(m, 'l', IOMMU + IOMMU_FAULT_ADDRESS, APIC);
	store(m, 'l', IOMMU + IOMMU_FAULT_MASK, 0);
}

/* So that the next one interrupts again. */
static void clear_faults(struct machine *m)
{
	uint32_t record = load(m, 'q', IOMMU + IOMMU_CAPABILITIES) >> 24 & 0x3ff;

	store(m, 'l', IOMMU + 16 * record + 12, FAULT_RECORDED);
	store(m, 'l', IOMMU + IOMMU_FAULTS, UINT32_MAX);
}

FIXTURE_TEARDOWN(iommu)
{
	ASSERT_EQ(machine_stop(&self->m), 0);
}

TEST_F(iommu, translated_work_is_done)
{
	load_queue(&self->m, IOVA);
	EXPECT_TRUE(ends_as(&self->m, Q35_QUEUE_IDLE));
	EXPECT_EQ(load(&self->m, 'q', WRITEBACK), 1u << RING_ORDER);
	EXPECT_EQ(load(&self->m, 'l', IOMMU + IOMMU_FAULTS) & FAULTS_PENDING, 0);
}

TEST_F(iommu, what_is_not_mapped_is_a_fault_of_both)
{
	load_queue(&self->m, 0);
	EXPECT_TRUE(ends_as(&self->m, Q35_QUEUE_FAULTED));
	EXPECT_EQ(bus_rd(&self->bus, bus_queue(&self->bus, 0, Q35_QREG_FAULT_CODE)),
		  Q35_FAULT_RING);
	EXPECT_TRUE(load(&self->m, 'l', IOMMU + IOMMU_FAULTS) & FAULTS_PENDING);
}

/* Whoever stops or resets the card holds the lock that translations and faults need. */
TEST_F_TIMEOUT(iommu, stops_and_resets_let_translations_go_on, 200)
{
	struct machine *m = &self->m;
	int i;

	for (i = 0; i < 40; i++) {
		clear_faults(m);
		load_queue(m, i % 4 ? IOVA : 0);
		switch (i % 3) {
		case 0:
			ASSERT_TRUE(qmp(m, "stop", " "));
			ASSERT_TRUE(qmp(m, "cont", " "));
			break;
		case 1:
			function_level_reset(m);
			place_bars(m, PCI_COMMAND_MASTER);
			break;
		case 2:
			bus_wr(&self->bus, Q35_REG_CONTROL, Q35_CONTROL_RESET);
			break;
		}
		ASSERT_TRUE(bus_reset(&self->bus));
	}
	load_queue(m, IOVA);
	EXPECT_TRUE(ends_as(m, Q35_QUEUE_IDLE));
}

TEST_HARNESS_MAIN
