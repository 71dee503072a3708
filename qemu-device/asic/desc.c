/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every field of a descriptor, in the order of its offset. */
#include "engine.h"
#include "format.h"

#define OFFSET(member) offsetof(struct q35_hw_desc, member)

/*
 * The first failure counts: the checks of a descriptor are in ascending order of offsets.
 */
static void require(bool good, uint32_t offset, uint32_t *field, bool *ok)
{
    if (!good && *ok) {
        *field = offset;
        *ok = false;
    }
}

#define REQUIRE(good, member) require(good, OFFSET(member), field, &ok)

static bool is_zero(const uint8_t *p, size_t size)
{
    while (size && !*p) {
        p++;
        size--;
    }
    return !size;
}

#define REQUIRE_ZERO(member) REQUIRE(is_zero(desc->member, sizeof(desc->member)), member)

/* Bytes of an element; 1 for what is no type, which its own check refuses. */
static uint32_t element_size(uint8_t type)
{
    switch (type) {
    case Q35_HW_F32:
        return 4;
    case Q35_HW_F16:
    case Q35_HW_BF16:
        return 2;
    default:
        return 1;
    }
}

static bool is_dimension(uint32_t n)
{
    return n >= 1 && n <= 1u << Q35_DIM_ORDER_MAX;
}

static bool check_gemm(const struct q35_hw_desc *desc, uint32_t *field)
{
    const struct q35_hw_gemm *g = &desc->gemm;
    uint32_t x_size = element_size(g->x_type), aux_size = element_size(g->aux_type);
    uint32_t y_size = element_size(g->y_type);
    bool aux = g->combine != Q35_HW_COMBINE_NONE;
    bool ok = true;

    REQUIRE(g->x_va % x_size == 0, gemm.x_va);
    REQUIRE(g->x_type == Q35_HW_I8 ? g->x_scale_va && g->x_scale_va % 4 == 0
                                   : !g->x_scale_va,
            gemm.x_scale_va);
    REQUIRE(g->tiles_va % 64 == 0, gemm.tiles_va);
    REQUIRE(g->meta_va % 64 == 0, gemm.meta_va);
    REQUIRE(g->codebook_va % 64 == 0, gemm.codebook_va);
    REQUIRE(g->bias_va % 4 == 0, gemm.bias_va);
    REQUIRE(aux ? g->aux_va && g->aux_va % aux_size == 0 : !g->aux_va, gemm.aux_va);
    REQUIRE(g->y_va % y_size == 0, gemm.y_va);
    REQUIRE(is_dimension(g->m), gemm.m);
    REQUIRE(is_dimension(g->n), gemm.n);
    REQUIRE(is_dimension(g->k), gemm.k);
    REQUIRE(g->x_stride % x_size == 0, gemm.x_stride);
    REQUIRE(aux ? g->aux_stride % aux_size == 0 : !g->aux_stride, gemm.aux_stride);
    REQUIRE(g->y_stride % y_size == 0, gemm.y_stride);
    REQUIRE(g->act_block == 0 || g->act_block == 32 || g->act_block == 64 ||
                g->act_block == 128,
            gemm.act_block);
    REQUIRE(g->group == 0 || g->group == 128 || g->group == 256, gemm.group);
    REQUIRE(g->x_type <= Q35_HW_I8, gemm.x_type);
    REQUIRE(g->aux_type <= Q35_HW_BF16, gemm.aux_type);
    REQUIRE(g->y_type <= Q35_HW_BF16, gemm.y_type);
    REQUIRE(g->activation <= Q35_HW_ACT_GELU, gemm.activation);
    REQUIRE(g->combine <= Q35_HW_COMBINE_MUL, gemm.combine);
    REQUIRE(g->window_bits == Q35_WINDOW_BITS, gemm.window_bits);
    REQUIRE(!(g->meta_flags & ~(Q35_META_ZERO | Q35_META_MULTIPLIER)) &&
                (g->group || !(g->meta_flags & Q35_META_MULTIPLIER)),
            gemm.meta_flags);
    REQUIRE_ZERO(gemm.reserved);
    return ok;
}

static bool check_body(const struct q35_hw_desc *desc, uint32_t *field)
{
    bool ok = true;

    switch (desc->op) {
    case Q35_OP_GEMM:
        return check_gemm(desc, field);
    case Q35_OP_COPY:
        REQUIRE(desc->copy.size, copy.size);
        REQUIRE_ZERO(copy.reserved);
        return ok;
    case Q35_OP_FILL:
        REQUIRE(desc->fill.dst_va % 4 == 0, fill.dst_va);
        REQUIRE(desc->fill.size && desc->fill.size % 4 == 0, fill.size);
        REQUIRE_ZERO(fill.reserved);
        return ok;
    case Q35_OP_FENCE:
        REQUIRE(desc->fence.va % 8 == 0, fence.va);
        REQUIRE_ZERO(fence.reserved);
        return ok;
    case Q35_OP_TIMESTAMP:
        REQUIRE(desc->timestamp.va % 8 == 0, timestamp.va);
        REQUIRE_ZERO(timestamp.reserved);
        return ok;
    default: /* NOP */
        REQUIRE_ZERO(body);
        return ok;
    }
}

uint32_t q35_desc_check(const struct q35_hw_desc *desc, uint32_t *field)
{
    bool ok = true;

    if (desc->op > Q35_OP_TIMESTAMP) {
        *field = OFFSET(op);
        return Q35_FAULT_OPCODE;
    }
    REQUIRE(!(desc->flags & ~(Q35_DESC_BARRIER | Q35_DESC_NOTIFY | Q35_DESC_IRQ)), flags);
    REQUIRE(!desc->reserved, reserved);
    if (ok) {
        ok = check_body(desc, field);
    }
    return ok ? Q35_FAULT_NONE : Q35_FAULT_DESCRIPTOR;
}
