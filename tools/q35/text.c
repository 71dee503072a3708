// SPDX-License-Identifier: MIT
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

#define TEXT_MAX (1ull << 30)

static int read_text(const char *path, char **text, size_t *size)
{
	FILE *f = fopen(path, "rb"), *memory;
	char buffer[65536];
	size_t n;
	int ret = DONE;

	if (!f)
		return fail("%s: %s", path, strerror(errno));
	memory = open_memstream(text, size);
	if (!memory) {
		fclose(f);
		return fail("out of memory");
	}
	while (!ret && (n = fread(buffer, 1, sizeof(buffer), f)) > 0) {
		if (fwrite(buffer, 1, n, memory) != n)
			ret = fail("out of memory");
		else if (ftell(memory) > (long)TEXT_MAX)
			ret = fail("%s: is too large", path);
	}
	if (!ret && ferror(f))
		ret = fail("%s: %s", path, strerror(errno));
	fclose(f);
	if (fclose(memory) && !ret)
		ret = fail("out of memory");
	return ret;
}

int text_tokens(const char *path, const struct tokenizer *tokenizer, uint64_t limit,
		uint32_t **tokens, size_t *count)
{
	char *text = NULL;
	size_t size;
	int ret;

	ret = read_text(path, &text, &size);
	if (!ret)
		ret = tokenizer_encode(tokenizer, text, size, tokens, count);
	free(text);
	if (ret)
		return ret;
	if (*count > limit)
		*count = limit;
	return *count ? DONE : fail("%s: no text", path);
}
