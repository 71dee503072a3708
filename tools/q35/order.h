/* SPDX-License-Identifier: MIT */
/*
 * Another order of the channels between two matrices, folded into both: rows of the one that makes
 * them change places, and columns of the one that reads them. The model computes what it did.
 *
 * Q35_S spends 4 bits on even inputs and 3 on odd ones. The more important half of the channels go to
 * the even places, each half in falling order, which also puts activations of alike size into one block.
 */
#ifndef ORDER_H
#define ORDER_H

#include <stdint.h>

#include "q35_model.h"

struct order {
	/* What is in each place; freed by order_free(). */
	uint32_t *rows; /* [kv_heads][dim], of the matrix that makes the channels */
	uint32_t *columns; /* [heads][dim], of the one that reads them */
};

/*
 * importance[heads][dim] is that of the columns. Channels stay in their head, and heads that share
 * values share an order; dim is even if there are several.
 */
int order_make(struct order *o, uint32_t heads, uint32_t kv_heads, uint32_t dim,
	       const double *importance);
void order_free(struct order *o);

/* q35_tensor_read() with rows or columns in their new places, where that is not NULL. */
int order_read(const struct q35_tensor *t, const uint32_t *rows, const uint32_t *columns,
	       uint32_t row, uint32_t count, float *out);

#endif /* ORDER_H */
