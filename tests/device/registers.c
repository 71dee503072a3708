// SPDX-License-Identifier: MIT
/* The register file as a whole; register by register it is tested in datasheet.c. */
#include "card.h"
#include "kselftest_harness.h"

FIXTURE(card)
{
	struct card c;
};

FIXTURE_SETUP(card)
{
	card_init(&self->c, 5, 1);
}

FIXTURE_TEARDOWN(card)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

TEST_F(card, capabilities_tell_the_configuration)
{
	struct card *c = &self->c;

	EXPECT_EQ(rd(c, Q35_REG_MAGIC), Q35_MAGIC);
	EXPECT_EQ(rd(c, Q35_REG_VERSION), 1u << 16);
	EXPECT_EQ(rd(c, Q35_REG_FEATURES), 0x7f);
	EXPECT_EQ(rd(c, Q35_REG_QUEUES), 5);
	EXPECT_EQ(rd(c, Q35_REG_VMS), Q35_VMS);
	EXPECT_EQ(rd(c, Q35_REG_DMA_BITS), 52);
	EXPECT_EQ(rd(c, Q35_REG_VA_BITS), 39);
	EXPECT_EQ(rd64(c, Q35_REG_MEMORY_LO), MEMORY_SIZE);
	EXPECT_EQ(rd(c, Q35_REG_WINDOWS), 1 << 8);
	EXPECT_EQ(rd(c, Q35_REG_ACT_BLOCKS), 0xe1);
	EXPECT_EQ(rd(c, Q35_REG_DIM_ORDER_MAX), 17);
	EXPECT_EQ(rd(c, Q35_REG_LANES), 1024);
	EXPECT_EQ(rd(c, Q35_REG_CLOCK_MHZ), 1000);
	EXPECT_EQ(rd(c, Q35_REG_MEMORY_GBPS), 100);
	EXPECT_EQ(rd(c, Q35_REG_LINK_GBPS), 10);
	EXPECT_EQ(rd(c, Q35_REG_STATUS), Q35_STATUS_READY);
}

TEST_F(card, blocks_do_not_overlap_and_fit_the_bar)
{
	struct card *c = &self->c;
	uint32_t queues_end =
		rd(c, Q35_REG_QUEUE_OFFSET) + Q35_QUEUES_MAX * rd(c, Q35_REG_QUEUE_STRIDE);
	uint32_t vms_end = rd(c, Q35_REG_VM_OFFSET) + Q35_VMS * rd(c, Q35_REG_VM_STRIDE);
	uint32_t bells_end =
		rd(c, Q35_REG_DOORBELL_OFFSET) + Q35_QUEUES_MAX * rd(c, Q35_REG_DOORBELL_STRIDE);

	EXPECT_GE(rd(c, Q35_REG_QUEUE_STRIDE), Q35_QREG_COUNTERS + Q35_COUNTERS_SIZE);
	EXPECT_LE(queues_end, rd(c, Q35_REG_VM_OFFSET));
	EXPECT_LE(vms_end, rd(c, Q35_REG_DOORBELL_OFFSET));
	EXPECT_LE(bells_end, Q35_REGS_SIZE);
	EXPECT_EQ(rd(c, Q35_REG_DOORBELL_STRIDE) % 4096, 0);
}

TEST_F(card, queues_beyond_the_last_are_not_there)
{
	struct card *c = &self->c;

	wr(c, QREG(5, RING_ORDER), 3);
	EXPECT_EQ(rd(c, QREG(5, RING_ORDER)), 0);
	wr(c, QREG(5, CONTROL), Q35_QCONTROL_ENABLE);
	EXPECT_EQ(rd(c, QREG(5, STATE)), 0);
	wr(c, DOORBELL(5), 1);
	wr(c, DOORBELL(63), 1);
	EXPECT_EQ(rd(c, Q35_REGS_SIZE - 4), 0);
}

TEST_F(card, time_passes_and_starts_again_at_reset)
{
	struct card *c = &self->c;
	uint64_t first = rd64(c, Q35_REG_TIME_LO), later;

	usleep(2000);
	later = rd64(c, Q35_REG_TIME_LO);
	EXPECT_GE(later - first, 2000000);
	usleep(20000);
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	ASSERT_TRUE(poll_reg(c, Q35_REG_STATUS, Q35_STATUS_READY));
	EXPECT_LT(rd64(c, Q35_REG_TIME_LO), later + 20000000);
}

TEST_F(card, card_reset_restores_every_register)
{
	struct card *c = &self->c;

	wr(c, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	wr(c, Q35_REG_COALESCE, 0x12345678);
	wr64(c, VREG(9, ROOT_LO), 0x123456789abcdef0);
	queue_program(c, 2, 3, 4, 2);
	queue_enable(c, 2);
	EXPECT_EQ(rd(c, QREG(2, CONTROL)), Q35_QCONTROL_ENABLE);
	EXPECT_EQ(rd(c, QREG(2, STATE)), Q35_QUEUE_IDLE);
	c->memory[5] = 55;

	wr(c, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	ASSERT_TRUE(poll_reg(c, Q35_REG_STATUS, Q35_STATUS_READY));
	EXPECT_EQ(rd(c, Q35_REG_CONTROL), 0);
	EXPECT_EQ(rd(c, Q35_REG_COALESCE), 0);
	EXPECT_EQ(rd64(c, VREG(9, ROOT_LO)), 0);
	EXPECT_EQ(rd(c, QREG(2, CONTROL)), 0);
	EXPECT_EQ(rd(c, QREG(2, STATE)), Q35_QUEUE_DISABLED);
	EXPECT_EQ(rd64(c, QREG(2, RING_LO)), 0);
	EXPECT_EQ(rd(c, QREG(2, VM)), 0);
	EXPECT_EQ(c->memory[5], 55);
}

TEST_HARNESS_MAIN
