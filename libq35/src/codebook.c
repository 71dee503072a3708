// SPDX-License-Identifier: MIT
/*
 * Q35_T8: start from value_p[w] = 1.15 invPhi(((c_p * w mod 256) + 1/2) / 256) standard deviations,
 * c = (41, 31), invPhi the inverse of the normal distribution function: neighbouring states offer
 * interleaved levels. (Of thousands of pairs of odd factors the one with the best end.) Then, over and over,
 * encode millions of random normal numbers and move levels to the means of those that they stood for
 * (Lloyd), and keep random changes that make the error smaller, at first also some that do not (simulated
 * annealing).
 * tests/unit/quantize.c repeats a step of it. The windows of a tile of zero bits have one level, so
 * that a column of equal weights can be kept exactly.
 *
 * Levels are not free, but of a form that tables of 16 entries decode quickly (kernels/avx2.c):
 * - With n a window's newer 4 bits and o its older ones, a level is one of 16 cells', the cell being
 *   (a[n] + b[o]) mod 16, plus what n adds; only in the lowest and the highest cell it is any.
 * - Codes are even, 34.6 a standard deviation.
 * Of free levels the error on normal numbers is 10.02 %, of such cells 10.05 %, in even codes 10.08 %.
 *
 * Q35_T7 likewise, from c = (75, 113), where the oldest bit of a window does not matter: 10.43 % instead
 * of 10.34 %. Of Q35_T6 … Q35_T4 the older bits do not matter and levels are free.
 *
 * Q35_S_MINMAX: 16 even and 8 odd levels at equal distances over the same range, +-105, the largest
 * for which both are integers. Q35_S_LLOYD: the levels of least mean square error for the normal
 * distribution (J. Max, "Quantizing for minimum distortion", 1960), times 41.1 and rounded: of
 * all factors within int8 the one that rounding harms least.
 */
#include "codebook.h"

#define TWICE(...) __VA_ARGS__, __VA_ARGS__
#define TIMES_4(...) TWICE(__VA_ARGS__), TWICE(__VA_ARGS__)
#define TIMES_8(...) TIMES_4(__VA_ARGS__), TIMES_4(__VA_ARGS__)
#define TIMES_16(...) TIMES_8(__VA_ARGS__), TIMES_8(__VA_ARGS__)
#define TIMES_32(...) TIMES_16(__VA_ARGS__), TIMES_16(__VA_ARGS__)

/* clang-format off */
static const int8_t t8[Q35_CODEBOOK_SIZE] = {
	-102, -40, -16, 2, 16, 36, 72, -50, -24, -6, 8, 26, -10, -58, -30, 48,
	-8, 10, 30, 58, -54, -26, -12, 6, 22, 50, -80, -36, 40, -2, 18, -20,
	-46, -22, -4, 14, 30, 58, -56, -28, -10, 6, 22, 48, 2, -36, -14, -76, 4,
	24, 52, -64, -32, -10, 0, 20, 40, -96, -42, -20, 72, 12, 32, -8, 48,
	-72, -32, -10, 2, 22, 38, 100, -42, -18, -4, 12, -24, 64, -52, 26, 18,
	42, -118, -36, -16, 2, 14, 34, 78, -44, -24, -8, -54, 26, 54, 4, -14, 4,
	22, 46, -68, -36, -18, 0, 16, 38, 64, -46, 30, -8, 10, -28, 66, -52,
	-24, -4, 8, 28, 50, -66, -32, -12, 2, 18, -16, -82, -40, 36, -2, 18, 40,
	82, -42, -18, -6, 12, 30, 62, -54, -28, 52, 4, 24, -14, 36, 72, -42,
	-18, -4, 14, 28, 56, -54, -26, -10, 4, -32, 48, -66, 18, 12, 32, 116,
	-48, -24, -4, 6, 26, 52, -56, -32, -14, -72, 18, 42, -2, -36, -14, 2,
	22, 40, 88, -44, -20, -4, 14, 30, 62, 8, -28, -8, -58, 26, 54, -54, -26,
	-10, 8, 20, 44, -86, -34, -16, -2, -42, 36, 80, 12, -58, -30, -10, 8,
	22, 46, -72, -38, -16, 0, 16, 36, -4, -46, -22, 66, -28, -8, 8, 28, 52,
	-64, -34, -12, 2, 20, 40, -88, 16, -20, -2, -46, -20, -2, 16, 36, 92,
	-48, -26, -6, 8, 28, 52, -58, 22, -14, 4, -36,

	-102, -50, -28, -12, 0, 12, 26, 44, 6, 20, -6, -18, -34, -56, 70, 38,
	62, -64, -38, -20, -6, 6, 18, 34, 0, 12, -12, -26, -44, -88, 50, 28, 48,
	78, -50, -28, -12, 0, 12, 26, -6, 6, -18, -34, -56, 66, 38, 20, 36, 56,
	-66, -38, -20, -6, 6, 18, -12, 0, -26, -44, -78, 50, 28, 12, 26, 44, 94,
	-50, -28, -12, 0, 12, -18, -6, -34, -56, 118, 38, 20, 6, 18, 34, 56,
	-66, -38, -20, -6, 6, -26, -12, -44, -74, 50, 28, 12, 0, 10, 26, 44, 86,
	-50, -28, -12, 0, -34, -18, -56, 64, 38, 20, 6, -6, 4, 18, 34, 56, -70,
	-38, -20, -6, -44, -26, -86, 50, 28, 12, 0, -12, -2, 12, 26, 44, 84,
	-50, -28, -12, -56, -34, 68, 38, 20, 6, -6, -18, -8, 6, 18, 34, 56, -68,
	-38, -20, -118, -44, 50, 28, 12, 0, -12, -26, -14, 0, 12, 26, 44, 78,
	-50, -28, 64, -56, 38, 20, 6, -6, -18, -34, -20, -6, 6, 18, 34, 56, -68,
	-38, 50, -76, 28, 12, 0, -12, -26, -44, -28, -12, 0, 12, 26, 44, 76,
	-50, 38, 70, 20, 6, -6, -18, -34, -56, -36, -20, -6, 6, 18, 34, 56, -64,
	28, 50, 12, 0, -12, -26, -44, -80, -46, -28, -12, 0, 12, 26, 44, 100,
	20, 38, 6, -6, -18, -34, -56, 66, -58, -38, -20, -6, 6, 18, 34, 56, 12,
	28, 0, -12, -26, -44, -94, 50,
};

static const int8_t t7[Q35_CODEBOOK_SIZE] = {
	TWICE(-116, -52, -30, -16, -2, 10, 22, 44, 70, -66, -38, -22, -10, 4,
	      16, 32, 28, 48, 118, -54, -32, -18, -6, 10, 18, 36, 62, -72, -42,
	      -24, -12, 2, -48, -30, -14, -2, 12, 24, 42, 72, -62, -40, -20, -8,
	      4, 18, 32, 56, 52, 98, -52, -32, -16, -4, 8, 24, 38, 60, -68, -40,
	      -24, -10, 2, 16, 12, 28, 48, 88, -54, -34, -20, -4, 4, 20, 38, 60,
	      -76, -42, -26, -12, -30, -14, 0, 12, 26, 44, 70, -56, -40, -22,
	      -6, 6, 18, 34, 56, -88, -2, 14, 28, 46, 78, -56, -36, -18, -10, 6,
	      22, 36, 58, -80, -44, -26, -16, 0, 14, 26, 46, 82, -58, -34, -24,
	      -8, 8, 20, 34, 58, -98, -44),
	TWICE(-116, -30, -2, 26, 48, -48, -16, 12, 38, -66, -24, 6, 20, 68, -42,
	      -10, 12, 46, -54, -16, -2, 28, 80, -32, -8, 20, 56, -46, -22, 6,
	      34, -82, -30, 0, 26, 64, -46, -16, 12, 44, -60, -22, 4, 34, 96,
	      -38, -10, 18, 50, -52, -16, 12, 30, -98, -32, -2, 20, 58, -42, -8,
	      6, 38, -74, -24, -2, 28, 76, -34, -16, 12, 44, -54, -22, 6, 34,
	      114, -38, -8, 18, 56, -48, -14, 12, 42, -68, -30, -2, 26, 66, -40,
	      -10, 20, 38, -60, -24, 4, 28, 86, -32, -2, 12, 50, -54, -16, 6,
	      36, -86, -24, -8, 20, 56, -42, -16, 14, 44, -72, -30, -2, 26, 72,
	      -38, -8, 18, 52, -60, -22, 4, 34),
};

static const int8_t t6[Q35_CODEBOOK_SIZE] = {
	TIMES_4(-104, -25, 4, 35, -62, -18, 10, 46, -47, -10, 18, 62, -35, -4, 25,
	      105, -26, 3, 33, -68, -18, 9, 44, -50, -11, 17, 58, -39, -5, 24, 85,
	      -30, 2, 32, -75, -22, 9, 41, -53, -15, 15, 53, -41, -8, 22, 75, -31,
	      -1, 30, -85, -24, 5, 39, -58, -16, 11, 51, -43, -9, 19, 68, -33, -2,
	      26),
	TIMES_4(-104, -19, 12, 54, -37, -2, 32, -60, -12, 21, 85, -25, 7, 45, -42, -3,
	      30, -65, -13, 16, 66, -29, 3, 40, -48, -6, 26, -85, -20, 11, 54, -34,
	      1, 36, -52, -10, 21, 104, -24, 9, 52, -36, -1, 31, -62, -16, 16, 74,
	      -28, 7, 44, -44, -6, 25, -75, -18, 14, 64, -29, 3, 39, -50, -11, 23),
};

static const int8_t t5[Q35_CODEBOOK_SIZE] = {
	TIMES_8(-96, -32, -3, 21, 56, -52, -18, 5, 33, 96, -39, -10, 15, 46, -63, -24,
	      2, 28, 76, -40, -12, 13, 45, -75, -28, -3, 23, 62, -51, -18, 9, 36),
	TIMES_8(-96, 38, 9, -17, -47, 63, 22, -2, -28, -76, 42, 11, -11, -42, 75, 28,
	      2, -22, -63, 47, 17, -9, -38, 96, 32, 6, -19, -54, 54, 19, -6, -32),
};

static const int8_t t4[Q35_CODEBOOK_SIZE] = {
	TIMES_16(-88, 27, -11, -64, 37, -4, -49, 49, 4, -37, 64, 11, -27, 88, 19, -19),
	TIMES_16(-88, 9, -48, 27, -27, 48, -9, 88, 4, -64, 18, -36, 36, -18, 64, -5),
};

static const int8_t s_minmax[Q35_CODEBOOK_SIZE] = {
	TIMES_16(-105, -91, -77, -63, -49, -35, -21, -7,
		 7, 21, 35, 49, 63, 77, 91, 105),
	TIMES_32(-105, -75, -45, -15, 15, 45, 75, 105),
};

static const int8_t s_lloyd[Q35_CODEBOOK_SIZE] = {
	TIMES_16(-112, -85, -67, -52, -39, -27, -16, -5,
		 5, 16, 27, 39, 52, 67, 85, 112),
	TIMES_32(-88, -55, -31, -10, 10, 31, 55, 88),
};

/* clang-format on */

const int8_t *q35_codebook(enum q35_format format)
{
	switch (format) {
	case Q35_S_MINMAX:
		return s_minmax;
	case Q35_S_LLOYD:
		return s_lloyd;
	case Q35_T7:
		return t7;
	case Q35_T6:
		return t6;
	case Q35_T5:
		return t5;
	case Q35_T4:
		return t4;
	default:
		return t8;
	}
}
