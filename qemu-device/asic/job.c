/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Executes descriptors part by part; the products are in gemm.c. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define COPY_PART (1ull << 20) /* bytes that one part copies or fills */
#define FILL_CHUNK 4096

void *q35_buffer(Q35Worker *worker, unsigned which, size_t size)
{
    if (size > worker->buffer_size[which]) {
        free(worker->buffer[which]);
        worker->buffer_size[which] = 0;
        if (posix_memalign(&worker->buffer[which], 64, size)) {
            worker->buffer[which] = NULL;
            return NULL;
        }
        worker->buffer_size[which] = size;
    }
    return worker->buffer[which];
}

static uint64_t part_size(uint64_t size, uint64_t part)
{
    uint64_t rest = size - part * COPY_PART;

    return rest < COPY_PART ? rest : COPY_PART;
}

static bool copy_part(Q35Access *access, const struct q35_hw_copy *copy, uint64_t part)
{
    uint64_t src = q35_va(copy->src_va, part * COPY_PART);
    uint64_t dst = q35_va(copy->dst_va, part * COPY_PART);
    uint64_t len = part_size(copy->size, part), n;
    Q35Piece from, to;

    for (; len; len -= n, src = q35_va(src, n), dst = q35_va(dst, n)) {
        if (!q35_piece_get(access, src, len, false, &from)) {
            return false;
        }
        if (!q35_piece_get(access, dst, from.len, true, &to)) {
            q35_piece_put(access, &from);
            return false;
        }
        n = to.len;
        memmove(to.p, from.p, n); /* the guest's ranges may overlap all the same */
        q35_count(access, from.local, n);
        q35_count(access, to.local, n);
        q35_piece_put(access, &to);
        q35_piece_put(access, &from);
    }
    return true;
}

static bool fill_part(Q35Access *access, const struct q35_hw_fill *fill, uint64_t part)
{
    uint64_t dst = q35_va(fill->dst_va, part * COPY_PART);
    uint64_t len = part_size(fill->size, part), n;
    uint32_t chunk[FILL_CHUNK / 4];
    size_t i;

    for (i = 0; i < FILL_CHUNK / 4; i++) {
        chunk[i] = fill->value;
    }
    for (; len; len -= n, dst = q35_va(dst, n)) {
        n = len < FILL_CHUNK ? len : FILL_CHUNK;
        if (!q35_va_write(access, dst, chunk, n)) {
            return false;
        }
    }
    return true;
}

/* One aligned store that whoever polls sees whole, after everything before it. */
static bool store(Q35Access *access, uint64_t va, uint64_t value)
{
    Q35Piece piece;

    if (!q35_piece_get(access, va, 8, true, &piece)) {
        return false;
    }
    if (piece.len == 8) {
        __atomic_store_n((uint64_t *)piece.p, value, __ATOMIC_RELEASE);
        q35_count(access, piece.local, 8);
    }
    q35_piece_put(access, &piece);
    return piece.len == 8 || q35_fault(access, Q35_FAULT_BUS, va, true);
}

void q35_job_plan(Q35Job *job)
{
    const struct q35_hw_desc *desc = &job->desc;

    job->prepared = true;
    job->rounds = 1;
    job->parts = 1;
    switch (desc->op) {
    case Q35_OP_GEMM:
        job->prepared = false;
        q35_gemm_plan(&desc->gemm, &job->rounds, &job->parts);
        break;
    case Q35_OP_COPY:
        job->parts = (desc->copy.size - 1) / COPY_PART + 1;
        break;
    case Q35_OP_FILL:
        job->parts = (desc->fill.size - 1) / COPY_PART + 1;
        break;
    case Q35_OP_NOP:
        job->parts = 0;
        break;
    }
}

bool q35_job_part(Q35Worker *worker, const Q35Queue *queue, uint32_t round, uint64_t part)
{
    const struct q35_hw_desc *desc = &queue->job.desc;
    Q35Access *access = &worker->access;

    access->counting = true;
    switch (desc->op) {
    case Q35_OP_GEMM:
        return q35_gemm_part(worker, queue, round, part);
    case Q35_OP_COPY:
        return copy_part(access, &desc->copy, part);
    case Q35_OP_FILL:
        return fill_part(access, &desc->fill, part);
    case Q35_OP_FENCE:
        return store(access, desc->fence.va, desc->fence.value);
    default: /* TIMESTAMP; a NOP has no parts */
        return store(access, desc->timestamp.va, q35_time_ns(worker->asic));
    }
}
