// SPDX-License-Identifier: MIT
/*
 * Conversions against the compiler's, activations against libm, and the tile's layout against the
 * constants that describe it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

#include "kselftest_harness.h"

static uint32_t bits_of(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

static float from_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static float widen(uint16_t h)
{
	_Float16 f;

	memcpy(&f, &h, sizeof(f));
	return f;
}

static uint16_t narrow(float f)
{
	_Float16 h = f;
	uint16_t u;

	memcpy(&u, &h, sizeof(u));
	return u;
}

TEST(every_f16_and_bf16_widens_exactly_and_comes_back)
{
	for (uint32_t h = 0; h < 0x10000; h++) {
		float f = q35_f16_to_f32(h), b = q35_bf16_to_f32(h);

		ASSERT_EQ(bits_of(widen(h)), bits_of(f));
		ASSERT_EQ(h << 16, bits_of(b));
		/* A signalling NaN comes back quiet. */
		ASSERT_EQ(isnan(f) ? h | 0x200 : h, q35_f32_to_f16(f));
		ASSERT_EQ(isnan(b) ? h | 0x40 : h, q35_f32_to_bf16(b));
	}
}

/* Between two neighbours that differ by one unit, towards the even one at the middle. */
static uint16_t nearest_bf16(float f)
{
	uint32_t u = bits_of(f), low = u & 0xffff0000, rest = u & 0xffff;

	if (rest > 0x8000 || (rest == 0x8000 && (low & 0x10000)))
		low += 0x10000;
	return low >> 16;
}

TEST(narrowing_rounds_half_to_even)
{
	/* All values of the upper bits with the rests that decide: 0, 1, half and its neighbours. */
	static const uint32_t rest[] = {0, 1, 0xfff, 0x1000, 0x1001, 0x1fff};

	for (uint64_t u = 0; u < 1ull << 32; u += 0x2000) {
		for (unsigned int i = 0; i < ARRAY_SIZE(rest); i++) {
			float f = from_bits(u | rest[i]);

			if (isnan(f))
				continue;
			ASSERT_EQ(narrow(f), q35_f32_to_f16(f));
		}
	}
	for (uint64_t u = 0; u < 1ull << 32; u += 0x1001) {
		float f = from_bits(u);

		if (!isnan(f)) {
			ASSERT_EQ(narrow(f), q35_f32_to_f16(f));
			ASSERT_EQ(nearest_bf16(f), q35_f32_to_bf16(f));
		}
	}
}

static float activate(uint8_t activation, float x)
{
	float y;
	struct q35_product p = {
		.m = 1, .n = 1, .k = 1, .activation = activation, .y = &y, .y_stride = sizeof(y)};

	q35_epilogue(&p, 0, 0, 1, &x, 0);
	return y;
}

/* In units of the last place of the true value. */
static double ulps(double y, double truth)
{
	return fabs(y - truth) / ldexp(1, ilogb(truth) - 23);
}

TEST(silu_is_within_4_ulp_of_libm)
{
	double worst = 0;

	for (float x = -81.99f; x < 90; x += 0x1p-10f) {
		if (x == 0)
			continue;
		worst = fmax(worst, ulps(activate(Q35_HW_ACT_SILU, x), x / (1 + exp(-(double)x))));
	}
	EXPECT_LT(worst, 4);
	EXPECT_GT(worst, 0.5); /* it has been measured at all */
}

TEST(gelu_is_within_1e_6_of_its_argument_of_libm)
{
	double worst = 0;

	for (float x = -20; x < 20; x += 0x1p-12f) {
		double u = sqrt(2 / M_PI) * (x + 0.044715 * x * (double)x * x);
		double truth = 0.5 * x * (1 + tanh(u));

		worst = fmax(worst,
			     fabs(activate(Q35_HW_ACT_GELU, x) - truth) / (fabs(x) + 0x1p-100));
	}
	EXPECT_LT(worst, 1e-6);
}

TEST(activations_are_defined_at_the_ends)
{
	static const uint8_t all[] = {Q35_HW_ACT_NONE, Q35_HW_ACT_RELU, Q35_HW_ACT_SILU,
				      Q35_HW_ACT_GELU};

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		EXPECT_EQ(0x7fc00000, bits_of(activate(all[i], from_bits(0xffc12345))));
		EXPECT_EQ(INFINITY, activate(all[i], INFINITY));
		EXPECT_EQ(i ? 0 : -INFINITY, activate(all[i], -INFINITY));
		EXPECT_EQ(i ? 0 : -3e38f, activate(all[i], -3e38f));
		EXPECT_EQ(3e38f, activate(all[i], 3e38f));
		EXPECT_EQ(0, activate(all[i], 0));
	}
	EXPECT_EQ(0, bits_of(activate(Q35_HW_ACT_RELU, -0.0f)));
}

TEST(epilogue_applies_bias_activation_and_aux_in_this_order)
{
	const float acc[2] = {-3, 5}, bias[2] = {1, 2}, aux[2] = {10, -4};
	float y[2];
	struct q35_product p = {.m = 1,
				.n = 2,
				.k = 1,
				.bias = bias,
				.aux = aux,
				.y = y,
				.activation = Q35_HW_ACT_RELU,
				.combine = Q35_HW_COMBINE_MUL};

	q35_epilogue(&p, 0, 0, 2, acc, 0);
	EXPECT_EQ(0, y[0]);
	EXPECT_EQ(-28, y[1]);
	p.combine = Q35_HW_COMBINE_ADD;
	q35_epilogue(&p, 0, 0, 2, acc, 0);
	EXPECT_EQ(10, y[0]);
	EXPECT_EQ(3, y[1]);
	q35_epilogue(&p, 0, 0, 2, acc, 1);
	EXPECT_EQ(0x7fc00000, bits_of(y[0]));
}

TEST(a_window_is_the_newest_8_bits_of_a_circular_stream)
{
	/* Every code names its own window, so the stream can be read off. */
	int8_t codebook[Q35_CODEBOOK_BYTES], code[Q35_TILE_WEIGHTS];
	uint8_t tile[Q35_TILE_BYTES] = {0};

	for (unsigned int w = 0; w < Q35_CODEBOOK_BYTES; w++)
		codebook[w] = (int8_t)w;
	for (unsigned int b = 0; b < Q35_TILE_BITS; b++) {
		tile[b / 8] = 1 << b % 8;
		q35_decode_tile(tile, codebook, code);
		for (unsigned int i = 0; i < Q35_TILE_WEIGHTS; i++) {
			unsigned int end = i / 2 * (Q35_EVEN_BITS + Q35_ODD_BITS) +
					   (i % 2 ? 7 : Q35_EVEN_BITS);
			unsigned int age = (end + Q35_TILE_BITS - 1 - b) % Q35_TILE_BITS;

			ASSERT_EQ(age < Q35_WINDOW_BITS ? 1u << age : 0, (uint8_t)code[i]);
		}
		tile[b / 8] = 0;
	}
}

TEST_HARNESS_MAIN
