/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The card's side of the time model: libq35/kernels/timing.h has the formula, here it is
 * given what a job has done.
 */
#include "engine.h"
#include "timing.h"

static struct q35_timing_cycles cycles_of(const Q35Config *config, const Q35Job *job)
{
    struct q35_timing_job done = {
        .memory_bytes = job->memory_bytes,
        .link_bytes = job->link_bytes,
    };

    if (job->desc.op == Q35_OP_GEMM) {
        done.m = job->desc.gemm.m;
        done.n = job->desc.gemm.n;
        done.k = job->desc.gemm.k;
    }
    return q35_timing_cycles(&config->timing, &done);
}

uint64_t q35_job_ns(const Q35Config *config, const Q35Job *job)
{
    return q35_timing_ns(&config->timing, cycles_of(config, job).total);
}

void q35_job_charge(const Q35Config *config, const Q35Job *job, Q35Counters *counters)
{
    const struct q35_hw_gemm *g = &job->desc.gemm;
    struct q35_timing_cycles cycles = cycles_of(config, job);
    uint64_t *value = counters->value;

    if (job->desc.op == Q35_OP_GEMM) {
        value[Q35_MACS] += (uint64_t)g->m * g->n * g->k;
    }
    value[Q35_CYCLES] += cycles.total;
    value[Q35_STALLS] += cycles.stalls;
    value[Q35_MEMORY_BYTES] += job->memory_bytes;
    value[Q35_LINK_BYTES] += job->link_bytes;
    value[Q35_JOBS]++;
}
