/* SPDX-License-Identifier: MIT */
/* What the machine can do at best: read memory, multiply bytes. */
#ifndef LIMITS_H
#define LIMITS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads size bytes, a multiple of 64, with the widest loads there are. ahead: prefetches some way
 * ahead. What it returns depends on every cache line.
 */
unsigned int limits_read(const void *memory, size_t size, bool ahead);

/* Multiplies and adds 8-bit numbers in registers, as fast as can be; the number of products. */
double limits_multiply(void);

#endif /* LIMITS_H */
