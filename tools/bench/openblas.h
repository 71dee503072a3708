/* SPDX-License-Identifier: MIT */
/* OpenBLAS, if it is installed: single precision. */
#ifndef OPENBLAS_H
#define OPENBLAS_H

#include <stdbool.h>
#include <stdint.h>

/* Loads it with the kernels that it picks itself. False, with a line on stderr: not there. */
bool openblas_open(void);
const char *openblas_kernels(void); /* what it has picked */
void openblas_set_threads(unsigned int threads);

/* y[m][n] = x[m][k] * w[n][k]^T */
void openblas_multiply(uint32_t m, uint32_t n, uint32_t k, const float *x, const float *w,
		       float *y);

#endif /* OPENBLAS_H */
