// SPDX-License-Identifier: GPL-2.0-only
/* Of q35_submit.c, and part of it: which descriptors get past the driver. */
#include <kunit/test.h>

static void q35_desc_test_ops(struct kunit *test)
{
	static const u32 features[] = {
		[Q35_OP_NOP] = 0,
		[Q35_OP_GEMM] = Q35_FEATURE_GEMM,
		[Q35_OP_COPY] = Q35_FEATURE_COPY,
		[Q35_OP_FILL] = Q35_FEATURE_FILL,
		[Q35_OP_FENCE] = Q35_FEATURE_FENCE,
		[Q35_OP_TIMESTAMP] = Q35_FEATURE_TIMESTAMP,
	};
	struct q35_device *q35 = kunit_kzalloc(test, sizeof(*q35), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, q35);
	for (u32 op = 0; op <= U16_MAX; op++) {
		struct q35_hw_desc desc = {.op = cpu_to_le16(op)};
		bool known = op < ARRAY_SIZE(features);

		q35->caps.features = U32_MAX;
		KUNIT_EXPECT_EQ(test, known, q35_desc_ok(q35, &desc));
		if (!known)
			continue;
		q35->caps.features = features[op];
		KUNIT_EXPECT_TRUE(test, q35_desc_ok(q35, &desc));
		q35->caps.features = ~features[op];
		KUNIT_EXPECT_EQ(test, !features[op], q35_desc_ok(q35, &desc));
	}
}

/* NOTIFY, IRQ and the sequence number are the driver's own. */
static void q35_desc_test_header(struct kunit *test)
{
	struct q35_device *q35 = kunit_kzalloc(test, sizeof(*q35), GFP_KERNEL);
	struct q35_hw_desc desc = {};

	KUNIT_ASSERT_NOT_NULL(test, q35);
	for (u32 bit = 0; bit < 16; bit++) {
		desc.flags = cpu_to_le16(BIT(bit));
		KUNIT_EXPECT_EQ(test, BIT(bit) == Q35_DESC_BARRIER, q35_desc_ok(q35, &desc));
	}
	desc.flags = 0;
	for (u32 bit = 0; bit < 64; bit++) {
		desc.seqno = cpu_to_le64(BIT_ULL(bit));
		KUNIT_EXPECT_FALSE(test, q35_desc_ok(q35, &desc));
	}
}

static struct kunit_case q35_desc_cases[] = {
	KUNIT_CASE(q35_desc_test_ops),
	KUNIT_CASE(q35_desc_test_header),
	{},
};

static struct kunit_suite q35_desc_suite = {
	.name = "q35_desc",
	.test_cases = q35_desc_cases,
};

kunit_test_suite(q35_desc_suite);
