// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "scratch.h"

static const struct q35_kernels *const all[] = {
	&q35_kernels_ref,
#if defined(__x86_64__)
	&q35_kernels_avx2,
	&q35_kernels_avx512,
#endif
	NULL,
};

size_t q35_scratch_size(const struct q35_product *p)
{
	return p->m * q35_layout(p).stride;
}

const struct q35_kernels *const *q35_kernels_all(void)
{
	return all;
}

const struct q35_kernels *q35_kernels_get(void)
{
	const struct q35_kernels *const *k, *best = NULL;
	const char *name = getenv("Q35_ISA");

	for (k = all; *k; k++)
		if ((*k)->supported() && (!name || !*name || !strcmp(name, (*k)->name)))
			best = *k;
	return best;
}
