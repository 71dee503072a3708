// SPDX-License-Identifier: MIT
/*
 * Q35_T8: start from value_p[w] = 1.16 invPhi(((c_p * w mod 256) + 1/2) / 256) standard
 * deviations of 35 codes, c = (55, 159), invPhi the inverse of the normal distribution function:
 * neighbouring states offer interleaved levels. (Of all pairs of odd factors these serve best.)
 * Then Lloyd's iteration: encode random normal numbers, move every window's level to the mean of
 * those that it stood for. tests/unit/quantize.c repeats a step of it.
 *
 * Q35_S_MINMAX: 16 even and 8 odd levels at equal distances over the same range, +-105, the largest
 * for which both are integers. Q35_S_LLOYD: the levels of least mean square error for the normal
 * distribution (J. Max, "Quantizing for minimum distortion", 1960), times 41.1 and rounded: of
 * all factors within int8 the one that rounding harms least.
 */
#include "codebook.h"

#define TWICE(...) __VA_ARGS__, __VA_ARGS__
#define TIMES_16(...) TWICE(TWICE(TWICE(TWICE(__VA_ARGS__))))

/* clang-format off */
static const int8_t t8[Q35_CODEBOOK_SIZE] = {
	-119, -32, -7, 15, 44, -58, -22, 1, 24, 62, -42, -14, 8, 33, -95, -31,
	-6, 16, 46, -56, -21, 1, 25, 64, -41, -13, 9, 35, -86, -30, -5, 17,
	47, -54, -21, 2, 26, 67, -39, -12, 10, 36, -79, -29, -5, 18, 49, -52,
	-20, 3, 27, 71, -38, -11, 11, 37, -75, -28, -4, 19, 50, -50, -19, 4,
	28, 75, -37, -11, 11, 38, -71, -27, -3, 20, 52, -49, -18, 5, 29, 79,
	-36, -10, 12, 39, -67, -26, -2, 21, 54, -47, -17, 5, 30, 86, -35, -9,
	13, 41, -64, -25, -1, 21, 56, -46, -16, 6, 31, 95, -33, -8, 14, 42,
	-62, -24, -1, 22, 58, -44, -15, 7, 32, 119, -32, -7, 15, 43, -59, -23,
	0, 23, 60, -43, -14, 8, 33, -103, -31, -7, 16, 45, -57, -22, 1, 24,
	63, -41, -14, 9, 34, -90, -30, -6, 17, 46, -55, -21, 2, 25, 66, -40,
	-13, 9, 35, -82, -29, -5, 17, 48, -53, -20, 3, 26, 69, -39, -12, 10,
	36, -77, -28, -4, 18, 50, -51, -19, 3, 27, 72, -38, -11, 11, 38, -72,
	-27, -3, 19, 51, -50, -18, 4, 28, 77, -36, -10, 12, 39, -69, -26, -3,
	20, 53, -48, -17, 5, 29, 82, -35, -9, 13, 40, -66, -25, -2, 21, 55,
	-46, -17, 6, 30, 90, -34, -9, 14, 41, -63, -24, -1, 22, 57, -45, -16,
	7, 31, 102, -33, -8, 14, 43, -60, -23, 0, 23, 59, -43, -15, 7, 32,

	-119, 13, -28, 45, -1, -50, 25, -16, 77, 9, -32, 39, -5, -58, 21, -19,
	63, 6, -37, 35, -8, -69, 17, -23, 54, 3, -42, 30, -11, -90, 14, -27,
	47, 0, -48, 26, -14, 86, 11, -31, 41, -3, -55, 22, -18, 67, 7, -35,
	36, -7, -64, 19, -21, 57, 4, -40, 32, -10, -79, 15, -25, 50, 1, -46,
	28, -13, 104, 12, -29, 43, -2, -52, 24, -17, 72, 9, -33, 38, -5, -60,
	20, -20, 60, 5, -38, 33, -9, -72, 17, -24, 52, 2, -43, 29, -12, -102,
	13, -28, 46, -1, -50, 25, -15, 79, 10, -32, 40, -4, -57, 21, -19, 64,
	7, -36, 35, -7, -67, 18, -22, 55, 3, -41, 31, -11, -86, 14, -26, 48,
	0, -47, 27, -14, 90, 11, -30, 42, -3, -54, 23, -17, 69, 8, -35, 37,
	-6, -63, 19, -21, 58, 5, -39, 32, -9, -77, 16, -25, 50, 1, -45, 28,
	-13, 122, 12, -29, 44, -2, -51, 24, -16, 75, 9, -33, 39, -5, -59, 21,
	-20, 62, 6, -38, 34, -8, -71, 17, -23, 53, 3, -43, 30, -11, -96, 14,
	-27, 46, -1, -49, 26, -15, 82, 10, -31, 41, -4, -56, 22, -18, 66, 7,
	-36, 36, -7, -66, 18, -22, 56, 4, -41, 31, -10, -82, 15, -26, 49, 1,
	-46, 27, -14, 95, 11, -30, 43, -3, -53, 23, -17, 71, 8, -34, 38, -6,
	-62, 20, -21, 59, 5, -39, 33, -9, -75, 16, -24, 51, 2, -44, 29, -12,
};

static const int8_t s_minmax[Q35_CODEBOOK_SIZE] = {
	TIMES_16(-105, -91, -77, -63, -49, -35, -21, -7,
		 7, 21, 35, 49, 63, 77, 91, 105),
	TWICE(TIMES_16(-105, -75, -45, -15, 15, 45, 75, 105)),
};

static const int8_t s_lloyd[Q35_CODEBOOK_SIZE] = {
	TIMES_16(-112, -85, -67, -52, -39, -27, -16, -5,
		 5, 16, 27, 39, 52, 67, 85, 112),
	TWICE(TIMES_16(-88, -55, -31, -10, 10, 31, 55, 88)),
};
/* clang-format on */

const int8_t *q35_codebook(enum q35_format format)
{
	switch (format) {
	case Q35_S_MINMAX:
		return s_minmax;
	case Q35_S_LLOYD:
		return s_lloyd;
	default:
		return t8;
	}
}
