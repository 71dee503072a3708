/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the card's files know of one another. */
#ifndef Q35_ENGINE_H
#define Q35_ENGINE_H

#include <stddef.h>

#include "asic.h"

/* ---- mmu.c: device virtual addresses ---- */

#define Q35_TLB_DIRECTORIES 64
#define Q35_TLB_LINES 64
#define Q35_TLB_LINE 64 /* entries: what one access to a table reads */

typedef struct Q35TlbDirectory {
    uint64_t generation; /* 0: empty */
    uint64_t region; /* of 2 MiB */
    uint64_t entry; /* level 1, valid */
} Q35TlbDirectory;

typedef struct Q35TlbLine {
    uint64_t generation; /* 0: empty */
    uint64_t number; /* of the page, divided by Q35_TLB_LINE */
    uint64_t entry[Q35_TLB_LINE]; /* level 0; those that are not valid do not count */
} Q35TlbLine;

/*
 * The address space of the part that a worker is executing, and what comes of using it.
 */
typedef struct Q35Access {
    Q35Asic *asic;
    uint64_t root, generation;
    Q35Fault fault;
    bool counting; /* bytes accessed are the job's */
    uint64_t memory_bytes, link_bytes;
    Q35TlbDirectory directory[Q35_TLB_DIRECTORIES];
    Q35TlbLine line[Q35_TLB_LINES];
} Q35Access;

/* A range of an address space that is contiguous in the host's memory too. */
typedef struct Q35Piece {
    void *p;
    uint64_t len;
    uint64_t offset; /* in device memory, if local */
    bool local, write;
} Q35Piece;

/*
 * The largest piece from va up, at most len (not 0) bytes. Returns false and sets
 * access->fault if there is not even a byte. To be put back before the part ends.
 */
bool q35_piece_get(Q35Access *access, uint64_t va, uint64_t len, bool write,
                   Q35Piece *piece);
void q35_piece_put(Q35Access *access, Q35Piece *piece);

/* Copies; false with access->fault set if not all of it is accessible. */
bool q35_va_read(Q35Access *access, uint64_t va, void *buffer, uint64_t len);
bool q35_va_write(Q35Access *access, uint64_t va, const void *buffer, uint64_t len);

void q35_count(Q35Access *access, bool local, uint64_t bytes);
/* Sets access->fault; returns false, for the caller to return. */
bool q35_fault(Q35Access *access, uint32_t code, uint64_t va, bool write);

/* Never wraps: what lies past the last address is unmapped anyway. */
static inline uint64_t q35_va(uint64_t va, uint64_t offset)
{
    return offset > UINT64_MAX - va ? UINT64_MAX : va + offset;
}

/* ---- desc.c: what a descriptor may hold ---- */

/* enum q35_fault; for DESCRIPTOR with the offset of the first bad field. */
uint32_t q35_desc_check(const struct q35_hw_desc *desc, uint32_t *field);

/* ---- job.c, gemm.c: executing descriptors ---- */

/* A worker's own memory, for operands that are not contiguous in the host's. */
enum {
    Q35_BUFFER_CODEBOOK,
    Q35_BUFFER_TILES,
    Q35_BUFFER_META,
    Q35_BUFFER_BIAS,
    Q35_BUFFER_X,
    Q35_BUFFER_X_SCALE,
    Q35_BUFFER_AUX,
    Q35_BUFFER_Y,
    Q35_BUFFERS,
};

struct Q35Worker {
    Q35Asic *asic;
    pthread_t thread;
    uint64_t entered; /* Q35Asic.sequence when it began its part; 0: in none */
    uint32_t vm; /* that it translates in */
    Q35Access access;
    void *buffer[Q35_BUFFERS];
    size_t buffer_size[Q35_BUFFERS];
};

/* At least size bytes, 64-byte aligned, or NULL. */
void *q35_buffer(Q35Worker *worker, unsigned which, size_t size);

/* Divides a checked descriptor into rounds and parts. */
void q35_job_plan(Q35Job *job);
/*
 * One part, in the worker's address space; false with worker->access.fault set. What
 * needs preparation is a product, and each of its rounds begins with q35_gemm_prepare().
 */
bool q35_job_part(Q35Worker *worker, const Q35Queue *queue, uint32_t round,
                  uint64_t part);

void q35_gemm_plan(const struct q35_hw_gemm *gemm, uint32_t *rounds, uint64_t *parts);
bool q35_gemm_prepare(Q35Worker *worker, Q35Queue *queue);
bool q35_gemm_part(Q35Worker *worker, const Q35Queue *queue, uint32_t round,
                   uint64_t part);

/* ---- timing.c ---- */

/* Adds what a completed job costs to counters. */
void q35_job_charge(const Q35Config *config, const Q35Job *job, Q35Counters *counters);
/* What it takes. */
uint64_t q35_job_ns(const Q35Config *config, const Q35Job *job);

/* ---- queue.c, coalesce.c: all with the lock held ---- */

bool q35_queue_workable(const Q35Asic *asic, const Q35Queue *queue);
/* One step of a workable queue; drops the lock while it works. */
void q35_queue_work(Q35Worker *worker, Q35Queue *queue);
void q35_queue_enable(Q35Asic *asic, Q35Queue *queue);
void q35_queue_reset(Q35Asic *asic, Q35Queue *queue);
/* When the next job is due that waits for nothing else; 0: none. */
uint64_t q35_queues_due_ns(const Q35Asic *asic);
void q35_queue_doorbell(Q35Asic *asic, Q35Queue *queue, uint32_t tail);

void q35_card_reset(Q35Asic *asic); /* begins it; done when resetting is false */
void q35_card_reset_finish(Q35Asic *asic); /* if nothing is in flight any more */
uint64_t q35_time_ns(const Q35Asic *asic);

void q35_raise(Q35Asic *asic, unsigned vector);
void q35_coalesce_notify(Q35Asic *asic); /* a completion that wants the interrupt */
void q35_coalesce_flush(Q35Asic *asic);
void *q35_coalesce_thread(void *asic);

/* ---- defects.c: with the lock held ---- */

void q35_defects_job(Q35Asic *asic, Q35Job *job); /* that has been fetched */
void q35_defects_writeback(const Q35Asic *asic, const Q35Queue *queue,
                           struct q35_hw_writeback *block);
/* What a read of a register gives instead of value. */
uint32_t q35_defects_read(const Q35Asic *asic, uint32_t offset, uint32_t value);

/* ---- regs.c ---- */

void q35_regs_reset(Q35Asic *asic);
void q35_regs_restored(Q35Asic *asic);

#endif /* Q35_ENGINE_H */
