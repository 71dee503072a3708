/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The card's life and its workers. A worker that is free takes a step of the workable
 * queue with the highest priority; among equals of the one with the fewest workers, then
 * of the one that has waited longest. So a queue of higher priority waits for no more
 * than a part of a lower one, and queues of one priority share the card evenly.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "engine.h"
#include "kernels.h"

static bool before(const Q35Queue *a, const Q35Queue *b)
{
    if (a->priority != b->priority) {
        return a->priority > b->priority;
    }
    if (a->workers != b->workers) {
        return a->workers < b->workers;
    }
    return a->served < b->served;
}

static Q35Queue *pick(Q35Asic *asic)
{
    Q35Queue *best = NULL, *queue;

    if (asic->paused || (asic->defects & Q35_DEFECTS_GONE)) {
        return NULL;
    }
    for (queue = asic->queue; queue < asic->queue + asic->config.queues; queue++) {
        if (q35_queue_workable(asic, queue) && (!best || before(queue, best))) {
            best = queue;
        }
    }
    return best;
}

/* Until somebody says that there is something to do, or a job is due. */
static void wait_for_work(Q35Asic *asic)
{
    uint64_t due = q35_queues_due_ns(asic), now = asic->host.now_ns(asic->host.opaque);
    bool halted = asic->paused || (asic->defects & Q35_DEFECTS_GONE);
    struct timespec until;

    if (!due || halted) {
        pthread_cond_wait(&asic->work, &asic->lock);
    } else if (now < due) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (due - now) / 1000000000;
        until.tv_nsec += (due - now) % 1000000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&asic->work, &asic->lock, &until);
    }
}

static void *worker_thread(void *opaque)
{
    Q35Worker *worker = opaque;
    Q35Asic *asic = worker->asic;
    Q35Queue *queue;

    if (asic->host.thread_enter) {
        asic->host.thread_enter(asic->host.opaque);
    }
    pthread_mutex_lock(&asic->lock);
    while (!asic->stop) {
        queue = pick(asic);
        if (queue) {
            q35_queue_work(worker, queue);
        } else {
            wait_for_work(asic);
        }
    }
    pthread_mutex_unlock(&asic->lock);
    if (asic->host.thread_leave) {
        asic->host.thread_leave(asic->host.opaque);
    }
    return NULL;
}

uint64_t q35_time_ns(const Q35Asic *asic)
{
    return asic->host.now_ns(asic->host.opaque) - asic->time_base_ns;
}

void q35_card_reset_finish(Q35Asic *asic)
{
    uint32_t i;

    if (!asic->resetting || asic->stuck) {
        return;
    }
    for (i = 0; i < asic->config.queues; i++) {
        if (asic->queue[i].state != Q35_QUEUE_DISABLED) {
            return;
        }
    }
    q35_regs_reset(asic);
    asic->resetting = false;
    pthread_cond_broadcast(&asic->quiet);
}

void q35_card_reset(Q35Asic *asic)
{
    uint32_t i;

    asic->resetting = true;
    for (i = 0; i < asic->config.queues; i++) {
        asic->queue[i].stuck = false;
        if (asic->queue[i].state != Q35_QUEUE_DISABLED) {
            q35_queue_reset(asic, &asic->queue[i]);
        }
    }
    q35_card_reset_finish(asic);
}

/* Until a worker has left a queue, more or less: with the lock held. */
static void wait_for_workers(Q35Asic *asic)
{
    if (!asic->called_on) {
        pthread_cond_wait(&asic->quiet, &asic->lock);
        return;
    }
    asic->called_on = false;
    pthread_mutex_unlock(&asic->lock);
    asic->host.attend(asic->host.opaque);
    pthread_mutex_lock(&asic->lock);
}

void q35_asic_call_on(Q35Asic *asic)
{
    pthread_mutex_lock(&asic->lock);
    asic->called_on = true;
    pthread_cond_broadcast(&asic->quiet);
    pthread_mutex_unlock(&asic->lock);
}

void q35_asic_reset(Q35Asic *asic)
{
    pthread_mutex_lock(&asic->lock);
    asic->stuck = false;
    q35_card_reset(asic);
    while (asic->resetting) {
        wait_for_workers(asic);
    }
    pthread_mutex_unlock(&asic->lock);
}

static bool busy(const Q35Asic *asic)
{
    uint32_t i;

    for (i = 0; i < asic->config.queues; i++) {
        if (asic->queue[i].workers) {
            return true;
        }
    }
    return false;
}

void q35_asic_pause(Q35Asic *asic)
{
    pthread_mutex_lock(&asic->lock);
    asic->paused = true;
    while (busy(asic)) {
        wait_for_workers(asic);
    }
    pthread_mutex_unlock(&asic->lock);
}

void q35_asic_resume(Q35Asic *asic)
{
    pthread_mutex_lock(&asic->lock);
    asic->paused = false;
    pthread_cond_broadcast(&asic->work);
    pthread_cond_broadcast(&asic->coalesce);
    pthread_mutex_unlock(&asic->lock);
}

static bool restore_queue(Q35Queue *queue)
{
    Q35Job *job = &queue->job, saved = *job;
    uint32_t field;

    if (queue->state > Q35_QUEUE_RESETTING || queue->vm >= Q35_VMS || queue->priority > 3) {
        return false;
    }
    if (!queue->fault.code && (queue->ring_order > Q35_RING_ORDER_MAX ||
                               queue->tail - queue->head > 1u << queue->ring_order)) {
        return false;
    }
    queue->stuck = queue->state == Q35_QUEUE_RESETTING; /* else it would be done */
    if (!job->active) {
        return true;
    }
    if (q35_desc_check(&job->desc, &field)) {
        return false;
    }
    q35_job_plan(job);
    return saved.round < job->rounds && saved.part <= job->parts &&
           (saved.part < job->parts || saved.fault.code || saved.due_ns);
}

bool q35_asic_restored(Q35Asic *asic)
{
    bool good = true;
    uint32_t i;

    pthread_mutex_lock(&asic->lock);
    q35_regs_restored(asic);
    for (i = 0; i < asic->config.queues; i++) {
        good = good && restore_queue(&asic->queue[i]);
    }
    for (i = 0; i < Q35_VMS; i++) {
        asic->vm[i].generation = ++asic->generation;
    }
    if (asic->notifications) {
        q35_coalesce_flush(asic);
    }
    pthread_mutex_unlock(&asic->lock);
    if (!good) {
        q35_asic_reset(asic);
    }
    return good;
}

/* In the host's signal handling the card's threads have no part. */
static int start_thread(pthread_t *thread, void *(*run)(void *), void *opaque)
{
    sigset_t all, old;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = -pthread_create(thread, NULL, run, opaque);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

static int start_worker(Q35Asic *asic, uint32_t i)
{
    Q35Worker *worker = calloc(1, sizeof(*worker));
    int err;

    if (!worker) {
        return -ENOMEM;
    }
    worker->asic = asic;
    worker->access.asic = asic;
    err = start_thread(&worker->thread, worker_thread, worker);
    if (err) {
        free(worker);
        return err;
    }
    asic->worker[i] = worker;
    return 0;
}

static void stop_workers(Q35Asic *asic)
{
    uint32_t i, b;

    pthread_mutex_lock(&asic->lock);
    asic->stop = true;
    pthread_cond_broadcast(&asic->work);
    pthread_cond_broadcast(&asic->coalesce);
    pthread_mutex_unlock(&asic->lock);
    for (i = 0; i < Q35_THREADS_MAX && asic->worker[i]; i++) {
        pthread_join(asic->worker[i]->thread, NULL);
        for (b = 0; b < Q35_BUFFERS; b++) {
            free(asic->worker[i]->buffer[b]);
        }
        free(asic->worker[i]);
        asic->worker[i] = NULL;
    }
}

static void destroy_locks(Q35Asic *asic)
{
    uint32_t i;

    for (i = 0; i < Q35_QUEUES_MAX; i++) {
        free(asic->queue[i].scratch);
    }
    pthread_cond_destroy(&asic->coalesce);
    pthread_cond_destroy(&asic->quiet);
    pthread_cond_destroy(&asic->work);
    pthread_mutex_destroy(&asic->lock);
}

int q35_asic_init(Q35Asic *asic, const Q35Config *config, const Q35Host *host)
{
    pthread_condattr_t monotonic;
    uint32_t i;
    int err;

    *asic = (Q35Asic){
        .config = *config,
        .host = *host,
        .defects = config->defects,
        .kernels = q35_kernels_get(),
    };
    if (!asic->kernels) {
        return -EINVAL;
    }
    pthread_mutex_init(&asic->lock, NULL);
    pthread_cond_init(&asic->quiet, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&asic->work, &monotonic);
    pthread_cond_init(&asic->coalesce, &monotonic);
    pthread_condattr_destroy(&monotonic);
    q35_regs_reset(asic);

    err = start_thread(&asic->coalescer, q35_coalesce_thread, asic);
    if (err) {
        destroy_locks(asic);
        return err;
    }
    for (i = 0; i < config->threads && !err; i++) {
        err = start_worker(asic, i);
    }
    if (err) {
        q35_asic_destroy(asic);
    }
    return err;
}

void q35_asic_destroy(Q35Asic *asic)
{
    q35_asic_pause(asic);
    stop_workers(asic);
    pthread_join(asic->coalescer, NULL);
    destroy_locks(asic);
}
