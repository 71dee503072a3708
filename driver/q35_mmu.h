/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_MMU_H
#define Q35_MMU_H

#include <linux/list.h>
#include <linux/types.h>

#include "q35_hw.h"

struct device;

/* One 4 KiB frame of the card's page tables, and what the driver must know about it. */
struct q35_table {
	__le64 *entries;
	dma_addr_t dma;
	u32 used; /* valid entries */
	struct q35_table **children; /* [Q35_TABLE_ENTRIES]; NULL for level 0 */
	struct list_head link; /* one of the lists below, while not part of the tree */
};

/* The page tables of one address space. q35_vm.lock protects all of it. */
struct q35_mmu {
	struct device *dev;
	struct q35_table *root;
	struct list_head spare_tables; /* level 0, reserved for mappings to come */
	struct list_head spare_directories; /* level 1 */
	u64 reserved_table; /* va >> shift of the newest reservation of each kind */
	u64 reserved_directory;
	struct list_head dead; /* out of the tree, but maybe still in the card's TLB */
};

int q35_mmu_init(struct q35_mmu *mmu, struct device *dev);
void q35_mmu_fini(struct q35_mmu *mmu);

int q35_mmu_reserve_map(struct q35_mmu *mmu, u64 va, u64 frame, u64 size, u64 pte);
int q35_mmu_map(struct q35_mmu *mmu, u64 va, u64 frame, u64 size, u64 pte);
int q35_mmu_reserve_unmap(struct q35_mmu *mmu, u64 va, u64 size);
void q35_mmu_unmap(struct q35_mmu *mmu, u64 va, u64 size);
unsigned int q35_mmu_walk(struct q35_mmu *mmu, u64 va, u64 *entries);
void q35_mmu_drop_reserved(struct q35_mmu *mmu);
void q35_mmu_free_dead(struct q35_mmu *mmu);

#endif /* Q35_MMU_H */
