// SPDX-License-Identifier: MIT
/* One source of each loop, compiled for each kind of vector: the same operations in the same order. */
#include "exact.h"

#include <string.h>

#include "calibrate.h"
#include "kernels.h"

#define SIDE Q35_LOOP_SIDE
#define INLINE static inline __attribute__((always_inline))

INLINE void moments(const float a[SIDE][SIDE], const float b[SIDE][SIDE], uint32_t column,
		    float sum[SIDE])
{
	float s[SIDE] = {0};
	uint32_t i, j;

	for (i = 0; i < SIDE; i++)
		for (j = 0; j < SIDE; j++)
			s[j] += a[i][column] * b[i][j];
	memcpy(sum, s, sizeof(s));
}

INLINE void add(const float *restrict a, const float *restrict b, size_t stride, uint32_t count,
		float *restrict y)
{
	uint32_t j;
	float s;
	int i;

	for (j = 0; j < count; j++) {
		s = y[j];
#pragma GCC unroll 8
		for (i = 0; i < 8; i++)
			s += a[i] * b[i * stride + j];
		y[j] = s;
	}
}

INLINE void subtract(const double *restrict a, const double *restrict b, size_t stride,
		     uint32_t count, double *restrict y)
{
	uint32_t j;
	double s;
	int i;

	for (j = 0; j < count; j++) {
		s = y[j];
#pragma GCC unroll 8
		for (i = 0; i < 8; i++)
			s -= a[i] * b[i * stride + j];
		y[j] = s;
	}
}

#define LOOPS(isa, target)                                                                     \
	target static void moments_##isa(const float a[SIDE][SIDE], const float b[SIDE][SIDE], \
					 uint32_t column, float sum[SIDE])                     \
	{                                                                                      \
		moments(a, b, column, sum);                                                    \
	}                                                                                      \
	target static void add_##isa(const float *a, const float *b, size_t stride,            \
				     uint32_t count, float *y)                                 \
	{                                                                                      \
		add(a, b, stride, count, y);                                                   \
	}                                                                                      \
	target static void subtract_##isa(const double *a, const double *b, size_t stride,     \
					  uint32_t count, double *y)                           \
	{                                                                                      \
		subtract(a, b, stride, count, y);                                              \
	}                                                                                      \
	static const struct q35_loops loops_##isa = {#isa, moments_##isa, add_##isa, subtract_##isa}

LOOPS(ref, );
#if defined(__x86_64__)
LOOPS(avx2, __attribute__((target("avx2"))));
LOOPS(avx512, __attribute__((target("avx512f,prefer-vector-width=512"))));
#endif

const struct q35_loops *q35_loops_get(void)
{
	static const struct q35_loops *const all[] = {
		&loops_ref,
#if defined(__x86_64__)
		&loops_avx2,
		&loops_avx512,
#endif
	};
	const struct q35_kernels *kernels = q35_kernels_get();
	size_t i;

	for (i = 1; kernels && i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i]->isa, kernels->name))
			return all[i];
	return &loops_ref;
}
