// SPDX-License-Identifier: MIT
/* Every field of every descriptor, out of its range: the fault, and the offset that it names. */
#include "card.h"
#include "kselftest_harness.h"

FIXTURE(card)
{
	struct card c;
	uint64_t va;
	struct q35_hw_desc gemm;
};

FIXTURE_SETUP(card)
{
	struct q35_hw_gemm *g = &self->gemm.gemm;

	card_start(&self->c, 1, 1);
	self->va = card_alloc(&self->c, 16 * PAGE, LOCAL);
	self->gemm = (struct q35_hw_desc){.op = Q35_OP_GEMM};
	*g = (struct q35_hw_gemm){
		.x_va = self->va,
		.tiles_va = self->va + PAGE,
		.meta_va = self->va + 8 * PAGE,
		.codebook_va = self->va + 9 * PAGE,
		.bias_va = self->va + 10 * PAGE,
		.aux_va = self->va + 11 * PAGE,
		.y_va = self->va + 12 * PAGE,
		.m = 2,
		.n = 64,
		.k = 64,
		.x_stride = 256,
		.aux_stride = 256,
		.y_stride = 256,
		.act_block = 32,
		.combine = Q35_HW_COMBINE_ADD,
		.window_bits = 8,
	};
}

FIXTURE_TEARDOWN(card)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

/* Runs desc, which must fault as given, and makes the queue ready again. */
static bool refused(struct card *c, const struct q35_hw_desc *desc, uint32_t code, uint32_t field)
{
	bool as_expected = run(c, 0, desc) == code && rd(c, QREG(0, FAULT_INFO)) == field &&
			   rd64(c, QREG(0, FAULT_ADDR_LO)) == 0 &&
			   c->queue[0].writeback->fault_code == code &&
			   c->queue[0].writeback->fault_info == field &&
			   c->queue[0].writeback->seqno < c->queue[0].seqno;

	if (!as_expected)
		ksft_print_msg("fault %u info %u instead of %u, %u\n", rd(c, QREG(0, FAULT_CODE)),
			       rd(c, QREG(0, FAULT_INFO)), code, field);
	if (!queue_reset(c, 0))
		return false;
	queue_enable(c, 0);
	return as_expected;
}

/* Sets one field of desc to a bad value and restores it. */
#define REFUSED(desc, member, value)                                       \
	do {                                                               \
		struct q35_hw_desc bad = (desc);                           \
		bad.member = (value);                                      \
		EXPECT_TRUE(refused(&self->c, &bad, Q35_FAULT_DESCRIPTOR,  \
				    offsetof(struct q35_hw_desc, member))) \
		TH_LOG(#member " = " #value);                              \
	} while (0)

/* Each byte of a reserved array, which the fault names by its beginning. */
#define REFUSED_BYTES(desc, member)                                                \
	do {                                                                       \
		struct q35_hw_desc bad = (desc);                                   \
		size_t byte;                                                       \
		for (byte = 0; byte < sizeof(bad.member); byte++) {                \
			bad.member[byte] = 0x80;                                   \
			EXPECT_TRUE(refused(&self->c, &bad, Q35_FAULT_DESCRIPTOR,  \
					    offsetof(struct q35_hw_desc, member))) \
			TH_LOG(#member "[%zu]", byte);                             \
			bad.member[byte] = 0;                                      \
		}                                                                  \
	} while (0)

TEST_F(card, header)
{
	struct q35_hw_desc nop = {.op = Q35_OP_NOP};
	int bit;

	for (bit = 3; bit < 16; bit++)
		REFUSED(nop, flags, 1u << bit);
	REFUSED(nop, reserved, 1);
	REFUSED_BYTES(nop, body);
	nop.op = Q35_OP_TIMESTAMP + 1;
	EXPECT_TRUE(refused(&self->c, &nop, Q35_FAULT_OPCODE, 0));
	nop.op = 0xffff;
	EXPECT_TRUE(refused(&self->c, &nop, Q35_FAULT_OPCODE, 0));
}

TEST_F(card, copy)
{
	struct q35_hw_desc desc = {.op = Q35_OP_COPY,
				   .copy = {.src_va = self->va, .dst_va = self->va, .size = 1}};

	EXPECT_EQ(run(&self->c, 0, &desc), Q35_FAULT_NONE);
	REFUSED(desc, copy.size, 0);
	REFUSED_BYTES(desc, copy.reserved);
}

TEST_F(card, fill)
{
	struct q35_hw_desc desc = {.op = Q35_OP_FILL, .fill = {.dst_va = self->va, .size = 4}};

	EXPECT_EQ(run(&self->c, 0, &desc), Q35_FAULT_NONE);
	REFUSED(desc, fill.dst_va, self->va + 2);
	REFUSED(desc, fill.size, 0);
	REFUSED(desc, fill.size, 6);
	REFUSED_BYTES(desc, fill.reserved);
}

TEST_F(card, fence)
{
	struct q35_hw_desc desc = {.op = Q35_OP_FENCE, .fence = {.va = self->va}};

	EXPECT_EQ(run(&self->c, 0, &desc), Q35_FAULT_NONE);
	REFUSED(desc, fence.va, self->va + 4);
	REFUSED_BYTES(desc, fence.reserved);
}

TEST_F(card, timestamp)
{
	struct q35_hw_desc desc = {.op = Q35_OP_TIMESTAMP, .timestamp = {.va = self->va}};

	EXPECT_EQ(run(&self->c, 0, &desc), Q35_FAULT_NONE);
	REFUSED(desc, timestamp.va, self->va + 4);
	REFUSED_BYTES(desc, timestamp.reserved);
}

TEST_F(card, gemm_addresses)
{
	EXPECT_EQ(run(&self->c, 0, &self->gemm), Q35_FAULT_NONE);
	REFUSED(self->gemm, gemm.x_va, self->va + 2);
	REFUSED(self->gemm, gemm.x_scale_va, self->va); /* only for I8 */
	REFUSED(self->gemm, gemm.tiles_va, self->va + 32);
	REFUSED(self->gemm, gemm.meta_va, self->va + 32);
	REFUSED(self->gemm, gemm.codebook_va, self->va + 32);
	REFUSED(self->gemm, gemm.bias_va, self->va + 2);
	REFUSED(self->gemm, gemm.aux_va, self->va + 2);
	REFUSED(self->gemm, gemm.aux_va, 0);
	REFUSED(self->gemm, gemm.y_va, self->va + 2);
	self->gemm.gemm.x_type = Q35_HW_I8;
	self->gemm.gemm.x_scale_va = self->va;
	EXPECT_EQ(run(&self->c, 0, &self->gemm), Q35_FAULT_NONE);
	REFUSED(self->gemm, gemm.x_scale_va, 0);
	REFUSED(self->gemm, gemm.x_scale_va, self->va + 2);
}

TEST_F(card, gemm_dimensions)
{
	REFUSED(self->gemm, gemm.m, 0);
	REFUSED(self->gemm, gemm.n, 0);
	REFUSED(self->gemm, gemm.k, 0);
	REFUSED(self->gemm, gemm.m, 131073);
	REFUSED(self->gemm, gemm.n, 131073);
	REFUSED(self->gemm, gemm.k, 131073);
	REFUSED(self->gemm, gemm.m, 0xffffffff);
	REFUSED(self->gemm, gemm.x_stride, 258);
	REFUSED(self->gemm, gemm.aux_stride, 258);
	REFUSED(self->gemm, gemm.y_stride, 258);
}

TEST_F(card, gemm_types_and_modes)
{
	static const uint16_t blocks[] = {1, 8, 16, 31, 33, 96, 127, 256, 0x8020};
	static const uint16_t groups[] = {1, 32, 64, 129, 255, 512, 0x8080};
	struct q35_hw_desc desc;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		REFUSED(self->gemm, gemm.act_block, blocks[i]);
	for (i = 0; i < ARRAY_SIZE(groups); i++)
		REFUSED(self->gemm, gemm.group, groups[i]);
	REFUSED(self->gemm, gemm.x_type, 4);
	REFUSED(self->gemm, gemm.aux_type, Q35_HW_I8);
	REFUSED(self->gemm, gemm.y_type, Q35_HW_I8);
	REFUSED(self->gemm, gemm.y_type, 255);
	REFUSED(self->gemm, gemm.activation, 4);
	REFUSED(self->gemm, gemm.combine, 3);
	REFUSED(self->gemm, gemm.window_bits, 7);
	REFUSED(self->gemm, gemm.window_bits, 9);
	REFUSED(self->gemm, gemm.meta_flags, 4);
	REFUSED(self->gemm, gemm.meta_flags, Q35_META_MULTIPLIER); /* needs a group */
	REFUSED_BYTES(self->gemm, gemm.reserved);

	desc = self->gemm;
	desc.gemm.combine = Q35_HW_COMBINE_NONE;
	REFUSED(desc, gemm.aux_va, self->va);
	desc.gemm.aux_va = 0;
	REFUSED(desc, gemm.aux_stride, 256);
}

TEST_F(card, the_first_bad_field_is_named)
{
	struct q35_hw_desc desc = self->gemm;

	memset(desc.gemm.reserved, 0xff, sizeof(desc.gemm.reserved));
	desc.gemm.k = 0;
	desc.gemm.bias_va = 1;
	EXPECT_TRUE(refused(&self->c, &desc, Q35_FAULT_DESCRIPTOR,
			    offsetof(struct q35_hw_desc, gemm.bias_va)));
	desc.reserved = 1;
	EXPECT_TRUE(refused(&self->c, &desc, Q35_FAULT_DESCRIPTOR,
			    offsetof(struct q35_hw_desc, reserved)));
}

/* Random garbage: some fault or other, or it even runs; the card lives on. */
TEST_F(card, garbage_is_survived)
{
	struct q35_hw_desc desc, nop = {.op = Q35_OP_NOP};
	struct card *c = &self->c;
	uint64_t seed = 35;
	int i, changes;

	for (i = 0; i < 2000; i++) {
		desc = self->gemm;
		if (i % 4 == 0)
			random_bytes(&seed, &desc, sizeof(desc));
		for (changes = random_u32(&seed) % 4; changes >= 0; changes--)
			((uint8_t *)&desc)[16 + random_u32(&seed) % 112] = random_u32(&seed);
		desc.op %= 7;
		if (desc.op == Q35_OP_GEMM) { /* keep it small enough to wait for */
			desc.gemm.m %= 1000;
			desc.gemm.n %= 1000;
			desc.gemm.k %= 1000;
		}
		ASSERT_NE(run(c, 0, &desc), UINT32_MAX);
		if (rd(c, QREG(0, STATE)) == Q35_QUEUE_FAULTED) {
			ASSERT_TRUE(queue_reset(c, 0));
			queue_enable(c, 0);
		}
	}
	EXPECT_EQ(run(c, 0, &nop), Q35_FAULT_NONE);
}

TEST_HARNESS_MAIN
