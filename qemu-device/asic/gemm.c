/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GEMM descriptors on libq35's kernels. A round is a few rows of activations: its
 * preparation quantizes them into the queue's scratch memory, each of its parts is a
 * product of its own with some blocks of 64 outputs. That bounds memory and the length of
 * a part whatever the shape.
 *
 * Tiles, codebook, bias, aux and y are used where they lie if that is one piece of host
 * memory, and else go through the worker's buffers. Meta always does: a part wants
 * columns of it.
 */
#include <stdlib.h>

#include "engine.h"
#include "kernels.h"

#define ROUND_CODES (1u << 20) /* activations quantized in a round, or else one row */
#define PART_MACS (4u << 20) /* multiply-accumulates of a part, or else one block */
#define SPAN_MAX (16u << 20) /* a matrix spread over more is not used in place */

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* As many in each round as possible, for every round decodes all weights again. */
static uint32_t round_rows(const struct q35_hw_gemm *g)
{
    uint32_t most = ROUND_CODES / (g->k < 64 ? 64 : g->k);

    return q35_div_up(g->m, q35_div_up(g->m, most));
}

static uint32_t part_blocks(const struct q35_hw_gemm *g)
{
    uint32_t blocks = PART_MACS / ((uint64_t)round_rows(g) * g->k * Q35_BLOCK_N);

    return min_u32(blocks ? blocks : 1, q35_div_up(g->n, Q35_BLOCK_N));
}

static uint32_t type_size(uint8_t type)
{
    return type == Q35_HW_F32 ? 4 : type == Q35_HW_I8 ? 1 : 2;
}

void q35_gemm_plan(const struct q35_hw_gemm *g, uint32_t *rounds, uint64_t *parts)
{
    *rounds = q35_div_up(g->m, round_rows(g));
    *parts = q35_div_up(q35_div_up(g->n, Q35_BLOCK_N), part_blocks(g));
}

/* A matrix operand, either in place or in one of the worker's buffers. */
typedef struct View {
    uint64_t va;
    uint32_t rows, row_bytes, va_stride;
    bool in_place;
    Q35Piece piece;
    void *p;
    size_t stride;
} View;

static bool view_get(Q35Worker *w, View *view, unsigned which, bool write)
{
    uint64_t span = (uint64_t)(view->rows - 1) * view->va_stride + view->row_bytes;
    Q35Access *access = &w->access;

    if (span <= SPAN_MAX) {
        if (q35_piece_get(access, view->va, span, write, &view->piece)) {
            if (view->piece.len == span) {
                view->in_place = true;
                view->p = view->piece.p;
                view->stride = view->va_stride;
                q35_count(access, view->piece.local,
                          (uint64_t)view->rows * view->row_bytes);
                return true;
            }
            q35_piece_put(access, &view->piece);
        }
        /* A fault, if it is one of the rows', comes up again below or in view_put(). */
        access->fault = (Q35Fault){ 0 };
    }
    view->in_place = false;
    view->stride = view->row_bytes;
    view->p = q35_buffer(w, which, (size_t)view->rows * view->row_bytes);
    return view->p ? true : q35_fault(access, Q35_FAULT_BUS, view->va, write);
}

static bool view_read(Q35Worker *w, View *view, unsigned which)
{
    uint32_t row;

    if (!view_get(w, view, which, false)) {
        return false;
    }
    for (row = 0; !view->in_place && row < view->rows; row++) {
        if (!q35_va_read(&w->access, q35_va(view->va, (uint64_t)row * view->va_stride),
                         (uint8_t *)view->p + row * view->stride, view->row_bytes)) {
            return false;
        }
    }
    return true;
}

/* Returns a view of an output; its rows go where they belong. */
static bool view_write_back(Q35Worker *w, View *view)
{
    uint32_t row;

    for (row = 0; !view->in_place && row < view->rows; row++) {
        if (!q35_va_write(&w->access, q35_va(view->va, (uint64_t)row * view->va_stride),
                          (uint8_t *)view->p + row * view->stride, view->row_bytes)) {
            return false;
        }
    }
    return true;
}

static void view_put(Q35Worker *w, View *view)
{
    if (view->in_place) {
        q35_piece_put(&w->access, &view->piece);
        view->in_place = false;
    }
}

/* A vector: one row. */
static View vector(uint64_t va, uint64_t offset, uint32_t bytes)
{
    return (View){ .va = q35_va(va, offset), .rows = 1, .row_bytes = bytes };
}

static View matrix(uint64_t va, uint64_t first_row, uint64_t column_offset, uint32_t rows,
                   uint32_t row_bytes, uint32_t stride)
{
    return (View){ .va = q35_va(va, first_row * stride + column_offset),
                   .rows = rows,
                   .row_bytes = row_bytes,
                   .va_stride = stride };
}

/* What a round's preparation and its parts have in common. */
static struct q35_product round_product(const struct q35_hw_gemm *g, uint32_t round)
{
    uint32_t rows = round_rows(g);

    return (struct q35_product){
        .m = min_u32(rows, g->m - round * rows),
        .n = g->n,
        .k = g->k,
        .act_block = g->act_block,
        .group = g->group,
        .x_type = g->x_type,
        .aux_type = g->aux_type,
        .y_type = g->y_type,
        .activation = g->activation,
        .combine = g->combine,
        .meta_flags = g->meta_flags,
    };
}

bool q35_gemm_prepare(Q35Worker *w, Q35Queue *queue)
{
    const struct q35_hw_gemm *g = &queue->job.desc.gemm;
    struct q35_product p = round_product(g, queue->job.round);
    uint64_t first = (uint64_t)queue->job.round * round_rows(g);
    uint32_t scales = g->act_block ? q35_div_up(g->k, g->act_block) : 1;
    View x = matrix(g->x_va, first, 0, p.m, g->k * type_size(g->x_type), g->x_stride);
    View x_scale = matrix(g->x_scale_va, first, 0, p.m, scales * 4, scales * 4);
    size_t size = q35_scratch_size(&p);
    bool ok = false;

    w->access.counting = true;
    if (size > queue->scratch_size) {
        free(queue->scratch);
        queue->scratch_size = 0;
        if (posix_memalign(&queue->scratch, 64, size)) {
            queue->scratch = NULL;
            return q35_fault(&w->access, Q35_FAULT_BUS, g->x_va, false);
        }
        queue->scratch_size = size;
    }
    if (view_read(w, &x, Q35_BUFFER_X) &&
        (g->x_type != Q35_HW_I8 || view_read(w, &x_scale, Q35_BUFFER_X_SCALE))) {
        p.x = x.p;
        p.x_stride = x.stride;
        p.x_scale = x_scale.p;
        w->asic->kernels->prepare(&p, queue->scratch, 0, p.m);
        ok = true;
    }
    view_put(w, &x_scale);
    view_put(w, &x);
    return ok;
}

/*
 * Copies groups rows of meta's part at va for some columns; advances va and out past
 * them.
 */
static bool read_meta_rows(Q35Worker *w, uint64_t *va, uint8_t **out, uint32_t groups,
                           size_t pitch, size_t offset, size_t len)
{
    uint32_t row;

    for (row = 0; row < groups; row++) {
        if (!q35_va_read(&w->access, q35_va(*va, offset), *out, len)) {
            return false;
        }
        *va = q35_va(*va, pitch);
        *out += len;
    }
    return true;
}

/*
 * The meta of blocks b0 … b0 + blocks - 1, laid out as that of a matrix with just these
 * outputs.
 */
static void *read_meta(Q35Worker *w, const struct q35_hw_gemm *g, uint32_t b0,
                       uint32_t blocks)
{
    uint32_t groups = q35_format_groups(g->k, g->group);
    size_t columns = (size_t)blocks * Q35_BLOCK_N, first = (size_t)b0 * Q35_BLOCK_N;
    size_t all = (size_t)q35_div_up(g->n, Q35_BLOCK_N) * Q35_BLOCK_N;
    bool multiplier = g->meta_flags & Q35_META_MULTIPLIER;
    size_t size = q35_format_meta_size(columns, g->k, g->group, g->meta_flags);
    uint8_t *meta = q35_buffer(w, Q35_BUFFER_META, size), *out = meta;
    uint64_t va = g->meta_va;

    if (!meta) {
        q35_fault(&w->access, Q35_FAULT_BUS, va, false);
        return NULL;
    }
    if (!read_meta_rows(w, &va, &out, multiplier ? 1 : groups, all * 2, first * 2,
                        columns * 2)) {
        return NULL;
    }
    if (multiplier && !read_meta_rows(w, &va, &out, groups, all, first, columns)) {
        return NULL;
    }
    if ((g->meta_flags & Q35_META_ZERO) &&
        !read_meta_rows(w, &va, &out, groups, all * 2, first * 2, columns * 2)) {
        return NULL;
    }
    return meta;
}

/*
 * The kernels see a product with the part's outputs alone: the scratch memory, which
 * depends on the activations and how the row is divided, is the same for all of them.
 */
bool q35_gemm_part(Q35Worker *w, const Q35Queue *queue, uint32_t round, uint64_t part)
{
    const struct q35_hw_gemm *g = &queue->job.desc.gemm;
    struct q35_product p = round_product(g, round);
    uint64_t row = (uint64_t)round * round_rows(g);
    uint32_t per_part = part_blocks(g), b0 = part * per_part;
    uint32_t blocks = min_u32(per_part, q35_div_up(g->n, Q35_BLOCK_N) - b0);
    uint64_t n0 = (uint64_t)b0 * Q35_BLOCK_N;
    uint64_t block_bytes = (uint64_t)q35_div_up(g->k, Q35_TILE_K) * Q35_BLOCK_BYTES;
    uint32_t aux_size = type_size(g->aux_type), y_size = type_size(g->y_type);
    Q35Access *access = &w->access;
    View codebook, tiles, bias, aux, y;
    bool ok = false;

    p.n = min_u32(blocks * Q35_BLOCK_N, g->n - n0);
    codebook = vector(g->codebook_va, 0, Q35_CODEBOOK_BYTES);
    tiles = vector(g->tiles_va, b0 * block_bytes, blocks * block_bytes);
    bias = vector(g->bias_va, n0 * 4, p.n * 4);
    aux = matrix(g->aux_va, row, n0 * aux_size, p.m, p.n * aux_size, g->aux_stride);
    y = matrix(g->y_va, row, n0 * y_size, p.m, p.n * y_size, g->y_stride);

    /*
     * The card keeps the weights of a part for all rounds, and the codebook for all
     * parts.
     */
    access->counting = !round && !part;
    if (!view_read(w, &codebook, Q35_BUFFER_CODEBOOK)) {
        return false;
    }
    access->counting = !round;
    p.meta = read_meta(w, g, b0, blocks);
    if (!p.meta || !view_read(w, &tiles, Q35_BUFFER_TILES) ||
        (g->bias_va && !view_read(w, &bias, Q35_BUFFER_BIAS))) {
        goto out;
    }
    access->counting = true;
    if ((g->combine && !view_read(w, &aux, Q35_BUFFER_AUX)) ||
        !view_get(w, &y, Q35_BUFFER_Y, true)) {
        goto out;
    }
    p.codebook = codebook.p;
    p.bias = bias.p;
    p.aux = aux.p;
    p.aux_stride = aux.stride;
    p.y = y.p;
    p.y_stride = y.stride;
    w->asic->kernels->gemm(&p, queue->scratch, tiles.p, 0, blocks);
    ok = view_write_back(w, &y);
out:
    view_put(w, &y);
    view_put(w, &aux);
    view_put(w, &bias);
    view_put(w, &tiles);
    view_put(w, &codebook);
    return ok;
}
