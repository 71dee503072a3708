// SPDX-License-Identifier: MIT
#include "openblas.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "bench.h"

enum cblas { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

static struct {
	char *(*get_corename)(void);
	void (*set_num_threads)(int threads);
	void (*sgemv)(int order, int trans, int m, int n, float alpha, const float *a, int lda,
		      const float *x, int incx, float beta, float *y, int incy);
	void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
		      const float *a, int lda, const float *b, int ldb, float beta, float *c,
		      int ldc);
} blas;

bool openblas_open(void)
{
	void *library;

	unsetenv("OPENBLAS_CORETYPE");
	/* Its threads are to sleep soon (2^4 cycles) when they have nothing to do: others run then. */
	setenv("OPENBLAS_THREAD_TIMEOUT", "4", 1);
	library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fail("no OpenBLAS to compare with: apt install libopenblas0-pthread");
		return false;
	}
	*(void **)&blas.get_corename = dlsym(library, "openblas_get_corename");
	*(void **)&blas.set_num_threads = dlsym(library, "openblas_set_num_threads");
	*(void **)&blas.sgemv = dlsym(library, "cblas_sgemv");
	*(void **)&blas.sgemm = dlsym(library, "cblas_sgemm");
	if (blas.get_corename && blas.set_num_threads && blas.sgemv && blas.sgemm)
		return true;
	fail("this libopenblas.so.0 lacks functions that are needed");
	dlclose(library);
	return false;
}

const char *openblas_kernels(void)
{
	return blas.get_corename();
}

void openblas_set_threads(unsigned int threads)
{
	blas.set_num_threads((int)threads);
}

void openblas_multiply(uint32_t m, uint32_t n, uint32_t k, const float *x, const float *w, float *y)
{
	if (m == 1)
		blas.sgemv(ROW_MAJOR, NO_TRANS, (int)n, (int)k, 1, w, (int)k, x, 1, 0, y, 1);
	else
		blas.sgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)m, (int)n, (int)k, 1, x, (int)k, w,
			   (int)k, 0, y, (int)n);
}
