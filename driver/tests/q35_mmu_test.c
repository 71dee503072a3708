// SPDX-License-Identifier: GPL-2.0-only
/* Of q35_mmu.c, and part of it: what the card would read, after each kind of change. */
#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/prandom.h>

#define TEST_VA SZ_1G
#define TEST_FRAME (64ull * SZ_1M) /* where the memory that is mapped would be */
#define TEST_NOWHERE U64_MAX

static int q35_mmu_test_init(struct kunit *test)
{
	struct q35_mmu *mmu = kunit_kzalloc(test, sizeof(*mmu), GFP_KERNEL);
	struct device *dev = kunit_device_register(test, "q35-mmu");

	KUNIT_ASSERT_NOT_NULL(test, mmu);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	KUNIT_ASSERT_EQ(test, 0, dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64)));
	KUNIT_ASSERT_EQ(test, 0, q35_mmu_init(mmu, dev));
	test->priv = mmu;
	return 0;
}

static void q35_mmu_test_exit(struct kunit *test)
{
	if (test->priv)
		q35_mmu_fini(test->priv);
}

/* Where the card would find va, with the flags of the mapping, or TEST_NOWHERE. */
static u64 q35_mmu_translate(struct q35_mmu *mmu, u64 va)
{
	u64 entries[Q35_LEVELS], page;
	unsigned int count = q35_mmu_walk(mmu, va, entries);
	u64 last = count ? entries[count - 1] : 0;

	if (!(last & Q35_PTE_LEAF))
		return TEST_NOWHERE;
	page = BIT_ULL(Q35_LEVEL_SHIFT(Q35_LEVELS - count));
	return last + (round_down(va, PAGE_SIZE) & (page - 1));
}

static unsigned int q35_mmu_depth(struct q35_mmu *mmu, u64 va)
{
	u64 entries[Q35_LEVELS];

	return q35_mmu_walk(mmu, va, entries);
}

static void q35_mmu_test_map(struct kunit *test, u64 va, u64 frame, u64 size, u64 pte)
{
	struct q35_mmu *mmu = test->priv;

	KUNIT_ASSERT_EQ(test, 0, q35_mmu_reserve_map(mmu, va, frame, size, pte));
	q35_mmu_map(mmu, va, frame, size, pte);
	KUNIT_EXPECT_TRUE(test, list_empty(&mmu->spare_tables));
	KUNIT_EXPECT_TRUE(test, list_empty(&mmu->spare_directories));
	q35_mmu_drop_reserved(mmu);
}

static void q35_mmu_test_unmap(struct kunit *test, u64 va, u64 size)
{
	struct q35_mmu *mmu = test->priv;

	KUNIT_ASSERT_EQ(test, 0, q35_mmu_reserve_unmap(mmu, va, size));
	q35_mmu_unmap(mmu, va, size);
	KUNIT_EXPECT_TRUE(test, list_empty(&mmu->spare_tables));
	q35_mmu_drop_reserved(mmu);
}

static void q35_mmu_expect(struct kunit *test, u64 va, u64 where)
{
	u64 found = q35_mmu_translate(test->priv, va);

	KUNIT_EXPECT_EQ_MSG(test, where, found, "at %#llx", va);
}

static void q35_mmu_test_page(struct kunit *test)
{
	u64 leaf = Q35_PTE_VALID | Q35_PTE_LEAF;

	q35_mmu_expect(test, TEST_VA, TEST_NOWHERE);
	q35_mmu_test_map(test, TEST_VA, TEST_FRAME, PAGE_SIZE, Q35_PTE_WRITABLE | Q35_PTE_LOCAL);
	q35_mmu_expect(test, TEST_VA, TEST_FRAME | leaf | Q35_PTE_WRITABLE | Q35_PTE_LOCAL);
	q35_mmu_expect(test, TEST_VA + PAGE_SIZE, TEST_NOWHERE);
	q35_mmu_expect(test, TEST_VA - PAGE_SIZE, TEST_NOWHERE);
	KUNIT_EXPECT_EQ(test, 3, q35_mmu_depth(test->priv, TEST_VA));
}

/* 2 MiB pages only where address and memory are aligned, and there is so much. */
static void q35_mmu_test_large_pages(struct kunit *test)
{
	struct q35_mmu *mmu = test->priv;

	q35_mmu_test_map(test, TEST_VA, TEST_FRAME, SZ_2M, 0);
	KUNIT_EXPECT_EQ(test, 2, q35_mmu_depth(mmu, TEST_VA));
	q35_mmu_test_map(test, TEST_VA + SZ_2M, TEST_FRAME + PAGE_SIZE, SZ_2M, 0);
	KUNIT_EXPECT_EQ(test, 3, q35_mmu_depth(mmu, TEST_VA + SZ_2M));
	q35_mmu_test_map(test, TEST_VA + 2 * SZ_2M, TEST_FRAME, SZ_2M - PAGE_SIZE, 0);
	KUNIT_EXPECT_EQ(test, 3, q35_mmu_depth(mmu, TEST_VA + 2 * SZ_2M));

	/* Small ones up to the border, then large ones, then small ones. */
	q35_mmu_test_map(test, TEST_VA + 4 * SZ_2M - PAGE_SIZE, TEST_FRAME - PAGE_SIZE,
			 2 * SZ_2M + 2 * PAGE_SIZE, 0);
	KUNIT_EXPECT_EQ(test, 3, q35_mmu_depth(mmu, TEST_VA + 4 * SZ_2M - PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 2, q35_mmu_depth(mmu, TEST_VA + 4 * SZ_2M));
	KUNIT_EXPECT_EQ(test, 2, q35_mmu_depth(mmu, TEST_VA + 5 * SZ_2M));
	KUNIT_EXPECT_EQ(test, 3, q35_mmu_depth(mmu, TEST_VA + 6 * SZ_2M));
	q35_mmu_expect(test, TEST_VA + 6 * SZ_2M + PAGE_SIZE, TEST_NOWHERE);
}

static void q35_mmu_test_split(struct kunit *test)
{
	u64 leaf = TEST_FRAME | Q35_PTE_VALID | Q35_PTE_LEAF | Q35_PTE_WRITABLE;
	u64 hole = 5 * PAGE_SIZE;

	q35_mmu_test_map(test, TEST_VA, TEST_FRAME, SZ_2M, Q35_PTE_WRITABLE);
	q35_mmu_test_unmap(test, TEST_VA + hole, PAGE_SIZE);
	for (u64 at = 0; at < SZ_2M; at += PAGE_SIZE)
		q35_mmu_expect(test, TEST_VA + at, at == hole ? TEST_NOWHERE : leaf + at);
}

/* Tables that are replaced or have become empty are kept until the card has forgotten them. */
static void q35_mmu_test_burial(struct kunit *test)
{
	struct q35_mmu *mmu = test->priv;

	q35_mmu_test_map(test, TEST_VA, TEST_FRAME, PAGE_SIZE, 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&mmu->dead));
	q35_mmu_test_map(test, TEST_VA, TEST_FRAME, SZ_2M, 0);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&mmu->dead));
	q35_mmu_free_dead(mmu);
	KUNIT_EXPECT_TRUE(test, list_empty(&mmu->dead));

	q35_mmu_test_unmap(test, TEST_VA, SZ_2M);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&mmu->dead)); /* the directory */
	KUNIT_EXPECT_EQ(test, 0, mmu->root->used);
	q35_mmu_expect(test, TEST_VA, TEST_NOWHERE);
}

/* A change that is given up has changed nothing. */
static void q35_mmu_test_reservation(struct kunit *test)
{
	struct q35_mmu *mmu = test->priv;

	KUNIT_ASSERT_EQ(
		test, 0,
		q35_mmu_reserve_map(mmu, TEST_VA - SZ_2M, TEST_FRAME + PAGE_SIZE, 2 * SZ_2M, 0));
	KUNIT_EXPECT_EQ(test, 2, list_count_nodes(&mmu->spare_directories));
	KUNIT_EXPECT_EQ(test, 2, list_count_nodes(&mmu->spare_tables));
	q35_mmu_drop_reserved(mmu);
	KUNIT_EXPECT_TRUE(test, list_empty(&mmu->spare_tables));
	KUNIT_EXPECT_TRUE(test, list_empty(&mmu->spare_directories));
	KUNIT_EXPECT_EQ(test, 0, mmu->root->used);
}

static void q35_mmu_test_last_page(struct kunit *test)
{
	u64 end = BIT_ULL(Q35_VA_BITS);

	q35_mmu_test_map(test, end - PAGE_SIZE, TEST_FRAME, PAGE_SIZE, 0);
	q35_mmu_expect(test, end - PAGE_SIZE, TEST_FRAME | Q35_PTE_VALID | Q35_PTE_LEAF);
	KUNIT_EXPECT_EQ(test, 0, q35_mmu_depth(test->priv, end));
	KUNIT_EXPECT_EQ(test, 0, q35_mmu_depth(test->priv, U64_MAX));
	q35_mmu_expect(test, 0, TEST_NOWHERE);
	q35_mmu_test_unmap(test, 0, end);
	q35_mmu_expect(test, end - PAGE_SIZE, TEST_NOWHERE);
}

/* Any sequence of changes, around a border of directories, compared with an array. */
static void q35_mmu_test_sequence(struct kunit *test)
{
	const u64 start = TEST_VA - 2 * SZ_2M;
	const u32 pages = 4 * SZ_2M / PAGE_SIZE;
	u64 *want = kunit_kcalloc(test, pages, sizeof(*want), GFP_KERNEL);
	struct rnd_state random;

	KUNIT_ASSERT_NOT_NULL(test, want);
	for (u32 i = 0; i < pages; i++)
		want[i] = TEST_NOWHERE;
	prandom_seed_state(&random, 35);

	for (u32 round = 0; round < 300; round++) {
		u32 first = prandom_u32_state(&random) % pages;
		u32 count = 1 + prandom_u32_state(&random) % (pages - first);
		u64 pte = prandom_u32_state(&random) % 2 ? Q35_PTE_WRITABLE : 0;
		u64 va = start + first * PAGE_SIZE, frame, size;

		if (prandom_u32_state(&random) % 2)
			count = 1 + count % 8;
		if (prandom_u32_state(&random) % 4 == 0) {
			first = round_down(first, SZ_2M / PAGE_SIZE);
			va = start + first * PAGE_SIZE;
			count = SZ_2M / PAGE_SIZE;
		}
		/* Memory that is aligned as the address is, or is not. */
		frame = TEST_FRAME + (prandom_u32_state(&random) % 2 ? va % SZ_2M : PAGE_SIZE);
		size = count * PAGE_SIZE;

		if (prandom_u32_state(&random) % 3)
			q35_mmu_test_map(test, va, frame, size, pte);
		else
			pte = TEST_NOWHERE;
		if (pte == TEST_NOWHERE)
			q35_mmu_test_unmap(test, va, size);
		for (u32 i = 0; i < count; i++)
			want[first + i] = pte == TEST_NOWHERE
						  ? TEST_NOWHERE
						  : (frame + i * PAGE_SIZE) | pte | Q35_PTE_VALID |
							    Q35_PTE_LEAF;
		q35_mmu_free_dead(test->priv);

		for (u32 i = 0; i < pages; i++)
			if (q35_mmu_translate(test->priv, start + i * PAGE_SIZE) != want[i])
				KUNIT_FAIL_AND_ABORT(test, "round %u, page %u", round, i);
	}
}

static struct kunit_case q35_mmu_cases[] = {
	KUNIT_CASE(q35_mmu_test_page),		KUNIT_CASE(q35_mmu_test_large_pages),
	KUNIT_CASE(q35_mmu_test_split),		KUNIT_CASE(q35_mmu_test_burial),
	KUNIT_CASE(q35_mmu_test_reservation),	KUNIT_CASE(q35_mmu_test_last_page),
	KUNIT_CASE_SLOW(q35_mmu_test_sequence), {},
};

static struct kunit_suite q35_mmu_suite = {
	.name = "q35_mmu",
	.init = q35_mmu_test_init,
	.exit = q35_mmu_test_exit,
	.test_cases = q35_mmu_cases,
};

kunit_test_suite(q35_mmu_suite);
