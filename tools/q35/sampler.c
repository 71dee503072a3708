// SPDX-License-Identifier: MIT
#include "sampler.h"

#include <math.h>

/* SplitMix64 (Steele, Lea, Flood 2014), as a number in [0, 1). */
static double uniform(struct sampler *s)
{
	uint64_t z = s->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return (double)(z >> 11) * 0x1p-53;
}

static double weight(const struct sampler *s, float logit, float most)
{
	return exp(((double)logit - most) / s->temperature);
}

uint32_t sampler_choose(struct sampler *s, const float *logits, size_t count)
{
	double sum = 0, target;
	uint32_t best = 0, i;

	for (i = 1; i < count; i++)
		if (logits[i] > logits[best])
			best = i;
	if (s->temperature <= 0)
		return best;
	for (i = 0; i < count; i++)
		sum += weight(s, logits[i], logits[best]);
	target = uniform(s) * sum;
	for (i = 0; i < count; i++) {
		target -= weight(s, logits[i], logits[best]);
		if (target < 0)
			return i;
	}
	return best; /* rounding has left a rest */
}
