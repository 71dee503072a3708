// SPDX-License-Identifier: GPL-2.0-only
/* Of q35_gem.c, and part of it: where the pieces of a buffer are, and which the card cannot map. */
#include <kunit/test.h>
#include <linux/scatterlist.h>

#include "q35_mmu.h"

#define TEST_VA SZ_1G
#define TEST_PIECES 3

struct q35_test_piece {
	u64 va, frame, size, pte;
};

struct q35_test_buffer {
	struct q35_bo bo;
	struct sg_table sgt;
	struct scatterlist sg[TEST_PIECES];
	struct q35_mmu mmu; /* only to find the buffer again */
	struct q35_test_piece seen[TEST_PIECES];
	u32 count;
	int error;
};

/* Of so many bytes each, at such DMA addresses; as an importer has it from the exporter, or its own. */
static struct q35_test_buffer *q35_test_buffer(struct kunit *test, u64 address[TEST_PIECES],
					       u32 length[TEST_PIECES])
{
	struct q35_test_buffer *buffer = kunit_kzalloc(test, sizeof(*buffer), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buffer);
	sg_init_table(buffer->sg, TEST_PIECES);
	for (u32 i = 0; i < TEST_PIECES; i++) {
		sg_dma_address(&buffer->sg[i]) = address[i];
		sg_dma_len(&buffer->sg[i]) = length[i];
	}
	buffer->sgt = (struct sg_table){buffer->sg, TEST_PIECES, TEST_PIECES};
	buffer->bo.sgt = &buffer->sgt;
	return buffer;
}

static int q35_test_see(struct q35_mmu *mmu, u64 va, u64 frame, u64 size, u64 pte)
{
	struct q35_test_buffer *buffer = container_of(mmu, struct q35_test_buffer, mmu);

	if (buffer->count < TEST_PIECES)
		buffer->seen[buffer->count] = (struct q35_test_piece){va, frame, size, pte};
	buffer->count++;
	return buffer->error;
}

static int q35_test_extents(struct q35_test_buffer *buffer, u64 offset, u64 size)
{
	buffer->count = 0;
	return q35_gem_for_each_extent(&buffer->bo, offset, size, q35_test_see, &buffer->mmu,
				       TEST_VA, Q35_PTE_WRITABLE);
}

static void q35_extents_test_range(struct kunit *test)
{
	u64 address[] = {SZ_16M, SZ_64K, SZ_4G};
	u32 length[] = {SZ_8K, SZ_4K, SZ_16K};
	struct q35_test_buffer *buffer = q35_test_buffer(test, address, length);
	const struct q35_test_piece *seen = buffer->seen;

	/* From within the first to within the last. */
	KUNIT_EXPECT_EQ(test, 0, q35_test_extents(buffer, SZ_4K, SZ_16K));
	KUNIT_ASSERT_EQ(test, 3, buffer->count);
	KUNIT_EXPECT_EQ(test, TEST_VA, seen[0].va);
	KUNIT_EXPECT_EQ(test, SZ_16M + SZ_4K, seen[0].frame);
	KUNIT_EXPECT_EQ(test, SZ_4K, seen[0].size);
	KUNIT_EXPECT_EQ(test, Q35_PTE_WRITABLE, seen[0].pte);
	KUNIT_EXPECT_EQ(test, TEST_VA + SZ_4K, seen[1].va);
	KUNIT_EXPECT_EQ(test, SZ_64K, seen[1].frame);
	KUNIT_EXPECT_EQ(test, TEST_VA + SZ_8K, seen[2].va);
	KUNIT_EXPECT_EQ(test, SZ_4G, seen[2].frame);
	KUNIT_EXPECT_EQ(test, SZ_8K, seen[2].size);

	/* Exactly the second. */
	KUNIT_EXPECT_EQ(test, 0, q35_test_extents(buffer, SZ_8K, SZ_4K));
	KUNIT_ASSERT_EQ(test, 1, buffer->count);
	KUNIT_EXPECT_EQ(test, SZ_64K, seen[0].frame);
	KUNIT_EXPECT_EQ(test, SZ_4K, seen[0].size);
}

/* Exporters may have pieces of any size anywhere; the card maps whole pages. */
static void q35_extents_test_no_pages(struct kunit *test)
{
	for (u32 i = 0; i < 2 * TEST_PIECES; i++) {
		u64 address[] = {SZ_16M, SZ_64K, SZ_4G};
		u32 length[] = {SZ_8K, SZ_4K, SZ_16K};
		struct q35_test_buffer *buffer;

		if (i < TEST_PIECES)
			address[i] += SZ_512;
		else
			length[i - TEST_PIECES] += SZ_512;
		buffer = q35_test_buffer(test, address, length);
		KUNIT_EXPECT_EQ(test, -EINVAL, q35_test_extents(buffer, 0, SZ_16K));
		for (u32 n = 0; n < buffer->count && n < TEST_PIECES; n++)
			KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(buffer->seen[n].frame));
	}
}

static void q35_extents_test_error(struct kunit *test)
{
	u64 address[] = {SZ_16M, SZ_64K, SZ_4G};
	u32 length[] = {SZ_4K, SZ_4K, SZ_4K};
	struct q35_test_buffer *buffer = q35_test_buffer(test, address, length);

	buffer->error = -ENOMEM;
	KUNIT_EXPECT_EQ(test, -ENOMEM, q35_test_extents(buffer, 0, SZ_8K));
	KUNIT_EXPECT_EQ(test, 1, buffer->count);
}

static struct kunit_case q35_extents_cases[] = {
	KUNIT_CASE(q35_extents_test_range),
	KUNIT_CASE(q35_extents_test_no_pages),
	KUNIT_CASE(q35_extents_test_error),
	{},
};

static struct kunit_suite q35_extents_suite = {
	.name = "q35_extents",
	.test_cases = q35_extents_cases,
};

kunit_test_suite(q35_extents_suite);
