/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues: from the ring to completion, faults and reset. Everything here runs with the
 * lock held; q35_queue_work() drops it while it touches guest memory.
 *
 * A worker that is inside a queue is counted in queue->workers. Fetching, preparing,
 * completing and publishing a fault are done by one worker alone, for each of them needs
 * workers to be 0 at first and none of them lets another worker in. A queue's descriptors
 * are executed one after the other, which makes every one of them a barrier.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static bool read_slot(Q35Asic *asic, uint64_t address, struct q35_hw_desc *desc)
{
    uint64_t len = sizeof(*desc);
    void *p = asic->host.map(asic->host.opaque, address, &len, false);

    if (!p) {
        return false;
    }
    if (len == sizeof(*desc)) {
        memcpy(desc, p, len);
    }
    asic->host.unmap(asic->host.opaque, p, len, false);
    return len == sizeof(*desc);
}

/*
 * Writes all of the block, sequence number and fault code last: who sees those sees the
 * rest. Without the lock.
 */
static bool write_back(Q35Asic *asic, uint64_t address,
                       const struct q35_hw_writeback *block)
{
    uint64_t len = sizeof(*block);
    struct q35_hw_writeback *p = asic->host.map(asic->host.opaque, address, &len, true);

    if (!p) {
        return false;
    }
    if (len == sizeof(*block)) {
        __atomic_store_n(&p->fault_index, block->fault_index, __ATOMIC_RELAXED);
        __atomic_store_n(&p->fault_info, block->fault_info, __ATOMIC_RELAXED);
        __atomic_store_n(&p->fault_addr, block->fault_addr, __ATOMIC_RELAXED);
        __atomic_store_n(&p->time_ns, block->time_ns, __ATOMIC_RELAXED);
        __atomic_store_n(&p->busy_ns, block->busy_ns, __ATOMIC_RELAXED);
        __atomic_store_n(&p->cycles, block->cycles, __ATOMIC_RELAXED);
        __atomic_store_n(&p->head, block->head, __ATOMIC_RELEASE);
        __atomic_store_n(&p->fault_code, block->fault_code, __ATOMIC_RELEASE);
        __atomic_store_n(&p->seqno, block->seqno, __ATOMIC_RELEASE);
    }
    asic->host.unmap(asic->host.opaque, p, len, true);
    return len == sizeof(*block);
}

static struct q35_hw_writeback block_of(const Q35Asic *asic, const Q35Queue *queue)
{
    struct q35_hw_writeback block = {
        .seqno = queue->seqno,
        .head = queue->head,
        .fault_code = queue->fault.code,
        .fault_index = queue->fault_index,
        .fault_info = queue->fault.info,
        .fault_addr = queue->fault.addr,
        .time_ns = q35_time_ns(asic),
        .busy_ns = queue->busy_ns,
        .cycles = queue->counters.value[Q35_CYCLES],
    };

    q35_defects_writeback(asic, queue, &block);
    return block;
}

/* The first fault counts; the queue goes no further, a worker publishes it. */
static void fault(Q35Queue *queue, uint32_t code, uint32_t index, uint32_t info,
                  uint64_t addr)
{
    if (!queue->fault.code) {
        queue->fault = (Q35Fault){ code, info, addr };
        queue->fault_index = index;
        queue->state = Q35_QUEUE_RUNNING;
    }
}

static void publish_fault(Q35Asic *asic, Q35Queue *queue)
{
    struct q35_hw_writeback block;

    if (!queue->fault.code) {
        const Q35Fault *f = &queue->job.fault;

        fault(queue, f->code, queue->head, f->info, f->addr);
    }
    queue->job.active = false;
    block = block_of(asic, queue);
    pthread_mutex_unlock(&asic->lock);
    /* If that fails, the registers still tell. */
    write_back(asic, queue->writeback, &block);
    pthread_mutex_lock(&asic->lock);
    if (queue->state == Q35_QUEUE_RUNNING) {
        queue->state = Q35_QUEUE_FAULTED;
        asic->faulted |= 1ull << (queue - asic->queue);
        q35_raise(asic, Q35_VECTOR_FAULT);
    }
}

static void complete(Q35Asic *asic, Q35Queue *queue)
{
    Q35Job *job = &queue->job;
    uint16_t flags = job->desc.flags;
    struct q35_hw_writeback block;
    bool written;

    q35_job_charge(&asic->config, job, &queue->counters);
    q35_job_charge(&asic->config, job, &asic->counters);
    if (flags & Q35_DESC_NOTIFY) {
        queue->seqno = job->desc.seqno;
    }
    job->active = false;
    queue->head++;
    block = block_of(asic, queue);
    pthread_mutex_unlock(&asic->lock);
    written = write_back(asic, queue->writeback, &block);
    pthread_mutex_lock(&asic->lock);
    if (queue->state != Q35_QUEUE_RUNNING) {
        return; /* reset meanwhile */
    }
    if (!written) {
        fault(queue, Q35_FAULT_RING, queue->head - 1, Q35_FAULT_WRITE, queue->writeback);
        return;
    }
    if ((flags & Q35_DESC_NOTIFY) && (flags & Q35_DESC_IRQ)) {
        q35_coalesce_notify(asic);
    }
    if (queue->head == queue->tail && !queue->fault.code) {
        queue->state = Q35_QUEUE_IDLE;
    }
}

/*
 * All parts are done. With pacing the card is as if it did one job after the other, in the
 * order in which they come here, each for as long as the time model says.
 */
static void finish(Q35Asic *asic, Q35Queue *queue)
{
    uint64_t now = asic->host.now_ns(asic->host.opaque);
    Q35Job *job = &queue->job;

    queue->busy_ns += now - job->started_ns;
    job->due_ns = now;
    if (asic->config.pace) {
        if (asic->paced_ns < job->started_ns) {
            asic->paced_ns = job->started_ns;
        }
        asic->paced_ns += q35_job_ns(&asic->config, job);
        job->due_ns = asic->paced_ns;
    }
    if (asic->defects & Q35_DEFECT_SLOW) {
        job->due_ns += Q35_SLOW_NS;
    }
    if (now >= job->due_ns) {
        complete(asic, queue);
    } else {
        pthread_cond_broadcast(&asic->work); /* somebody is to wait for that */
    }
}

/*
 * For the only worker inside: takes the job further if all parts of its round are done.
 */
static void advance(Q35Asic *asic, Q35Queue *queue)
{
    Q35Job *job = &queue->job;

    if (queue->state != Q35_QUEUE_RUNNING || queue->fault.code || job->fault.code ||
        job->hung || job->due_ns || !job->prepared || job->part < job->parts) {
        return;
    }
    if (job->round + 1 < job->rounds) {
        job->round++;
        job->part = 0;
        job->prepared = false;
    } else {
        finish(asic, queue);
    }
}

/* Wakes the other workers for a job that has work for them. */
static void share(Q35Asic *asic, const Q35Job *job)
{
    if (job->prepared && job->parts > 1) {
        pthread_cond_broadcast(&asic->work);
    }
}

static void fetch(Q35Asic *asic, Q35Queue *queue)
{
    uint32_t index = queue->head, slot = index & ((1u << queue->ring_order) - 1);
    uint64_t address = queue->ring + (uint64_t)slot * Q35_DESC_SIZE;
    Q35Job *job = &queue->job;
    uint32_t code = Q35_FAULT_RING, field = 0;
    struct q35_hw_desc desc;

    pthread_mutex_unlock(&asic->lock);
    if (read_slot(asic, address, &desc)) {
        code = q35_desc_check(&desc, &field);
    }
    pthread_mutex_lock(&asic->lock);
    if (queue->state != Q35_QUEUE_RUNNING) {
        return;
    }
    if (code) {
        fault(queue, code, index, field, code == Q35_FAULT_RING ? address : 0);
        return;
    }
    *job = (Q35Job){ .desc = desc, .active = true };
    job->started_ns = asic->host.now_ns(asic->host.opaque);
    q35_job_plan(job);
    q35_defects_job(asic, job);
    share(asic, job);
    advance(asic, queue);
}

/* Lets the worker translate in the queue's address space as it is now. */
static void enter(Q35Worker *worker, const Q35Queue *queue)
{
    const Q35Vm *vm = &worker->asic->vm[queue->vm];
    Q35Access *access = &worker->access;

    worker->entered = queue->served;
    worker->vm = queue->vm;
    access->root = vm->root;
    access->generation = vm->generation;
    access->fault = (Q35Fault){ 0 };
    access->memory_bytes = 0;
    access->link_bytes = 0;
}

static void leave(Q35Worker *worker, Q35Queue *queue, uint64_t part, bool ok)
{
    const Q35Access *access = &worker->access;
    Q35Job *job = &queue->job;

    worker->entered = 0;
    job->memory_bytes += access->memory_bytes;
    job->link_bytes += access->link_bytes;
    if (!ok && (!job->fault.code || part < job->fault_part)) {
        job->fault = access->fault;
        job->fault_part = part;
    }
}

static void prepare(Q35Worker *worker, Q35Queue *queue)
{
    Q35Asic *asic = worker->asic;
    bool ok;

    enter(worker, queue);
    pthread_mutex_unlock(&asic->lock);
    ok = q35_gemm_prepare(worker, queue);
    pthread_mutex_lock(&asic->lock);
    leave(worker, queue, 0, ok);
    queue->job.prepared = ok;
    share(asic, &queue->job);
}

static void execute_part(Q35Worker *worker, Q35Queue *queue)
{
    Q35Asic *asic = worker->asic;
    uint32_t round = queue->job.round;
    uint64_t part = queue->job.part++;
    bool ok;

    enter(worker, queue);
    pthread_mutex_unlock(&asic->lock);
    ok = q35_job_part(worker, queue, round, part);
    pthread_mutex_lock(&asic->lock);
    leave(worker, queue, part, ok);
    if (queue->workers == 1) {
        advance(asic, queue);
    }
}

bool q35_queue_workable(const Q35Asic *asic, const Q35Queue *queue)
{
    const Q35Job *job = &queue->job;

    if (queue->state != Q35_QUEUE_RUNNING) {
        return false;
    }
    if (queue->fault.code || (job->active && job->fault.code)) {
        return !queue->workers;
    }
    if (!job->active) {
        return !queue->workers && queue->head != queue->tail &&
               (asic->regs[Q35_REG_CONTROL / 4] & Q35_CONTROL_ENABLE);
    }
    if (job->hung) {
        return false;
    }
    if (job->due_ns) {
        return !queue->workers && asic->host.now_ns(asic->host.opaque) >= job->due_ns;
    }
    return job->prepared ? job->part < job->parts : !queue->workers;
}

uint64_t q35_queues_due_ns(const Q35Asic *asic)
{
    const Q35Queue *queue;
    uint64_t due = 0;

    for (queue = asic->queue; queue < asic->queue + asic->config.queues; queue++) {
        const Q35Job *job = &queue->job;

        if (queue->state == Q35_QUEUE_RUNNING && !queue->fault.code && job->active &&
            job->due_ns && (!due || job->due_ns < due)) {
            due = job->due_ns;
        }
    }
    return due;
}

static void finish_reset(Q35Asic *asic, Q35Queue *queue)
{
    if (queue->stuck) {
        return;
    }
    if (queue->job.active && queue->job.due_ns) {
        asic->paced_ns = 0; /* the array is free again, for all that comes now */
    }
    queue->state = Q35_QUEUE_DISABLED;
    queue->head = queue->tail = 0;
    queue->fault = (Q35Fault){ 0 };
    queue->fault_index = 0;
    queue->job = (Q35Job){ 0 };
    queue->seqno = queue->busy_ns = 0;
    queue->counters = (Q35Counters){ 0 };
    free(queue->scratch);
    queue->scratch = NULL;
    queue->scratch_size = 0;
    asic->faulted &= ~(1ull << (queue - asic->queue));
    q35_card_reset_finish(asic);
}

void q35_queue_work(Q35Worker *worker, Q35Queue *queue)
{
    Q35Asic *asic = worker->asic;

    queue->served = ++asic->sequence;
    queue->workers++;
    if (queue->fault.code || (queue->job.active && queue->job.fault.code)) {
        publish_fault(asic, queue);
    } else if (queue->job.active && queue->job.due_ns) {
        complete(asic, queue);
    } else if (!queue->job.active) {
        fetch(asic, queue);
    } else if (!queue->job.prepared) {
        prepare(worker, queue);
    } else {
        execute_part(worker, queue);
    }
    if (!--queue->workers && queue->state == Q35_QUEUE_RESETTING) {
        finish_reset(asic, queue);
    }
    pthread_cond_broadcast(&asic->quiet);
}

static uint64_t reg64(const Q35Queue *queue, uint32_t lo)
{
    return queue->regs[lo / 4] | (uint64_t)queue->regs[lo / 4 + 1] << 32;
}

void q35_queue_enable(Q35Asic *asic, Q35Queue *queue)
{
    if (queue->state != Q35_QUEUE_DISABLED) {
        return;
    }
    queue->state = Q35_QUEUE_IDLE;
    queue->vm = queue->regs[Q35_QREG_VM / 4];
    queue->priority = queue->regs[Q35_QREG_PRIORITY / 4];
    queue->ring_order = queue->regs[Q35_QREG_RING_ORDER / 4];
    queue->ring = reg64(queue, Q35_QREG_RING_LO);
    queue->writeback = reg64(queue, Q35_QREG_WRITEBACK_LO);
    if (queue->ring_order > Q35_RING_ORDER_MAX) {
        fault(queue, Q35_FAULT_RING, 0, 0, queue->ring);
        pthread_cond_signal(&asic->work);
    }
}

void q35_queue_reset(Q35Asic *asic, Q35Queue *queue)
{
    queue->state = Q35_QUEUE_RESETTING;
    if (!queue->workers) {
        finish_reset(asic, queue);
    }
}

void q35_queue_doorbell(Q35Asic *asic, Q35Queue *queue, uint32_t tail)
{
    if (queue->state != Q35_QUEUE_IDLE && queue->state != Q35_QUEUE_RUNNING) {
        return;
    }
    if (tail - queue->head > 1u << queue->ring_order) {
        fault(queue, Q35_FAULT_RING, queue->head, 0, queue->ring);
    } else if (!queue->fault.code) {
        queue->tail = tail;
        if (queue->head != tail) {
            queue->state = Q35_QUEUE_RUNNING;
        }
    }
    pthread_cond_signal(&asic->work);
}
