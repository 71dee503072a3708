/* SPDX-License-Identifier: MIT */
/*
 * The dequant-GEMM kernels. ref.c is the definition of the arithmetic in format.h; every other
 * implementation gives the same bits. Used by libq35's CPU backend and by the card model; no
 * allocation, no libm, no I/O, thread-safe throughout.
 *
 * One product is done in two steps, so that threads can share it:
 *	1. kernels->prepare() quantizes rows of the activations into scratch memory, once;
 *	2. kernels->gemm() computes any range of 64-output blocks from it.
 */
#ifndef Q35_KERNELS_H
#define Q35_KERNELS_H

#include "format.h"

/* A product with all its operands in host memory; fields as in struct q35_hw_gemm. */
struct q35_product {
	uint32_t m, n, k;
	uint16_t act_block, group;
	uint8_t x_type, aux_type, y_type;
	uint8_t activation, combine, meta_flags;
	size_t x_stride, aux_stride, y_stride;
	const void *x;
	const float *x_scale; /* I8 only */
	const uint8_t *tiles;
	const void *meta;
	const int8_t *codebook; /* 512 */
	const float *bias; /* or NULL */
	const void *aux; /* or NULL */
	void *y;
};

/*
 * Bytes of scratch that prepare() fills; the pointer must be 64-byte aligned. What is in it
 * depends on m, k, act_block, group and the activations alone: products that differ in n, outputs
 * and epilogue may share it, as the card does to divide one.
 */
size_t q35_scratch_size(const struct q35_product *p);

struct q35_kernels {
	const char *name; /* "ref", "avx2", "avx512" */
	int (*supported)(void); /* on this processor */
	/* Quantizes activation rows m0 … m1 - 1. Rows may be prepared by several threads. */
	void (*prepare)(const struct q35_product *p, void *scratch, uint32_t m0, uint32_t m1);
	/*
	 * Outputs 64 * b0 … 64 * b1 - 1 (those < n) of all m rows. tiles points at the tiles of
	 * block b0, which need not lie with the rest of p->tiles.
	 */
	void (*gemm)(const struct q35_product *p, const void *scratch, const uint8_t *tiles,
		     uint32_t b0, uint32_t b1);
};

extern const struct q35_kernels q35_kernels_ref, q35_kernels_avx2, q35_kernels_avx512;

/* Whether the AVX2 kernels decode a codebook by shuffles, the quicker way, on a processor that has them. */
int q35_avx2_shuffles(const int8_t codebook[Q35_CODEBOOK_BYTES]);

/*
 * The fastest kernels that this processor supports, or those that $Q35_ISA names; NULL if it names
 * none, or ones that the processor lacks. Asking the processor takes long in a virtual machine: keep
 * the answer. q35_kernels_all() is the NULL-terminated list, slowest first.
 */
const struct q35_kernels *q35_kernels_get(void);
const struct q35_kernels *const *q35_kernels_all(void);

/* Bias, activation, combination and rounding of one row's outputs n0 … n0 + count - 1; acc is step
 * 3's sum. nan: the row of activations was not finite.
 */
void q35_epilogue(const struct q35_product *p, uint32_t m, uint32_t n0, uint32_t count,
		  const float *acc, int nan);

/* Conversions, exact or rounded half to even; NaN stays NaN. */
float q35_f16_to_f32(uint16_t h);
uint16_t q35_f32_to_f16(float f);
float q35_bf16_to_f32(uint16_t h);
uint16_t q35_f32_to_bf16(float f);

/* Elements k … k + count - 1 of a row of f32, f16 or bf16 (enum q35_hw_type) as f32. */
void q35_widen(uint8_t type, const void *x, uint32_t k, uint32_t count, float *out);

#endif /* Q35_KERNELS_H */
