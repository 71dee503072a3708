/* SPDX-License-Identifier: MIT */
/* What the machine can do at best: read memory, multiply bytes. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads size bytes, a multiple of 64, with the widest loads there are. ahead: prefetches some way
 * ahead. What it returns depends on every cache line.
 */
unsigned int machine_read(const void *memory, size_t size, bool ahead);

/* Multiplies and adds 8-bit numbers in registers, as fast as can be; the number of products. */
double machine_multiply(void);

#endif /* MACHINE_H */
