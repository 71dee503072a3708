/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts. The completion vector may wait for more completions or for a while; defects
 * lose, repeat and invent interrupts.
 */
#include <time.h>

#include "engine.h"

static uint64_t monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

#define ECHO_NS 1000000 /* after an interrupt, its duplicate */
#define SPURIOUS_NS 10000000 /* between interrupts for no reason */

void q35_raise(Q35Asic *asic, unsigned vector)
{
    if (asic->defects & (Q35_DEFECT_LOST_IRQ | Q35_DEFECTS_GONE)) {
        return;
    }
    asic->host.raise_vector(asic->host.opaque, vector);
    if (asic->defects & Q35_DEFECT_DUPLICATE_IRQ) {
        asic->echo |= 1u << vector;
        asic->echo_deadline_ns = monotonic_ns() + ECHO_NS;
        pthread_cond_signal(&asic->coalesce);
    }
}

static void raise_echo(Q35Asic *asic)
{
    unsigned vector;

    for (vector = 0; vector < Q35_VECTORS; vector++) {
        if ((asic->echo & 1u << vector) && !(asic->defects & Q35_DEFECTS_GONE)) {
            asic->host.raise_vector(asic->host.opaque, vector);
        }
    }
    asic->echo = 0;
    asic->echo_deadline_ns = 0;
}

void q35_coalesce_flush(Q35Asic *asic)
{
    if (asic->notifications) {
        asic->notifications = 0;
        asic->coalesce_deadline_ns = 0;
        q35_raise(asic, Q35_VECTOR_COMPLETION);
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
        uint64_t flush = asic->coalesce_deadline_ns, deadline = flush;

        if ((asic->defects & Q35_DEFECT_SPURIOUS_IRQ) && !asic->echo_deadline_ns) {
            asic->echo = (1u << Q35_VECTORS) - 1;
            asic->echo_deadline_ns = monotonic_ns() + SPURIOUS_NS;
        }
        if (asic->echo_deadline_ns && (!flush || asic->echo_deadline_ns < flush)) {
            deadline = asic->echo_deadline_ns;
        }
        if (!deadline || asic->paused) {
            pthread_cond_wait(&asic->coalesce, &asic->lock);
        } else if (monotonic_ns() >= deadline) {
            if (deadline == flush) {
                q35_coalesce_flush(asic);
            } else {
                raise_echo(asic);
            }
        } else {
            until.tv_sec = deadline / 1000000000;
            until.tv_nsec = deadline % 1000000000;
            pthread_cond_timedwait(&asic->coalesce, &asic->lock, &until);
        }
    }
    pthread_mutex_unlock(&asic->lock);
    return NULL;
}
