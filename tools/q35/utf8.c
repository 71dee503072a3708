// SPDX-License-Identifier: MIT
#include "utf8.h"

static void replace(FILE *out)
{
	fputs("\xef\xbf\xbd", out);
}

/* Bytes of the character that a byte begins; 0: it begins none. */
static size_t length(uint8_t byte)
{
	if (byte < 0x80)
		return 1;
	if (byte < 0xc2 || byte > 0xf4)
		return 0;
	return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/* Whether byte may be the second one: rules out overlong forms, surrogates and past U+10FFFF. */
static int second(uint8_t first, uint8_t byte)
{
	const uint8_t least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	const uint8_t most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

	return byte >= least && byte <= most;
}

static int continues(const struct utf8 *u, uint8_t byte)
{
	return u->count == 1 ? second(u->pending[0], byte) : (byte & 0xc0) == 0x80;
}

void utf8_end(struct utf8 *u, FILE *out)
{
	if (u->count)
		replace(out);
	u->count = 0;
}

void utf8_write(struct utf8 *u, const char *bytes, size_t size, FILE *out)
{
	size_t i;

	for (i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)bytes[i];

		if (u->count && !continues(u, byte))
			utf8_end(u, out);
		if (!u->count) {
			u->wanted = length(byte);
			if (!u->wanted) {
				replace(out);
				continue;
			}
		}
		u->pending[u->count++] = byte;
		if (u->count == u->wanted) {
			fwrite(u->pending, 1, u->count, out);
			u->count = 0;
		}
	}
}
