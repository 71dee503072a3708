/* SPDX-License-Identifier: MIT */
/*
 * Chooses scale and zero-point of the weights that share them. Both come back as f16 can hold them;
 * a scale of 0 says that zero alone is the best there is.
 */
#ifndef Q35_FIT_H
#define Q35_FIT_H

#include <stdint.h>

#include "q35.h"

#define Q35_FIT_CODES 1024 /* distances from zero, in codes, whose error is known */

struct q35_fit {
	enum q35_format format;
	int has_zero;
	int max_code; /* magnitude */
	int constant_code; /* what every weight decodes to in a tile of zero bits; 0: they differ */
	/* Scalar formats: what a weight adds to the mean square error that is u codes from zero. */
	float error[Q35_FIT_CODES];
	struct q35_fit_trellis {
		float log_error; /* of weights near zero */
		float reach; /* in codes; what lies beyond has errors of its own */
	} trellis; /* trellis formats */
};

void q35_fit_init(struct q35_fit *fit, enum q35_format format, const struct q35_weights *w);

/* Before encoding. -ERANGE: f16 cannot scale the codes far enough to reach the weights. */
int q35_fit(const struct q35_fit *fit, const float *weight, uint32_t count, float *scale,
	    float *zero);

/*
 * After encoding, of least squares for these codes; keeps what is already better in f16. The scale is
 * moved so many times as far as that, if the codes are to be chosen again: they have chosen for the
 * scale that they had.
 */
void q35_refit(const struct q35_fit *fit, const float *weight, const int8_t *code, uint32_t count,
	       uint32_t times, float *scale, float *zero);

#endif /* Q35_FIT_H */
