/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The register file on BAR0. */
#include <string.h>

#include "engine.h"
#include "format.h"

/* Bits that software may write; reads give them back. */
static const uint32_t card_mask[Q35_CARD_REGS] = {
    [Q35_REG_CONTROL / 4] = Q35_CONTROL_ENABLE,
    [Q35_REG_COALESCE / 4] = Q35_COALESCE_COUNT | Q35_COALESCE_USEC,
};

static const uint32_t queue_mask[Q35_QUEUE_REGS] = {
    [Q35_QREG_VM / 4] = Q35_VMS - 1,
    [Q35_QREG_PRIORITY / 4] = 3,
    [Q35_QREG_RING_LO / 4] = 0xfffff000,
    [Q35_QREG_RING_HI / 4] = Q35_PTE_FRAME >> 32,
    [Q35_QREG_RING_ORDER / 4] = 0x1f,
    [Q35_QREG_WRITEBACK_LO / 4] = 0xffffffc0,
    [Q35_QREG_WRITEBACK_HI / 4] = Q35_PTE_FRAME >> 32,
};

#define DMA_BITS 52 /* what Q35_PTE_FRAME holds */

/*
 * Reset values that are the same for every card; the rest depends on its configuration.
 */
static const uint32_t card_reset[Q35_CARD_REGS] = {
    [Q35_REG_MAGIC / 4] = Q35_MAGIC,
    [Q35_REG_VERSION / 4] = Q35_VERSION_MAJOR << 16 | Q35_VERSION_MINOR,
    [Q35_REG_FEATURES / 4] = Q35_FEATURE_GEMM | Q35_FEATURE_COPY | Q35_FEATURE_FILL |
                             Q35_FEATURE_FENCE | Q35_FEATURE_TIMESTAMP |
                             Q35_FEATURE_PRIORITY | Q35_FEATURE_COALESCE,
    [Q35_REG_VMS / 4] = Q35_VMS,
    [Q35_REG_RING_ORDER_MAX / 4] = Q35_RING_ORDER_MAX,
    [Q35_REG_DMA_BITS / 4] = DMA_BITS,
    [Q35_REG_VA_BITS / 4] = Q35_VA_BITS,
    [Q35_REG_QUEUE_OFFSET / 4] = Q35_QUEUE_OFFSET,
    [Q35_REG_QUEUE_STRIDE / 4] = Q35_QUEUE_STRIDE,
    [Q35_REG_VM_OFFSET / 4] = Q35_VM_OFFSET,
    [Q35_REG_VM_STRIDE / 4] = Q35_VM_STRIDE,
    [Q35_REG_DOORBELL_OFFSET / 4] = Q35_DOORBELL_OFFSET,
    [Q35_REG_DOORBELL_STRIDE / 4] = Q35_DOORBELL_STRIDE,
    [Q35_REG_WINDOWS / 4] = 1u << Q35_WINDOW_BITS,
    [Q35_REG_ACT_BLOCKS / 4] = 1u << 0 | 1u << 5 | 1u << 6 | 1u << 7,
    [Q35_REG_DIM_ORDER_MAX / 4] = Q35_DIM_ORDER_MAX,
};

void q35_regs_reset(Q35Asic *asic)
{
    const Q35Config *config = &asic->config;
    uint32_t i;

    memcpy(asic->regs, card_reset, sizeof(asic->regs));
    asic->regs[Q35_REG_QUEUES / 4] = config->queues;
    asic->regs[Q35_REG_MEMORY_LO / 4] = config->memory_size;
    asic->regs[Q35_REG_MEMORY_HI / 4] = config->memory_size >> 32;
    asic->regs[Q35_REG_LANES / 4] = config->timing.lanes;
    asic->regs[Q35_REG_CLOCK_MHZ / 4] = config->timing.clock_mhz;
    asic->regs[Q35_REG_MEMORY_GBPS / 4] = config->timing.memory_gbps;
    asic->regs[Q35_REG_LINK_GBPS / 4] = config->timing.link_gbps;

    for (i = 0; i < Q35_QUEUES_MAX; i++) {
        memset(asic->queue[i].regs, 0, sizeof(asic->queue[i].regs));
    }
    for (i = 0; i < Q35_VMS; i++) {
        asic->vm[i] = (Q35Vm){ .generation = ++asic->generation };
    }
    asic->counters = (Q35Counters){ 0 };
    asic->faulted = 0;
    asic->notifications = 0;
    asic->coalesce_deadline_ns = 0;
    asic->paced_ns = 0;
    asic->time_base_ns = asic->host.now_ns(asic->host.opaque);
    asic->time_latch = 0;
}

/* Registers that came from outside: as if software had written them. */
void q35_regs_restored(Q35Asic *asic)
{
    uint32_t q, i;

    asic->regs[Q35_REG_CONTROL / 4] &= card_mask[Q35_REG_CONTROL / 4];
    for (q = 0; q < Q35_QUEUES_MAX; q++) {
        for (i = 0; i < Q35_QUEUE_REGS; i++) {
            asic->queue[q].regs[i] &= queue_mask[i];
        }
    }
}

static uint32_t read_counter(Q35Counters *counters, uint32_t offset)
{
    uint32_t i = offset / 8;

    if (offset & 4) {
        return counters->latch[i];
    }
    counters->latch[i] = counters->value[i] >> 32;
    return counters->value[i];
}

static uint32_t read_card(Q35Asic *asic, uint32_t offset)
{
    uint64_t time;

    if (offset >= Q35_REG_COUNTERS && offset < Q35_REG_COUNTERS + Q35_COUNTERS_SIZE) {
        return read_counter(&asic->counters, offset - Q35_REG_COUNTERS);
    }
    switch (offset) {
    case Q35_REG_STATUS:
        return asic->resetting ? 0 : Q35_STATUS_READY;
    case Q35_REG_FAULTED_LO:
        return asic->faulted;
    case Q35_REG_FAULTED_HI:
        return asic->faulted >> 32;
    case Q35_REG_TIME_LO:
        time = q35_time_ns(asic);
        asic->time_latch = time >> 32;
        return time;
    case Q35_REG_TIME_HI:
        return asic->time_latch;
    default:
        return offset / 4 < Q35_CARD_REGS ? asic->regs[offset / 4] : 0;
    }
}

static void write_card(Q35Asic *asic, uint32_t offset, uint32_t value)
{
    if (offset / 4 >= Q35_CARD_REGS) {
        return;
    }
    switch (offset) {
    case Q35_REG_FAULTED_LO:
        asic->faulted &= ~(uint64_t)value;
        return;
    case Q35_REG_FAULTED_HI:
        asic->faulted &= ~((uint64_t)value << 32);
        return;
    case Q35_REG_CONTROL:
        if (value & Q35_CONTROL_RESET) {
            asic->stuck = asic->defects & Q35_DEFECT_CARD_RESET_FAILS;
            q35_card_reset(asic);
            return;
        }
        break;
    }
    asic->regs[offset / 4] &= ~card_mask[offset / 4];
    asic->regs[offset / 4] |= value & card_mask[offset / 4];
    if (offset == Q35_REG_COALESCE) {
        q35_coalesce_flush(asic);
    } else if (offset == Q35_REG_CONTROL) {
        pthread_cond_broadcast(&asic->work);
    }
}

static uint32_t read_queue(Q35Queue *queue, uint32_t offset)
{
    const Q35Fault none = { 0 };
    const Q35Fault *fault = queue->state == Q35_QUEUE_FAULTED ? &queue->fault : &none;

    if (offset >= Q35_QREG_COUNTERS) {
        offset -= Q35_QREG_COUNTERS;
        return offset < Q35_COUNTERS_SIZE ? read_counter(&queue->counters, offset) : 0;
    }
    switch (offset) {
    case Q35_QREG_CONTROL:
        if (queue->state == Q35_QUEUE_DISABLED || queue->state == Q35_QUEUE_RESETTING) {
            return 0;
        }
        return Q35_QCONTROL_ENABLE;
    case Q35_QREG_STATE:
        return queue->state;
    case Q35_QREG_HEAD:
        return queue->head;
    case Q35_QREG_FAULT_CODE:
        return fault->code;
    case Q35_QREG_FAULT_INDEX:
        return fault->code ? queue->fault_index : 0;
    case Q35_QREG_FAULT_ADDR_LO:
        return fault->addr;
    case Q35_QREG_FAULT_ADDR_HI:
        return fault->addr >> 32;
    case Q35_QREG_FAULT_INFO:
        return fault->info;
    default:
        return queue->regs[offset / 4];
    }
}

static void write_queue(Q35Asic *asic, Q35Queue *queue, uint32_t offset, uint32_t value)
{
    if (offset >= Q35_QREG_COUNTERS) {
        return;
    }
    if (offset != Q35_QREG_CONTROL) {
        queue->regs[offset / 4] = value & queue_mask[offset / 4];
    } else if (value & Q35_QCONTROL_RESET) {
        queue->stuck = asic->defects & Q35_DEFECT_RESET_FAILS;
        q35_queue_reset(asic, queue);
    } else if (value & Q35_QCONTROL_ENABLE) {
        q35_queue_enable(asic, queue);
    } else if (queue->state == Q35_QUEUE_IDLE || queue->state == Q35_QUEUE_RUNNING) {
        q35_queue_reset(asic, queue); /* there is nothing that could be taken up again */
    }
}

/* Whether a worker may still use a translation from before the last invalidation. */
static bool invalidating(const Q35Asic *asic, uint32_t vm)
{
    uint32_t i;

    for (i = 0; i < asic->config.threads; i++) {
        const Q35Worker *worker = asic->worker[i];

        if (worker->entered && worker->vm == vm &&
            worker->entered <= asic->vm[vm].invalidated) {
            return true;
        }
    }
    return false;
}

static uint32_t read_vm(const Q35Asic *asic, uint32_t vm, uint32_t offset)
{
    switch (offset) {
    case Q35_VREG_ROOT_LO:
        return asic->vm[vm].root;
    case Q35_VREG_ROOT_HI:
        return asic->vm[vm].root >> 32;
    case Q35_VREG_INVALIDATE:
        return invalidating(asic, vm);
    default:
        return 0;
    }
}

static void write_vm(Q35Asic *asic, Q35Vm *vm, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case Q35_VREG_ROOT_LO:
        vm->root = (vm->root & ~0xffffffffull) | value;
        break;
    case Q35_VREG_ROOT_HI:
        vm->root = (vm->root & 0xffffffffull) | (uint64_t)value << 32;
        break;
    case Q35_VREG_INVALIDATE:
        vm->generation = ++asic->generation;
        vm->invalidated = ++asic->sequence;
        break;
    }
}

uint32_t q35_asic_read(Q35Asic *asic, uint32_t offset)
{
    uint32_t queue = (offset - Q35_QUEUE_OFFSET) / Q35_QUEUE_STRIDE;
    uint32_t vm = (offset - Q35_VM_OFFSET) / Q35_VM_STRIDE;
    uint32_t value = 0;

    pthread_mutex_lock(&asic->lock);
    if (offset < Q35_QUEUE_OFFSET) {
        value = read_card(asic, offset);
    } else if (queue < asic->config.queues) {
        value = read_queue(&asic->queue[queue], offset % Q35_QUEUE_STRIDE);
    } else if (offset >= Q35_VM_OFFSET && vm < Q35_VMS) {
        value = read_vm(asic, vm, offset % Q35_VM_STRIDE);
    }
    value = q35_defects_read(asic, offset, value);
    pthread_mutex_unlock(&asic->lock);
    return value;
}

void q35_asic_write(Q35Asic *asic, uint32_t offset, uint32_t value)
{
    uint32_t queue = (offset - Q35_QUEUE_OFFSET) / Q35_QUEUE_STRIDE;
    uint32_t vm = (offset - Q35_VM_OFFSET) / Q35_VM_STRIDE;
    uint32_t bell = (offset - Q35_DOORBELL_OFFSET) / Q35_DOORBELL_STRIDE;

    pthread_mutex_lock(&asic->lock);
    if (asic->resetting || (asic->defects & Q35_DEFECTS_GONE)) {
        ; /* deaf: until STATUS says READY again, or for good */
    } else if (offset < Q35_QUEUE_OFFSET) {
        write_card(asic, offset, value);
    } else if (offset >= Q35_DOORBELL_OFFSET) {
        if (bell < asic->config.queues &&
            offset % Q35_DOORBELL_STRIDE == Q35_DOORBELL_TAIL) {
            q35_queue_doorbell(asic, &asic->queue[bell], value);
        }
    } else if (queue < asic->config.queues) {
        write_queue(asic, &asic->queue[queue], offset % Q35_QUEUE_STRIDE, value);
    } else if (offset >= Q35_VM_OFFSET && vm < Q35_VMS) {
        write_vm(asic, &asic->vm[vm], offset % Q35_VM_STRIDE, value);
    }
    pthread_mutex_unlock(&asic->lock);
}
