/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translation of device virtual addresses: the table walk, each worker's TLB, and access
 * to what the translations point at. A TLB entry carries the generation of its address
 * space; an invalidation gives the address space a new one, and so needs to touch
 * nobody's TLB.
 */
#include <string.h>

#include "engine.h"

#define PAGE_SIZE (1ull << Q35_LEVEL_SHIFT(0))
#define REGION_SIZE (1ull << Q35_LEVEL_SHIFT(1))

#define TABLE_BITS (Q35_PTE_FRAME | Q35_PTE_VALID | Q35_PTE_LOCAL)
#define LEAF_BITS (TABLE_BITS | Q35_PTE_WRITABLE | Q35_PTE_LEAF)

bool q35_fault(Q35Access *access, uint32_t code, uint64_t va, bool write)
{
    access->fault = (Q35Fault){ code, write ? Q35_FAULT_WRITE : 0, va };
    return false;
}

void q35_count(Q35Access *access, bool local, uint64_t bytes)
{
    if (!access->counting) {
        return;
    }
    if (local) {
        access->memory_bytes += bytes;
    } else {
        access->link_bytes += bytes;
    }
}

static bool is_table(uint64_t entry)
{
    return (entry & Q35_PTE_VALID) && !(entry & ~TABLE_BITS);
}

static bool is_leaf(uint64_t entry, unsigned level)
{
    uint64_t low = (1ull << Q35_LEVEL_SHIFT(level)) - PAGE_SIZE;

    return (entry & Q35_PTE_VALID) && (entry & Q35_PTE_LEAF) && !(entry & ~LEAF_BITS) &&
           !(entry & low);
}

/*
 * Reads count entries from index on of the table that the entry above points at. Returns
 * enum q35_fault.
 */
static uint32_t read_entries(Q35Access *access, uint64_t table, unsigned index,
                             unsigned count, uint64_t *entries)
{
    const Q35Asic *asic = access->asic;
    uint64_t address = (table & Q35_PTE_FRAME) + 8 * index, len = 8 * count;
    uint64_t *p;
    unsigned i;

    if (table & Q35_PTE_LOCAL) {
        if (address >= asic->config.memory_size) {
            return Q35_FAULT_BUS;
        }
        p = (uint64_t *)(asic->config.memory + address);
    } else {
        p = asic->host.map(asic->host.opaque, address, &len, false);
        if (!p) {
            return Q35_FAULT_BUS;
        }
    }
    for (i = 0; i < len / 8; i++) {
        entries[i] = __atomic_load_n(&p[i], __ATOMIC_ACQUIRE);
    }
    if (!(table & Q35_PTE_LOCAL)) {
        asic->host.unmap(asic->host.opaque, p, len, false);
    }
    return len == 8 * count ? Q35_FAULT_NONE : Q35_FAULT_BUS;
}

static unsigned index_of(uint64_t va, unsigned level)
{
    return va >> Q35_LEVEL_SHIFT(level) & (Q35_TABLE_ENTRIES - 1);
}

/* The level-1 entry for va. Returns enum q35_fault. */
static uint32_t walk_directory(Q35Access *access, uint64_t va, uint64_t *entry)
{
    uint64_t region = va >> Q35_LEVEL_SHIFT(1);
    Q35TlbDirectory *cached = &access->directory[region % Q35_TLB_DIRECTORIES];
    uint32_t code;

    if (cached->generation == access->generation && cached->region == region) {
        *entry = cached->entry;
        return Q35_FAULT_NONE;
    }
    if (!is_table(access->root)) {
        return Q35_FAULT_UNMAPPED;
    }
    code = read_entries(access, access->root, index_of(va, 2), 1, entry);
    if (code) {
        return code;
    }
    if (!is_table(*entry)) {
        return Q35_FAULT_UNMAPPED;
    }
    code = read_entries(access, *entry, index_of(va, 1), 1, entry);
    if (code) {
        return code;
    }
    if (!is_table(*entry) && !is_leaf(*entry, 1)) {
        return Q35_FAULT_UNMAPPED;
    }
    *cached = (Q35TlbDirectory){ access->generation, region, *entry };
    return Q35_FAULT_NONE;
}

/* The leaf for va; *size is what it maps. Returns enum q35_fault. */
static uint32_t walk(Q35Access *access, uint64_t va, uint64_t *leaf, uint64_t *size)
{
    uint64_t page = va >> Q35_LEVEL_SHIFT(0), number = page / Q35_TLB_LINE, directory;
    Q35TlbLine *line = &access->line[number % Q35_TLB_LINES];
    uint64_t *entry = &line->entry[page % Q35_TLB_LINE];
    unsigned first = index_of(va, 0) / Q35_TLB_LINE * Q35_TLB_LINE;
    uint32_t code;

    if (va >> Q35_VA_BITS) {
        return Q35_FAULT_UNMAPPED;
    }
    *size = PAGE_SIZE;
    if (line->generation == access->generation && line->number == number &&
        is_leaf(*entry, 0)) {
        *leaf = *entry;
        return Q35_FAULT_NONE;
    }
    code = walk_directory(access, va, &directory);
    if (code) {
        return code;
    }
    if (directory & Q35_PTE_LEAF) {
        *leaf = directory;
        *size = REGION_SIZE;
        return Q35_FAULT_NONE;
    }
    line->generation = 0;
    code = read_entries(access, directory, first, Q35_TLB_LINE, line->entry);
    if (code) {
        return code;
    }
    line->generation = access->generation;
    line->number = number;
    *leaf = *entry;
    return is_leaf(*entry, 0) ? Q35_FAULT_NONE : Q35_FAULT_UNMAPPED;
}

/* Where va lies and how far that page goes on. Returns enum q35_fault. */
static uint32_t translate(Q35Access *access, uint64_t va, bool write, uint64_t *address,
                          uint64_t *len, bool *local)
{
    uint64_t leaf, size;
    uint32_t code = walk(access, va, &leaf, &size);

    if (code) {
        return code;
    }
    if (write && !(leaf & Q35_PTE_WRITABLE)) {
        return Q35_FAULT_PERMISSION;
    }
    *address = (leaf & Q35_PTE_FRAME) + (va & (size - 1));
    *len = size - (va & (size - 1));
    *local = leaf & Q35_PTE_LOCAL;
    return Q35_FAULT_NONE;
}

bool q35_piece_get(Q35Access *access, uint64_t va, uint64_t len, bool write,
                   Q35Piece *piece)
{
    const Q35Asic *asic = access->asic;
    uint64_t address, next, run, more;
    bool local, next_local;
    uint32_t code;

    code = translate(access, va, write, &address, &run, &local);
    if (code) {
        return q35_fault(access, code, va, write);
    }
    while (run < len && !translate(access, va + run, write, &next, &more, &next_local) &&
           next_local == local && next == address + run) {
        run += more;
    }
    if (run > len) {
        run = len;
    }
    *piece = (Q35Piece){ .len = run, .offset = address, .local = local, .write = write };
    if (!local) {
        piece->p = asic->host.map(asic->host.opaque, address, &piece->len, write);
    } else if (address < asic->config.memory_size) {
        if (run > asic->config.memory_size - address) {
            piece->len = asic->config.memory_size - address;
        }
        piece->p = asic->config.memory + address;
    }
    return piece->p ? true : q35_fault(access, Q35_FAULT_BUS, va, write);
}

void q35_piece_put(Q35Access *access, Q35Piece *piece)
{
    const Q35Host *host = &access->asic->host;

    if (!piece->local) {
        host->unmap(host->opaque, piece->p, piece->len, piece->write);
    } else if (piece->write) {
        host->memory_written(host->opaque, piece->offset, piece->len);
    }
}

bool q35_va_read(Q35Access *access, uint64_t va, void *buffer, uint64_t len)
{
    uint8_t *p = buffer;
    Q35Piece piece;

    for (; len; len -= piece.len, p += piece.len, va = q35_va(va, piece.len)) {
        if (!q35_piece_get(access, va, len, false, &piece)) {
            return false;
        }
        memcpy(p, piece.p, piece.len);
        q35_count(access, piece.local, piece.len);
        q35_piece_put(access, &piece);
    }
    return true;
}

bool q35_va_write(Q35Access *access, uint64_t va, const void *buffer, uint64_t len)
{
    const uint8_t *p = buffer;
    Q35Piece piece;

    for (; len; len -= piece.len, p += piece.len, va = q35_va(va, piece.len)) {
        if (!q35_piece_get(access, va, len, true, &piece)) {
            return false;
        }
        memcpy(piece.p, p, piece.len);
        q35_count(access, piece.local, piece.len);
        q35_piece_put(access, &piece);
    }
    return true;
}
