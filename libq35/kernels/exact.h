/* SPDX-License-Identifier: MIT */
/*
 * Included before anything else by every file whose floating-point results are part of the format:
 * a * b + c is two roundings there, whatever flags the file is compiled with.
 */
#ifndef Q35_EXACT_H
#define Q35_EXACT_H

#include <float.h>

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "Q35 kernels need IEEE single precision"
#endif

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#endif /* Q35_EXACT_H */
