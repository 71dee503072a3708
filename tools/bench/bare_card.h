/* SPDX-License-Identifier: MIT */
/*
 * The card without a machine round it: qemu-device/asic/ with a host of two pieces of memory, as
 * tests/device/card.h has it, but of the size that a benchmark wants and without anything to be
 * tested for.
 */
#ifndef BARE_CARD_H
#define BARE_CARD_H

#include <stdint.h>

#include "q35_hw.h"

struct card;

#define CARD_MEMORY_VA 0 /* device memory, in pages of 2 MiB */
#define CARD_SYSTEM_VA (64ull << 30) /* system memory, in pages of 4 KiB */
#define CARD_THREADS_MAX 64
#define CARD_BATCH_MAX 16

/*
 * memory: a power of two from 2 MiB up; system: a multiple of 4 KiB. All of it is the caller's. NULL,
 * with a line on stderr: it cannot be had.
 */
struct card *card_create(void *memory, uint64_t memory_size, void *system, uint64_t system_size,
			 unsigned int threads);
void card_destroy(struct card *card);

/* Executes up to CARD_BATCH_MAX descriptors and returns when the card's interrupt says so. DONE or FAILED. */
int card_run(struct card *card, const struct q35_hw_desc *descs, uint32_t count);

#endif /* BARE_CARD_H */
