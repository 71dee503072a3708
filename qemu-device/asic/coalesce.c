/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The completion vector, which may wait for more completions or for a while. */
#include <time.h>

#include "engine.h"

static uint64_t monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void q35_coalesce_flush(Q35Asic *asic)
{
    if (asic->notifications) {
        asic->notifications = 0;
        asic->coalesce_deadline_ns = 0;
        asic->host.raise_vector(asic->host.opaque, Q35_VECTOR_COMPLETION);
    }
}

void q35_coalesce_notify(Q35Asic *asic)
{
    uint32_t reg = asic->regs[Q35_REG_COALESCE / 4];
    uint32_t count = reg & Q35_COALESCE_COUNT, usec = (reg & Q35_COALESCE_USEC) >> 16;

    asic->notifications++;
    if (!usec || asic->notifications >= count) {
        q35_coalesce_flush(asic);
    } else if (asic->notifications == 1) {
        asic->coalesce_deadline_ns = monotonic_ns() + usec * 1000ull;
        pthread_cond_signal(&asic->coalesce);
    }
}

void *q35_coalesce_thread(void *opaque)
{
    Q35Asic *asic = opaque;
    struct timespec until;

    pthread_mutex_lock(&asic->lock);
    while (!asic->stop) {
        uint64_t deadline = asic->coalesce_deadline_ns;

        if (!deadline || asic->paused) {
            pthread_cond_wait(&asic->coalesce, &asic->lock);
        } else if (monotonic_ns() >= deadline) {
            q35_coalesce_flush(asic);
        } else {
            until.tv_sec = deadline / 1000000000;
            until.tv_nsec = deadline % 1000000000;
            pthread_cond_timedwait(&asic->coalesce, &asic->lock, &until);
        }
    }
    pthread_mutex_unlock(&asic->lock);
    return NULL;
}
