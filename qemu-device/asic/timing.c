/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The time model: a roofline. A job takes as long as the slowest of the array, the device
 * memory and the link would, each at its full rate and all three overlapped. In cycles of
 * the array's clock that is
 *
 * - array: ceil(m * N * K / lanes), N and K being n and k rounded up to 64 and 8;
 * - memory: ceil(bytes * clock_mhz / (1000 * memory_gbps));
 * - link: ceil(bytes * clock_mhz / (1000 * link_gbps));
 *
 * and one at least. What goes beyond the array's own share is stalls. Each operand is
 * counted once, where it lies.
 */
#include "engine.h"
#include "format.h"

static uint64_t div_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t transfer(const Q35Config *config, uint64_t bytes, uint32_t gbps)
{
    return div_up(bytes * config->clock_mhz, 1000ull * gbps);
}

static uint64_t array_cycles(const Q35Config *config, const Q35Job *job)
{
    const struct q35_hw_gemm *g = &job->desc.gemm;

    return job->desc.op != Q35_OP_GEMM ?
               0 :
               div_up((uint64_t)g->m * q35_div_up(g->n, Q35_BLOCK_N) * Q35_BLOCK_N *
                          q35_div_up(g->k, Q35_TILE_K) * Q35_TILE_K,
                      config->lanes);
}

static uint64_t job_cycles(const Q35Config *config, const Q35Job *job)
{
    uint64_t memory = transfer(config, job->memory_bytes, config->memory_gbps);
    uint64_t link = transfer(config, job->link_bytes, config->link_gbps);

    return max(max(array_cycles(config, job), 1), max(memory, link));
}

uint64_t q35_timing_ns(const Q35Config *config, const Q35Job *job)
{
    return div_up(job_cycles(config, job) * 1000, config->clock_mhz);
}

void q35_timing_charge(const Q35Config *config, const Q35Job *job, Q35Counters *counters)
{
    const struct q35_hw_gemm *g = &job->desc.gemm;
    uint64_t *value = counters->value;
    uint64_t cycles = job_cycles(config, job);

    if (job->desc.op == Q35_OP_GEMM) {
        value[Q35_MACS] += (uint64_t)g->m * g->n * g->k;
    }
    value[Q35_CYCLES] += cycles;
    value[Q35_STALLS] += cycles - array_cycles(config, job);
    value[Q35_MEMORY_BYTES] += job->memory_bytes;
    value[Q35_LINK_BYTES] += job->link_bytes;
    value[Q35_JOBS]++;
}
