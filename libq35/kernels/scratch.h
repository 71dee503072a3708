/* SPDX-License-Identifier: MIT */
/*
 * What prepare() leaves in scratch memory for the kernels, one record a row of activations:
 *	codes	i8[k rounded up to 64], 0 past k; of each 8 inputs first the even ones, then the odd
 *		ones, because kernels decode even and odd positions apart
 *	scale	f32[segments], 0 if the row is not finite
 *	sum	i32[segments], of the segment's codes
 *	nan	u32, the row is not finite; all else is 0 then
 * A segment is the stretch of inputs over which all scales are constant. act_block and group are
 * powers of two or the whole row, so it is simply the shorter of the two.
 */
#ifndef Q35_SCRATCH_H
#define Q35_SCRATCH_H

#include "kernels.h"

struct q35_layout {
	uint32_t segment, segments; /* inputs in one (the last may have fewer), their number */
	size_t scale, sum, nan, stride; /* offsets of the parts, and from row to row */
};

static inline struct q35_layout q35_layout(const struct q35_product *p)
{
	struct q35_layout l;

	l.segment = p->k;
	if (p->act_block && p->act_block < l.segment)
		l.segment = p->act_block;
	if (p->group && p->group < l.segment)
		l.segment = p->group;
	l.segments = q35_div_up(p->k, l.segment);
	l.scale = (size_t)q35_div_up(p->k, 64) * 64;
	l.sum = l.scale + sizeof(float) * l.segments;
	l.nan = l.sum + sizeof(int32_t) * l.segments;
	/* An odd number of cache lines, so that the same inputs of all rows do not share a set. */
	l.stride = ((l.nan + sizeof(uint32_t) + 63) / 64 | 1) * 64;
	return l;
}

/* Where input j of 8 lies among them. */
static inline unsigned int q35_code_slot(unsigned int j)
{
	return j % 2 * 4 + j / 2;
}

static inline const int8_t *q35_row_codes(const struct q35_layout *l, const void *scratch,
					  uint32_t m)
{
	return (const int8_t *)scratch + m * l->stride;
}

static inline const float *q35_row_scales(const struct q35_layout *l, const void *scratch,
					  uint32_t m)
{
	return (const float *)((const char *)scratch + m * l->stride + l->scale);
}

static inline const int32_t *q35_row_sums(const struct q35_layout *l, const void *scratch,
					  uint32_t m)
{
	return (const int32_t *)((const char *)scratch + m * l->stride + l->sum);
}

static inline int q35_row_nan(const struct q35_layout *l, const void *scratch, uint32_t m)
{
	return *(const uint32_t *)((const char *)scratch + m * l->stride + l->nan) != 0;
}

#endif /* Q35_SCRATCH_H */
