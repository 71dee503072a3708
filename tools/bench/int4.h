/* SPDX-License-Identifier: MIT */
/*
 * The peer to beat: per-column INT4, 4 bits a weight and an fp16 scale a column, with as much care as
 * libq35's own kernels have had: weights in the order in which they are read, the same activations
 * (prepare() of q35_kernels), and the very loops of the AVX-512 kernel (avx512_gemm.h).
 *
 * codes[ceil(n/64)][ceil(k/8)][4][64]: of 64 outputs, 16 in each of 4 vectors; a 32-bit lane is an
 * output, byte i of it has input 2 i in its low nibble and 2 i + 1 in the high one, plus 8 each.
 * Padding is 0x88. scales: fp16 [n rounded up to 64].
 */
#ifndef INT4_H
#define INT4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

#define INT4_BLOCK_BYTES 256 /* 64 outputs x 8 inputs */

static inline size_t int4_codes_size(uint32_t n, uint32_t k)
{
	return (size_t)q35_div_up(n, 64) * q35_div_up(k, 8) * INT4_BLOCK_BYTES;
}

bool int4_supported(void);

/*
 * Outputs 64 b0 … 64 b1 - 1. p has no groups and no zero-points; its tiles and meta do not count. scratch is
 * what prepare() made of p.
 */
void int4_gemm(const struct q35_product *p, const void *scratch, const uint8_t *codes,
	       const uint16_t *scales, uint32_t b0, uint32_t b1);

/* Against plain loops, on a small problem of awkward size. */
bool int4_agrees(void);

#endif /* INT4_H */
