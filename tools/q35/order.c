// SPDX-License-Identifier: MIT
#include "order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct channel {
	double importance;
	uint32_t index;
};

static int compare(const void *a, const void *b)
{
	const struct channel *left = a, *right = b;

	if (left->importance != right->importance)
		return left->importance > right->importance ? -1 : 1;
	return left->index < right->index ? -1 : 1;
}

/* Of the channels of one head that shares its values with group - 1 others. */
static void order_head(const double *importance, uint32_t group, uint32_t dim,
		       struct channel *channels)
{
	uint32_t i, h;

	for (i = 0; i < dim; i++) {
		channels[i] = (struct channel){.index = i};
		for (h = 0; h < group; h++)
			channels[i].importance += importance[(size_t)h * dim + i];
	}
	qsort(channels, dim, sizeof(*channels), compare);
}

int order_make(struct order *o, uint32_t heads, uint32_t kv_heads, uint32_t dim,
	       const double *importance)
{
	const uint32_t group = heads / kv_heads, half = (dim + 1) / 2;
	struct channel *channels = calloc(dim, sizeof(*channels));
	uint32_t head, h, rank, place;

	o->rows = calloc((size_t)kv_heads * dim, sizeof(*o->rows));
	o->columns = calloc((size_t)heads * dim, sizeof(*o->columns));
	if (!channels || !o->rows || !o->columns) {
		free(channels);
		order_free(o);
		return fail("out of memory");
	}
	for (head = 0; head < kv_heads; head++) {
		order_head(importance + (size_t)head * group * dim, group, dim, channels);
		for (rank = 0; rank < dim; rank++) {
			place = rank < half ? 2 * rank : 2 * (rank - half) + 1;
			o->rows[head * dim + place] = head * dim + channels[rank].index;
			for (h = head * group; h < (head + 1) * group; h++)
				o->columns[h * dim + place] = h * dim + channels[rank].index;
		}
	}
	free(channels);
	return DONE;
}

void order_free(struct order *o)
{
	free(o->rows);
	free(o->columns);
	*o = (struct order){0};
}

int order_read(const struct q35_tensor *t, const uint32_t *rows, const uint32_t *columns,
	       uint32_t row, uint32_t count, float *out)
{
	const size_t k = t->shape[1];
	float *old = columns ? calloc(k, sizeof(*old)) : NULL;
	uint32_t i;
	size_t j;
	int ret = columns && !old ? -ENOMEM : 0;

	for (i = 0; i < count && !ret; i++, out += k) {
		ret = q35_tensor_read(t, rows ? rows[row + i] : row + i, 1, out);
		if (columns && !ret) {
			memcpy(old, out, k * sizeof(*old));
			for (j = 0; j < k; j++)
				out[j] = old[columns[j]];
		}
	}
	free(old);
	return ret;
}
