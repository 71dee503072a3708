/* SPDX-License-Identifier: MIT */
/* Bytes in any portions to valid UTF-8: what is no character becomes U+FFFD. */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct utf8 { /* begins as all zeros */
	uint8_t pending[4];
	size_t count, wanted; /* bytes of the character that is under way */
};

void utf8_write(struct utf8 *u, const char *bytes, size_t size, FILE *out);
void utf8_end(struct utf8 *u, FILE *out);

#endif /* UTF8_H */
