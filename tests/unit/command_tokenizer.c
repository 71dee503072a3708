// SPDX-License-Identifier: MIT
/* The command's tokenizer, on a vocabulary small enough to merge by hand. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "tokenizer.c"
#include "utf8.c"

static char said[256];

int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	return FAILED;
}

/* Tokens 3 … 258 are the bytes; then come these. */
static const struct {
	const char *text;
	float score;
	int type;
} words[] = {
	{SPACE, -1, TOKEN_NORMAL}, /* 259 */
	{"a", -2, TOKEN_NORMAL}, /* 260 */
	{"b", -3, TOKEN_NORMAL}, /* 261 */
	{"c", -4, TOKEN_NORMAL}, /* 262 */
	{"ab", -10, TOKEN_NORMAL}, /* 263 */
	{"bc", -9, TOKEN_NORMAL}, /* 264 */
	{"abc", -20, TOKEN_NORMAL}, /* 265 */
	{SPACE "a", -5, TOKEN_NORMAL}, /* 266 */
	{"\xc3\xa9", -6, TOKEN_NORMAL}, /* 267: é */
	{"<ab>", 0, TOKEN_USER}, /* 268 */
	{"<ab>c", 0, TOKEN_USER}, /* 269 */
	{"cc", -30, TOKEN_NORMAL}, /* 270 */
	{"cc", -30, TOKEN_NORMAL}, /* 271: a text twice */
	{"aa", -7, TOKEN_CONTROL}, /* 272 */
};

#define WORDS (sizeof(words) / sizeof(words[0]))
#define COUNT (259 + WORDS)

static void put_string(FILE *f, const char *s)
{
	uint64_t size = strlen(s);

	fwrite(&size, sizeof(size), 1, f);
	fwrite(s, 1, size, f);
}

static void put_u32(FILE *f, uint32_t value)
{
	fwrite(&value, sizeof(value), 1, f);
}

static void put_array(FILE *f, const char *key, uint32_t element)
{
	uint64_t count = COUNT;

	put_string(f, key);
	put_u32(f, 9);
	put_u32(f, element);
	fwrite(&count, sizeof(count), 1, f);
}

static void write_vocabulary(const char *path, const char *model, uint32_t bos, bool prefix)
{
	static const char head[] = "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0";
	FILE *f = fopen(path, "wb");
	char name[8];
	size_t i;

	if (!f)
		abort();
	fwrite(head, 1, sizeof(head) - 1, f);
	put_string(f, "tokenizer.ggml.model");
	put_u32(f, 8);
	put_string(f, model);
	put_string(f, "tokenizer.ggml.bos_token_id");
	put_u32(f, 4);
	put_u32(f, bos);
	put_string(f, "tokenizer.ggml.add_space_prefix");
	put_u32(f, 7);
	fputc(prefix, f);
	put_array(f, "tokenizer.ggml.tokens", 8);
	put_string(f, "<unk>");
	put_string(f, "<s>");
	put_string(f, "</s>");
	for (i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "<0x%02X>", (unsigned int)i);
		put_string(f, name);
	}
	for (i = 0; i < WORDS; i++)
		put_string(f, words[i].text);
	put_array(f, "tokenizer.ggml.scores", 6);
	for (i = 0; i < COUNT; i++) {
		float score = i < 259 ? 0 : words[i - 259].score;

		fwrite(&score, sizeof(score), 1, f);
	}
	put_array(f, "tokenizer.ggml.token_type", 5);
	put_u32(f, TOKEN_UNKNOWN);
	put_u32(f, TOKEN_CONTROL);
	put_u32(f, TOKEN_CONTROL);
	for (i = 3; i < COUNT; i++)
		put_u32(f, i < 259 ? TOKEN_BYTE : (uint32_t)words[i - 259].type);
	if (fclose(f))
		abort();
}

FIXTURE(tokenizer)
{
	char path[32];
	struct q35_file *file;
	struct tokenizer *t;
};

FIXTURE_VARIANT(tokenizer)
{
	bool prefix;
};

FIXTURE_VARIANT_ADD(tokenizer, plain){
	.prefix = false,
};

FIXTURE_VARIANT_ADD(tokenizer, with_space_prefix){
	.prefix = true,
};

FIXTURE_SETUP(tokenizer)
{
	strcpy(self->path, "/tmp/q35-tokenizer-XXXXXX");
	close(mkstemp(self->path));
	write_vocabulary(self->path, "llama", 1, variant->prefix);
	ASSERT_EQ(0, q35_file_open(self->path, &self->file));
	ASSERT_EQ(0, tokenizer_load(self->file, self->path, &self->t));
}

FIXTURE_TEARDOWN(tokenizer)
{
	tokenizer_free(self->t);
	q35_file_close(self->file);
	unlink(self->path);
}

/* Tokens of a text as "1 2 3", without the prefix that the variant may add. */
static const char *encoded(struct tokenizer *t, const char *text)
{
	static char out[512];
	size_t count, i, at = 0;
	uint32_t *tokens;

	out[0] = '\0';
	if (tokenizer_encode(t, text, strlen(text), &tokens, &count))
		return said;
	for (i = 0; i < count; i++)
		at += (size_t)snprintf(out + at, sizeof(out) - at, i ? " %u" : "%u", tokens[i]);
	free(tokens);
	return out;
}

TEST_F(tokenizer, the_highest_score_merges_first)
{
	/* bc (-9) goes before ab (-10), then a + bc makes abc */
	EXPECT_STREQ(variant->prefix ? "266 264" : "265", encoded(self->t, "abc"));
	/* SPACE a (-5) goes first and leaves bc */
	EXPECT_STREQ(variant->prefix ? "259 266 264" : "266 264", encoded(self->t, " abc"));
	EXPECT_STREQ(variant->prefix ? "266 261 263" : "263 263", encoded(self->t, "abab"));
}

TEST_F(tokenizer, the_leftmost_merges_first_among_equals)
{
	/* and of two tokens with the same text the later one counts, as in llama.cpp */
	EXPECT_STREQ(variant->prefix ? "259 271 262" : "271 262", encoded(self->t, "ccc"));
}

TEST_F(tokenizer, characters_unknown_fall_back_to_bytes)
{
	EXPECT_STREQ(variant->prefix ? "259 267" : "267", encoded(self->t, "\xc3\xa9"));
	EXPECT_STREQ(variant->prefix ? "259 198 171" : "198 171", encoded(self->t, "\xc3\xa8"));
	EXPECT_STREQ(variant->prefix ? "259 13" : "13", encoded(self->t, "\n"));
	EXPECT_STREQ(variant->prefix ? "259 258 198" : "258 198", encoded(self->t, "\xff\xc3"));
}

TEST_F(tokenizer, spaces_are_kept_one_by_one)
{
	EXPECT_STREQ(variant->prefix ? "259 259 259 261" : "259 259 261", encoded(self->t, "  b"));
	EXPECT_STREQ("", encoded(self->t, ""));
}

TEST_F(tokenizer, user_defined_tokens_are_cut_out_first_the_longest_foremost)
{
	EXPECT_STREQ(variant->prefix ? "266 268 266" : "260 268 260", encoded(self->t, "a<ab>a"));
	EXPECT_STREQ("269", encoded(self->t, "<ab>c"));
	EXPECT_STREQ("268 268", encoded(self->t, "<ab><ab>"));
}

TEST_F(tokenizer, control_tokens_never_come_from_text)
{
	EXPECT_STREQ(variant->prefix ? "266 260" : "260 260", encoded(self->t, "aa"));
	EXPECT_STREQ(variant->prefix ? "259 63 118 65" : "63 118 65", encoded(self->t, "<s>"));
}

TEST_F(tokenizer, decoding_gives_the_bytes_back)
{
	static const char text[] = "abc \xc3\xa8\xff <ab>\n";
	char back[64];
	uint32_t *tokens;
	size_t count, i, at = 0;

	ASSERT_EQ(0, tokenizer_encode(self->t, text, strlen(text), &tokens, &count));
	for (i = 0; i < count; i++)
		at += tokenizer_decode(self->t, tokens[i], back + at, sizeof(back) - at);
	free(tokens);
	/* the space in front of the text, and the one after the user-defined token */
	ASSERT_EQ(strlen(text) + 2 * variant->prefix, at);
	if (!variant->prefix)
		EXPECT_EQ(0, memcmp(text, back, at));
	EXPECT_EQ(0, tokenizer_decode(self->t, 1, back, sizeof(back)));
	EXPECT_EQ(3, tokenizer_decode(self->t, 265, back, 2)); /* cut, and the size told */
}

TEST_F(tokenizer, special_tokens_are_known)
{
	EXPECT_EQ(COUNT, tokenizer_vocabulary(self->t));
	EXPECT_EQ(1, tokenizer_bos(self->t));
	EXPECT_TRUE(tokenizer_adds_bos(self->t));
	EXPECT_TRUE(tokenizer_ends(self->t, 2));
	EXPECT_FALSE(tokenizer_ends(self->t, 1));
}

TEST_F(tokenizer, another_kind_is_refused)
{
	struct tokenizer *t = NULL;
	struct q35_file *file;

	write_vocabulary(self->path, "gpt2", 1, false);
	ASSERT_EQ(0, q35_file_open(self->path, &file));
	EXPECT_EQ(FAILED, tokenizer_load(file, "FILE", &t));
	EXPECT_STREQ("FILE: tokenizer gpt2: only llama (SentencePiece) is known here", said);
	q35_file_close(file);
	write_vocabulary(self->path, "llama", COUNT, false);
	ASSERT_EQ(0, q35_file_open(self->path, &file));
	EXPECT_EQ(FAILED, tokenizer_load(file, "FILE", &t));
	EXPECT_STREQ("FILE: tokenizer.ggml.bos_token_id is 273, of 273 tokens", said);
	q35_file_close(file);
}

/* Bytes in portions of size through the stream. */
static const char *streamed(const char *bytes, size_t size)
{
	static char out[128];
	FILE *f = fmemopen(out, sizeof(out), "w");
	struct utf8 u = {0};
	size_t at, n, total = strlen(bytes);

	for (at = 0; at < total; at += n) {
		n = total - at < size ? total - at : size;
		utf8_write(&u, bytes + at, n, f);
	}
	utf8_end(&u, f);
	fclose(f);
	return out;
}

TEST(whole_characters_pass_however_they_are_cut)
{
	static const char text[] = "a\xc3\xa9\xe2\x96\x81\xf0\x9f\x98\x80z";
	size_t size;

	for (size = 1; size <= sizeof(text); size++)
		EXPECT_STREQ(text, streamed(text, size));
}

TEST(what_is_no_character_is_replaced)
{
#define BAD "\xef\xbf\xbd"
	EXPECT_STREQ("a" BAD "b", streamed("a\377b", 1));
	EXPECT_STREQ("a" BAD "b", streamed("a\342\226b", 1));
	EXPECT_STREQ("a" BAD, streamed("a\xf0\x9f\x98", 1));
	EXPECT_STREQ(BAD BAD, streamed("\xc0\x80", 1)); /* overlong */
	EXPECT_STREQ(BAD BAD BAD, streamed("\xed\xa0\x80", 1)); /* surrogate */
	EXPECT_STREQ(BAD "\xc3\xa9", streamed("\xc3\xc3\xa9", 1));
}

TEST_HARNESS_MAIN
