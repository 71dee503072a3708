/* SPDX-License-Identifier: MIT */
#ifndef Q35_CODEBOOK_H
#define Q35_CODEBOOK_H

#include "q35.h"

/* What a window decodes to in each format: even table, odd table. */
const int8_t *q35_codebook(enum q35_format format);

#endif /* Q35_CODEBOOK_H */
