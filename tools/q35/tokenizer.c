// SPDX-License-Identifier: MIT
/*
 * SentencePiece's byte-pair merging as llama.cpp does it for tokenizer.ggml.model "llama": the text,
 * its spaces written as U+2581, is cut into characters, and whichever neighbours make the token of
 * the highest score (leftmost first among equals) are merged until none do. A character that is no
 * token falls back to the tokens of its bytes. User-defined tokens are cut out beforehand; control
 * tokens never come from text, so that a prompt cannot forge them.
 */
#include "tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

#define SPACE "\xe2\x96\x81" /* U+2581 */
#define SPACE_SIZE 3
#define NO_TOKEN UINT32_MAX
#define VOCABULARY_MAX (1u << 24)

enum token_type { /* of ggml */
		  TOKEN_NORMAL = 1,
		  TOKEN_UNKNOWN = 2,
		  TOKEN_CONTROL = 3,
		  TOKEN_USER = 4,
		  TOKEN_UNUSED = 5,
		  TOKEN_BYTE = 6,
};

struct token {
	const char *text;
	size_t size;
	float score;
	int type; /* enum token_type */
};

struct tokenizer {
	struct token *tokens;
	uint32_t count;
	const struct token **by_text; /* sorted, no control tokens; of tokens alike only the last */
	uint32_t by_text_count;
	const struct token **user; /* user-defined tokens, longest first */
	uint32_t user_count;
	uint32_t bytes[256];
	uint32_t bos, eos, eot, unknown; /* eot: NO_TOKEN if there is none */
	bool add_bos, add_space;
};

static int order(const struct token *a, const struct token *b)
{
	int c = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);

	return c ? c : (a->size > b->size) - (a->size < b->size);
}

static int text_order(const void *a, const void *b)
{
	const struct token *x = *(const struct token *const *)a;
	const struct token *y = *(const struct token *const *)b;
	int c = order(x, y);

	return c ? c : (x > y) - (x < y);
}

static int longest_order(const void *a, const void *b)
{
	const struct token *x = *(const struct token *const *)a;
	const struct token *y = *(const struct token *const *)b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return (x > y) - (x < y);
}

static uint32_t find(const struct tokenizer *t, const char *text, size_t size)
{
	const struct token wanted = {.text = text, .size = size};
	uint32_t low = 0, high = t->by_text_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int c = order(&wanted, t->by_text[middle]);

		if (!c)
			return (uint32_t)(t->by_text[middle] - t->tokens);
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NO_TOKEN;
}

static int load_tokens(struct tokenizer *t, const struct q35_file *file)
{
	uint32_t i;
	double value;

	for (i = 0; i < t->count; i++) {
		struct token *token = &t->tokens[i];

		if (q35_file_array_string(file, "tokenizer.ggml.tokens", i, &token->text,
					  &token->size) ||
		    q35_file_array_f64(file, "tokenizer.ggml.scores", i, &value))
			return fail("%s", q35_error(NULL));
		token->score = (float)value;
		if (q35_file_array_f64(file, "tokenizer.ggml.token_type", i, &value))
			return fail("%s", q35_error(NULL));
		token->type = value >= 0 && value <= TOKEN_BYTE ? (int)value : TOKEN_UNUSED;
	}
	return DONE;
}

static int index_tokens(struct tokenizer *t, const char *path)
{
	char name[8];
	uint32_t i, listed = 0, kept = 0;

	t->by_text = calloc(t->count, sizeof(*t->by_text));
	t->user = calloc(t->count, sizeof(*t->user));
	if (!t->by_text || !t->user)
		return fail("out of memory");
	for (i = 0; i < t->count; i++) {
		if (t->tokens[i].type != TOKEN_CONTROL)
			t->by_text[listed++] = &t->tokens[i];
		if (t->tokens[i].type == TOKEN_USER && t->tokens[i].size)
			t->user[t->user_count++] = &t->tokens[i];
	}
	qsort(t->by_text, listed, sizeof(*t->by_text), text_order);
	for (i = 0; i < listed; i++)
		if (i + 1 == listed || order(t->by_text[i], t->by_text[i + 1]))
			t->by_text[kept++] = t->by_text[i];
	t->by_text_count = kept;
	qsort(t->user, t->user_count, sizeof(*t->user), longest_order);

	for (i = 0; i < 256; i++) {
		char byte = (char)i;

		snprintf(name, sizeof(name), "<0x%02X>", i);
		t->bytes[i] = find(t, name, 6);
		if (t->bytes[i] == NO_TOKEN)
			t->bytes[i] = find(t, &byte, 1);
		if (t->bytes[i] == NO_TOKEN)
			t->bytes[i] = t->unknown;
		if (t->bytes[i] == NO_TOKEN)
			return fail("%s: no token for byte 0x%02X and none for what is unknown",
				    path, i);
	}
	return DONE;
}

/* A token's number at key, NO_TOKEN by default if there is no such key. */
static int load_special(const struct tokenizer *t, const struct q35_file *file, const char *path,
			const char *key, uint32_t standard, uint32_t *token)
{
	uint64_t value;
	int ret = q35_file_u64(file, key, &value);

	*token = standard < t->count ? standard : NO_TOKEN;
	if (ret == -ENOENT)
		return DONE;
	if (ret)
		return fail("%s", q35_error(NULL));
	if (value >= t->count)
		return fail("%s: %s is %llu, of %u tokens", path, key, (unsigned long long)value,
			    t->count);
	*token = (uint32_t)value;
	return DONE;
}

static bool load_flag(const struct q35_file *file, const char *key, bool standard)
{
	int value;

	return q35_file_bool(file, key, &value) ? standard : value;
}

static int load(struct tokenizer *t, const struct q35_file *file, const char *path)
{
	uint64_t count;
	const char *s;
	size_t size;

	if (q35_file_string(file, "tokenizer.ggml.model", &s, &size))
		return fail("%s: has no tokenizer: %s", path, q35_error(NULL));
	if (size != 5 || memcmp(s, "llama", 5))
		return fail("%s: tokenizer %.*s: only llama (SentencePiece) is known here", path,
			    (int)(size < 64 ? size : 64), s);
	if (q35_file_array(file, "tokenizer.ggml.tokens", &count))
		return fail("%s", q35_error(NULL));
	if (!count || count > VOCABULARY_MAX)
		return fail("%s: a vocabulary of %llu tokens", path, (unsigned long long)count);
	t->count = (uint32_t)count;
	t->tokens = calloc(t->count, sizeof(*t->tokens));
	if (!t->tokens)
		return fail("out of memory");
	if (load_tokens(t, file) ||
	    load_special(t, file, path, "tokenizer.ggml.bos_token_id", 1, &t->bos) ||
	    load_special(t, file, path, "tokenizer.ggml.eos_token_id", 2, &t->eos) ||
	    load_special(t, file, path, "tokenizer.ggml.eot_token_id", NO_TOKEN, &t->eot) ||
	    load_special(t, file, path, "tokenizer.ggml.unknown_token_id", 0, &t->unknown))
		return FAILED;
	t->add_bos = load_flag(file, "tokenizer.ggml.add_bos_token", true);
	t->add_space = load_flag(file, "tokenizer.ggml.add_space_prefix", true);
	if (t->bos == NO_TOKEN)
		return fail("%s: no token begins a text", path);
	return index_tokens(t, path);
}

int tokenizer_load(const struct q35_file *file, const char *path, struct tokenizer **tokenizer)
{
	struct tokenizer *t = calloc(1, sizeof(*t));

	if (!t)
		return fail("out of memory");
	if (load(t, file, path)) {
		tokenizer_free(t);
		return FAILED;
	}
	*tokenizer = t;
	return DONE;
}

void tokenizer_free(struct tokenizer *t)
{
	if (!t)
		return;
	free(t->tokens);
	free(t->by_text);
	free(t->user);
	free(t);
}

size_t tokenizer_vocabulary(const struct tokenizer *t)
{
	return t->count;
}

uint32_t tokenizer_bos(const struct tokenizer *t)
{
	return t->bos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
	return t->add_bos;
}

bool tokenizer_ends(const struct tokenizer *t, uint32_t token)
{
	return token != NO_TOKEN && (token == t->eos || token == t->eot);
}

/* ---- Encoding ------------------------------------------------------------------------------ */

struct symbol { /* a stretch of text that is merged so far; size 0: now part of an earlier one */
	const char *text;
	size_t size;
	int64_t before, after; /* neighbours, -1: none */
};

struct pair { /* neighbours that would make a token */
	float score;
	int64_t left, right;
	size_t size; /* of both, to tell whether they are still what they were */
};

struct merging {
	const struct tokenizer *t;
	struct symbol *symbols;
	struct pair *heap;
	size_t heap_count;
	uint32_t *tokens; /* the result of the whole text */
	size_t count;
};

static bool worse(const struct pair *a, const struct pair *b)
{
	return a->score < b->score || (a->score == b->score && a->left > b->left);
}

static void push(struct merging *m, struct pair pair)
{
	size_t i = m->heap_count++;

	while (i && worse(&m->heap[(i - 1) / 2], &pair)) {
		m->heap[i] = m->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	m->heap[i] = pair;
}

static struct pair pop(struct merging *m)
{
	struct pair top = m->heap[0], last = m->heap[--m->heap_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < m->heap_count) {
		if (child + 1 < m->heap_count && worse(&m->heap[child], &m->heap[child + 1]))
			child++;
		if (!worse(&last, &m->heap[child]))
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = last;
	return top;
}

static void consider(struct merging *m, int64_t left, int64_t right)
{
	const struct symbol *a, *b;
	uint32_t token;

	if (left < 0 || right < 0)
		return;
	a = &m->symbols[left];
	b = &m->symbols[right];
	token = find(m->t, a->text, a->size + b->size);
	if (token != NO_TOKEN)
		push(m, (struct pair){m->t->tokens[token].score, left, right, a->size + b->size});
}

/* Bytes of the character at s, as far as it is whole. */
static size_t character_size(const char *s, size_t left)
{
	static const uint8_t sizes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
	size_t size = 1, most = sizes[(uint8_t)*s >> 4];

	while (size < most && size < left && ((uint8_t)s[size] & 0xc0) == 0x80)
		size++;
	return size;
}

static void emit(struct merging *m, const struct symbol *s)
{
	uint32_t token = find(m->t, s->text, s->size);
	size_t i;

	if (token != NO_TOKEN) {
		m->tokens[m->count++] = token;
		return;
	}
	for (i = 0; i < s->size; i++)
		m->tokens[m->count++] = m->t->bytes[(uint8_t)s->text[i]];
}

/*
 * Text without special tokens, its spaces escaped. symbols has room for every byte, and heap for
 * two pairs a byte: at first one for each neighbour, then two for each merge, of which there are
 * fewer than symbols.
 */
static void encode_plain(struct merging *m, const char *text, size_t size)
{
	int64_t count = 0, i;
	size_t at;

	for (at = 0; at < size; count++) {
		struct symbol *s = &m->symbols[count];

		s->text = text + at;
		s->size = character_size(text + at, size - at);
		s->before = count - 1;
		at += s->size;
		s->after = at < size ? count + 1 : -1;
	}
	m->heap_count = 0;
	for (i = 1; i < count; i++)
		consider(m, i - 1, i);
	while (m->heap_count) {
		struct pair pair = pop(m);
		struct symbol *left = &m->symbols[pair.left], *right = &m->symbols[pair.right];

		if (!left->size || !right->size || left->size + right->size != pair.size)
			continue; /* one of them has been merged since */
		left->size = pair.size;
		right->size = 0;
		left->after = right->after;
		if (right->after >= 0)
			m->symbols[right->after].before = pair.left;
		consider(m, left->before, pair.left);
		consider(m, pair.left, left->after);
	}
	for (i = 0; i < count; i++)
		if (m->symbols[i].size)
			emit(m, &m->symbols[i]);
}

/* The first user-defined token in text, the longest at the place; NO_TOKEN: none. */
static uint32_t find_user(const struct tokenizer *t, const char *text, size_t size, size_t *at)
{
	uint32_t i;

	for (*at = 0; *at < size && t->user_count; (*at)++)
		for (i = 0; i < t->user_count; i++) {
			const struct token *token = t->user[i];

			if (token->size <= size - *at &&
			    !memcmp(token->text, text + *at, token->size))
				return (uint32_t)(token - t->tokens);
		}
	*at = size;
	return NO_TOKEN;
}

static size_t escape(const char *text, size_t size, bool prefix, char *out)
{
	size_t i, written = 0;

	for (i = 0; i < size + prefix; i++) {
		char c = i < (size_t)prefix ? ' ' : text[i - prefix];

		if (c == ' ') {
			memcpy(out + written, SPACE, SPACE_SIZE);
			written += SPACE_SIZE;
		} else {
			out[written++] = c;
		}
	}
	return written;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, uint32_t **tokens,
		     size_t *count)
{
	const size_t room = (size + 1) * SPACE_SIZE; /* every byte a space, and one in front */
	struct merging m = {.t = t};
	char *escaped = malloc(room);
	bool special = true; /* the space comes in front of the text and after special tokens */
	int ret = DONE;
	size_t at;

	m.symbols = calloc(room, sizeof(*m.symbols));
	m.heap = calloc(2 * room, sizeof(*m.heap));
	m.tokens = calloc(2 * room, sizeof(*m.tokens));
	if (!escaped || !m.symbols || !m.heap || !m.tokens)
		ret = fail("out of memory");
	while (size && !ret) {
		uint32_t user = find_user(t, text, size, &at);

		if (at) {
			size_t n = escape(text, at, t->add_space && special, escaped);

			encode_plain(&m, escaped, n);
			special = false;
		}
		text += at;
		size -= at;
		if (user != NO_TOKEN) {
			m.tokens[m.count++] = user;
			text += t->tokens[user].size;
			size -= t->tokens[user].size;
			special = true;
		}
	}
	free(escaped);
	free(m.symbols);
	free(m.heap);
	if (ret) {
		free(m.tokens);
		return ret;
	}
	*tokens = m.tokens;
	*count = m.count;
	return DONE;
}

/* ---- Decoding ------------------------------------------------------------------------------ */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

size_t tokenizer_decode(const struct tokenizer *t, uint32_t id, char *out, size_t max)
{
	const struct token *token = &t->tokens[id];
	size_t i, n = 0;
	char c;

	if (token->type == TOKEN_BYTE) {
		if (token->size != 6 || hex(token->text[3]) < 0 || hex(token->text[4]) < 0)
			return 0;
		if (max)
			out[0] = (char)(hex(token->text[3]) << 4 | hex(token->text[4]));
		return 1;
	}
	if (token->type != TOKEN_NORMAL && token->type != TOKEN_USER)
		return 0; /* control, unknown and unused tokens show nothing */
	for (i = 0; i < token->size; n++) {
		if (token->type == TOKEN_NORMAL && token->size - i >= SPACE_SIZE &&
		    !memcmp(token->text + i, SPACE, SPACE_SIZE)) {
			c = ' ';
			i += SPACE_SIZE;
		} else {
			c = token->text[i++];
		}
		if (n < max)
			out[n] = c;
	}
	return n;
}
