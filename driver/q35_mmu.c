// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Page tables
 *
 * Three levels, as q35_hw.h lays them out: the root, directories (level 1, 2 MiB an entry) and
 * tables (level 0, 4 KiB an entry). A piece of memory that is aligned to 2 MiB, in the card's
 * address space and where it lies, is mapped by a directory entry; one mapping may mix both sizes.
 *
 * The card walks the tables while they change. Each change is one 64-bit store that leaves them
 * valid, and replaces a mapping without a moment of nothing in between; a new table is complete
 * before it is hooked in; splitting a 2 MiB page yields the same translations in 512 entries. What
 * falls out of the tree goes to the dead list, until the address space has been invalidated.
 *
 * Changing a mapping must not fail halfway. So it comes in two steps: q35_mmu_reserve_map() and
 * q35_mmu_reserve_unmap() allocate what the change will need, and change nothing; q35_mmu_map() and
 * q35_mmu_unmap() take from that, and cannot fail.
 */
#include <linux/dma-mapping.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "q35_mmu.h"

#define Q35_NOTHING_RESERVED U64_MAX

static u32 q35_mmu_index(u64 va, unsigned int level)
{
	return (va >> Q35_LEVEL_SHIFT(level)) % Q35_TABLE_ENTRIES;
}

/* From va to the end of its entry at the level, at most size. */
static u64 q35_mmu_step(u64 va, u64 size, unsigned int level)
{
	return min(size, round_down(va, BIT_ULL(Q35_LEVEL_SHIFT(level))) +
				 BIT_ULL(Q35_LEVEL_SHIFT(level)) - va);
}

static bool q35_mmu_fits_leaf(u64 va, u64 frame, u64 size)
{
	return IS_ALIGNED(va | frame, SZ_2M) && size >= SZ_2M;
}

static void q35_table_free(struct device *dev, struct q35_table *table)
{
	dma_free_coherent(dev, SZ_4K, table->entries, table->dma);
	kfree(table->children);
	kfree(table);
}

static struct q35_table *q35_table_alloc(struct device *dev, bool directory)
{
	struct q35_table *table = kzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);

	if (!table)
		return NULL;
	if (directory) {
		table->children =
			kcalloc(Q35_TABLE_ENTRIES, sizeof(*table->children), GFP_KERNEL_ACCOUNT);
		if (!table->children)
			goto err_free;
	}
	table->entries = dma_alloc_coherent(dev, SZ_4K, &table->dma, GFP_KERNEL_ACCOUNT);
	if (!table->entries)
		goto err_free;
	return table;

err_free:
	kfree(table->children);
	kfree(table);
	return NULL;
}

static void q35_table_free_list(struct device *dev, struct list_head *list)
{
	struct q35_table *table, *next;

	list_for_each_entry_safe(table, next, list, link)
		q35_table_free(dev, table);
	INIT_LIST_HEAD(list);
}

static u64 q35_table_get(const struct q35_table *table, u32 index)
{
	return le64_to_cpu(table->entries[index]);
}

static void q35_table_set(struct q35_table *table, u32 index, u64 value)
{
	table->used -= !!q35_table_get(table, index);
	table->used += !!value;
	WRITE_ONCE(table->entries[index], cpu_to_le64(value));
}

/* Make child, or nothing, what the entry points to, and bury what it pointed to before. */
static void q35_table_set_child(struct q35_mmu *mmu, struct q35_table *table, u32 index,
				struct q35_table *child)
{
	if (table->children[index])
		list_add(&table->children[index]->link, &mmu->dead);
	table->children[index] = child;
	dma_wmb(); /* the child's entries before the entry that points to it */
	q35_table_set(table, index, child ? child->dma | Q35_PTE_VALID : 0);
}

static struct q35_table *q35_mmu_take(struct list_head *spares)
{
	struct q35_table *table = list_first_entry(spares, struct q35_table, link);

	list_del(&table->link);
	return table;
}

/* The directory for va, or NULL. */
static struct q35_table *q35_mmu_directory(struct q35_mmu *mmu, u64 va)
{
	return mmu->root->children[q35_mmu_index(va, 2)];
}

/* The table for va, for which a reservation exists, split off a 2 MiB page if need be. */
static struct q35_table *q35_mmu_make_table(struct q35_mmu *mmu, struct q35_table *directory,
					    u64 va)
{
	u32 index = q35_mmu_index(va, 1);
	u64 leaf = q35_table_get(directory, index);
	struct q35_table *table = directory->children[index];

	if (table)
		return table;
	table = q35_mmu_take(&mmu->spare_tables);
	for (u32 i = 0; leaf && i < Q35_TABLE_ENTRIES; i++)
		q35_table_set(table, i, leaf + i * SZ_4K);
	q35_table_set_child(mmu, directory, index, table);
	return table;
}

static int q35_mmu_reserve_directory(struct q35_mmu *mmu, u64 va)
{
	u64 which = va >> Q35_LEVEL_SHIFT(2);
	struct q35_table *table;

	if (q35_mmu_directory(mmu, va) || mmu->reserved_directory == which)
		return 0;
	table = q35_table_alloc(mmu->dev, true);
	if (!table)
		return -ENOMEM;
	list_add(&table->link, &mmu->spare_directories);
	mmu->reserved_directory = which;
	return 0;
}

static int q35_mmu_reserve_table(struct q35_mmu *mmu, u64 va)
{
	struct q35_table *directory = q35_mmu_directory(mmu, va);
	u64 which = va >> Q35_LEVEL_SHIFT(1);
	struct q35_table *table;

	if (directory && directory->children[q35_mmu_index(va, 1)])
		return 0;
	if (mmu->reserved_table == which)
		return 0;
	table = q35_table_alloc(mmu->dev, false);
	if (!table)
		return -ENOMEM;
	list_add(&table->link, &mmu->spare_tables);
	mmu->reserved_table = which;
	return 0;
}

/*
 * q35_mmu_reserve_map() - allocate what q35_mmu_map() with the same arguments will take
 *
 * Pieces of one mapping are reserved in ascending order.
 */
int q35_mmu_reserve_map(struct q35_mmu *mmu, u64 va, u64 frame, u64 size, u64 pte)
{
	while (size) {
		u64 step = q35_mmu_step(va, size, 1);
		int ret = q35_mmu_reserve_directory(mmu, va);

		if (!ret && !q35_mmu_fits_leaf(va, frame, size))
			ret = q35_mmu_reserve_table(mmu, va);
		if (ret)
			return ret;
		va += step;
		frame += step;
		size -= step;
	}
	return 0;
}

/*
 * q35_mmu_map() - map contiguous memory, whatever was mapped there before
 * @pte: flags of a page table entry, but VALID and LEAF
 *
 * Return: 0, always; the type is the one for q35_gem_for_each_extent().
 */
int q35_mmu_map(struct q35_mmu *mmu, u64 va, u64 frame, u64 size, u64 pte)
{
	pte |= Q35_PTE_VALID | Q35_PTE_LEAF;

	while (size) {
		u64 step = q35_mmu_step(va, size, 1);
		struct q35_table *directory = q35_mmu_directory(mmu, va);
		struct q35_table *table;

		if (!directory) {
			directory = q35_mmu_take(&mmu->spare_directories);
			q35_table_set_child(mmu, mmu->root, q35_mmu_index(va, 2), directory);
		}
		if (q35_mmu_fits_leaf(va, frame, size)) {
			u32 index = q35_mmu_index(va, 1);

			table = directory->children[index];
			directory->children[index] = NULL;
			q35_table_set(directory, index, frame | pte);
			if (table)
				list_add(&table->link, &mmu->dead);
		} else {
			table = q35_mmu_make_table(mmu, directory, va);
			for (u64 i = 0; i < step; i += SZ_4K)
				q35_table_set(table, q35_mmu_index(va + i, 0), (frame + i) | pte);
		}
		va += step;
		frame += step;
		size -= step;
	}
	return 0;
}

/* A 2 MiB page that va lies in, but does not begin: unmapping from or up to va splits it. */
static bool q35_mmu_splits(struct q35_mmu *mmu, u64 va)
{
	struct q35_table *directory = q35_mmu_directory(mmu, va);

	return !IS_ALIGNED(va, SZ_2M) && directory &&
	       q35_table_get(directory, q35_mmu_index(va, 1)) & Q35_PTE_LEAF;
}

/*
 * q35_mmu_reserve_unmap() - allocate what q35_mmu_unmap() with the same arguments will take
 */
int q35_mmu_reserve_unmap(struct q35_mmu *mmu, u64 va, u64 size)
{
	int ret = 0;

	if (q35_mmu_splits(mmu, va))
		ret = q35_mmu_reserve_table(mmu, va);
	if (!ret && q35_mmu_splits(mmu, va + size))
		ret = q35_mmu_reserve_table(mmu, va + size);
	return ret;
}

static void q35_mmu_unmap_in_directory(struct q35_mmu *mmu, struct q35_table *directory, u64 va,
				       u64 size)
{
	while (size) {
		u64 step = q35_mmu_step(va, size, 1);
		u32 index = q35_mmu_index(va, 1);

		if (step == SZ_2M) {
			q35_table_set_child(mmu, directory, index, NULL);
		} else if (q35_table_get(directory, index)) {
			struct q35_table *table = q35_mmu_make_table(mmu, directory, va);

			for (u64 i = 0; i < step; i += SZ_4K)
				q35_table_set(table, q35_mmu_index(va + i, 0), 0);
			if (!table->used)
				q35_table_set_child(mmu, directory, index, NULL);
		}
		va += step;
		size -= step;
	}
}

/*
 * q35_mmu_unmap() - leave nothing mapped in the range
 */
void q35_mmu_unmap(struct q35_mmu *mmu, u64 va, u64 size)
{
	while (size) {
		u64 step = q35_mmu_step(va, size, 2);
		struct q35_table *directory = q35_mmu_directory(mmu, va);

		if (directory) {
			q35_mmu_unmap_in_directory(mmu, directory, va, step);
			if (!directory->used)
				q35_table_set_child(mmu, mmu->root, q35_mmu_index(va, 2), NULL);
		}
		va += step;
		size -= step;
	}
}

/*
 * q35_mmu_walk() - what the card reads to translate an address
 * @entries: Q35_LEVELS of them, filled from the root's on
 *
 * Return: how many; the last is a leaf, or empty. None if the address has too many bits, or the
 * page tables have gone.
 */
unsigned int q35_mmu_walk(struct q35_mmu *mmu, u64 va, u64 *entries)
{
	struct q35_table *table = va >> Q35_VA_BITS ? NULL : mmu->root;
	unsigned int count = 0;

	while (table) {
		u32 index = q35_mmu_index(va, Q35_LEVELS - 1 - count);

		entries[count++] = q35_table_get(table, index);
		table = table->children ? table->children[index] : NULL;
	}
	return count;
}

/* After a change has failed, or to no harm after one that has not: it has taken all. */
void q35_mmu_drop_reserved(struct q35_mmu *mmu)
{
	q35_table_free_list(mmu->dev, &mmu->spare_tables);
	q35_table_free_list(mmu->dev, &mmu->spare_directories);
	mmu->reserved_table = Q35_NOTHING_RESERVED;
	mmu->reserved_directory = Q35_NOTHING_RESERVED;
}

/* The card has forgotten all translations, or has stopped. */
void q35_mmu_free_dead(struct q35_mmu *mmu)
{
	q35_table_free_list(mmu->dev, &mmu->dead);
}

int q35_mmu_init(struct q35_mmu *mmu, struct device *dev)
{
	mmu->dev = dev;
	INIT_LIST_HEAD(&mmu->spare_tables);
	INIT_LIST_HEAD(&mmu->spare_directories);
	INIT_LIST_HEAD(&mmu->dead);
	q35_mmu_drop_reserved(mmu);
	mmu->root = q35_table_alloc(dev, true);
	return mmu->root ? 0 : -ENOMEM;
}

/* The card no longer knows the root. */
void q35_mmu_fini(struct q35_mmu *mmu)
{
	if (!mmu->root)
		return;
	q35_mmu_unmap(mmu, 0, BIT_ULL(Q35_VA_BITS));
	q35_mmu_drop_reserved(mmu);
	q35_mmu_free_dead(mmu);
	q35_table_free(mmu->dev, mmu->root);
	mmu->root = NULL;
}

#if IS_BUILTIN(CONFIG_KUNIT)
#include "tests/q35_mmu_test.c"
#endif
