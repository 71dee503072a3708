// SPDX-License-Identifier: MIT
/*
 * Q35_T8: start from value_p[w] = 1.16 invPhi(((c_p * w mod 256) + 1/2) / 256) standard
 * deviations of 35 codes, c = (55, 159), invPhi the inverse of the normal distribution function:
 * neighbouring states offer interleaved levels. (Of all pairs of odd factors these serve best.)
 * Then 24 of Lloyd's iterations: encode millions of random normal numbers, move every window's level
 * to the mean of those that it stood for, and half as far again until the last few.
 * tests/unit/quantize.c repeats a step of it. The windows of a tile of zero bits have one level, so
 * that a column of equal weights can be kept exactly.
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
	-121, -32, -6, 16, 44, -58, -21, 0, 24, 61, -43, -14, 8, 33, -92, -30,
	-6, 16, 46, -56, -21, 3, 26, 65, -41, -15, 8, 34, -85, -30, -5, 17, 48,
	-55, -20, 3, 26, 67, -39, -12, 10, 35, -80, -29, -5, 18, 48, -50, -20,
	3, 27, 70, -38, -10, 12, 37, -74, -29, -5, 19, 51, -50, -18, 4, 27, 71,
	-37, -10, 12, 39, -71, -27, -3, 18, 52, -49, -18, 4, 29, 82, -36, -10,
	13, 40, -68, -25, -1, 21, 54, -48, -18, 5, 29, 84, -34, -9, 13, 40, -63,
	-25, -1, 23, 56, -46, -16, 5, 30, 95, -34, -9, 14, 42, -64, -24, 0, 23,
	58, -44, -14, 7, 32, 120, -33, -8, 14, 43, -56, -22, 0, 23, 60, -43,
	-14, 9, 34, -104, -32, -8, 14, 45, -57, -22, 1, 25, 60, -42, -13, 9, 35,
	-94, -29, -6, 17, 46, -56, -21, 1, 25, 68, -39, -13, 9, 36, -80, -29,
	-4, 19, 48, -54, -22, 1, 26, 68, -39, -12, 11, 36, -79, -28, -4, 19, 51,
	-51, -19, 4, 26, 73, -38, -11, 11, 38, -68, -28, -4, 20, 52, -49, -17,
	6, 28, 76, -37, -11, 12, 38, -70, -26, -2, 20, 50, -48, -17, 5, 30, 81,
	-35, -9, 11, 39, -65, -26, -2, 21, 57, -48, -17, 6, 30, 90, -33, -7, 13,
	41, -64, -25, -1, 21, 56, -43, -15, 6, 31, 102, -33, -8, 16, 44, -60,
	-23, -2, 21, 60, -44, -15, 7, 33,

	-121, 12, -29, 46, -1, -50, 26, -14, 76, 8, -32, 40, -4, -57, 22, -17,
	62, 6, -36, 36, -7, -66, 20, -20, 54, 3, -41, 31, -10, -91, 16, -24, 47,
	0, -46, 27, -13, 85, 13, -27, 41, -4, -54, 23, -17, 69, 9, -32, 36, -7,
	-63, 19, -20, 59, 6, -36, 30, -11, -78, 15, -25, 50, 2, -43, 26, -14,
	103, 12, -29, 43, -1, -49, 21, -18, 69, 8, -34, 37, -5, -59, 18, -22,
	56, 5, -39, 32, -8, -72, 14, -26, 48, 1, -45, 29, -12, -104, 11, -30,
	42, -2, -51, 24, -15, 80, 8, -35, 37, -5, -58, 21, -19, 64, 5, -39, 34,
	-8, -69, 18, -22, 57, 2, -44, 29, -11, -85, 15, -25, 50, -1, -49, 26,
	-14, 90, 12, -29, 45, -4, -56, 22, -17, 71, 9, -33, 40, -6, -63, 20,
	-20, 61, 6, -36, 36, -10, -76, 16, -24, 53, 3, -41, 31, -13, 120, 12,
	-27, 47, 0, -47, 27, -17, 75, 9, -31, 41, -4, -54, 23, -20, 61, 6, -36,
	36, -7, -67, 19, -25, 51, 2, -42, 30, -11, -96, 15, -29, 44, -1, -49,
	26, -14, 81, 12, -34, 38, -5, -58, 21, -19, 66, 8, -39, 33, -8, -69, 18,
	-22, 55, 4, -44, 28, -12, -83, 14, -26, 48, 1, -51, 25, -15, 95, 11,
	-30, 42, -2, -58, 21, -18, 67, 8, -35, 37, -5, -65, 18, -21, 58, 5, -39,
	34, -8, -77, 15, -25, 51, 2, -44, 30, -11,
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
