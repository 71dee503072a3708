// SPDX-License-Identifier: MIT
/*
 * Model files: what the readers accept and what they refuse, with which sentence. Each file is made
 * here byte by byte, so that a single one can be wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "kselftest_harness.h"
#include "q35_model.h"

struct bytes {
	uint8_t data[16384];
	size_t size;
};

static void put(struct bytes *b, const void *data, size_t size)
{
	if (size > sizeof(b->data) - b->size)
		abort();
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

static void put32(struct bytes *b, uint32_t value)
{
	put(b, &value, sizeof(value));
}

static void put64(struct bytes *b, uint64_t value)
{
	put(b, &value, sizeof(value));
}

static void put_string(struct bytes *b, const char *s)
{
	put64(b, strlen(s));
	put(b, s, strlen(s));
}

static void pad(struct bytes *b, size_t to)
{
	while (b->size % to)
		put(b, "", 1);
}

static void put_scalar(struct bytes *b, const char *key, uint32_t type, const void *v, size_t size)
{
	put_string(b, key);
	put32(b, type);
	put(b, v, size);
}

static void put_tensor(struct bytes *b, const char *name, uint64_t rows, uint64_t columns,
		       uint32_t type, uint64_t offset)
{
	put_string(b, name);
	put32(b, 2);
	put64(b, columns);
	put64(b, rows);
	put32(b, type);
	put64(b, offset);
}

/* Where the fields are that tests overwrite. */
struct marks {
	size_t alignment, alpha, alpha_dims, alpha_type, alpha_offset, beta, beta_offset, data;
};

static const float alpha[6] = {0, 1, -2, 3.5f, 1e-9f, -6e4f};
static const uint16_t beta[4] = {0x3c00, 0xc000, 0x0001, 0x7bff}; /* 1, -2, 2^-24, 65504 */

/* Every type of metadata, an F32 and an F16 tensor; ends with the last byte of data. */
static void make_gguf(struct bytes *b, struct marks *m)
{
	const uint64_t u64 = UINT64_MAX;
	const int64_t i64 = -5;
	const uint32_t u32 = 4000000000u, alignment = 64;
	const int32_t i32 = -3;
	const uint16_t u16 = 65535;
	const int16_t i16 = -2;
	const uint8_t u8 = 200;
	const int8_t i8 = -1;
	const float f32 = 0.5f;
	const double f64 = 0.1;

	b->size = 0;
	put(b, "GGUF", 4);
	put32(b, 3);
	put64(b, 2);
	put64(b, 17);
	put_scalar(b, "u8", 0, &u8, 1);
	put_scalar(b, "i8", 1, &i8, 1);
	put_scalar(b, "u16", 2, &u16, 2);
	put_scalar(b, "i16", 3, &i16, 2);
	put_scalar(b, "u32", 4, &u32, 4);
	put_scalar(b, "i32", 5, &i32, 4);
	put_scalar(b, "f32", 6, &f32, 4);
	put_scalar(b, "bool", 7, "\1", 1);
	put_scalar(b, "string", 8, "\5\0\0\0\0\0\0\0hello", 13);
	put_scalar(b, "u64", 10, &u64, 8);
	put_scalar(b, "i64", 11, &i64, 8);
	put_scalar(b, "f64", 12, &f64, 8);
	put_scalar(b, "strings", 9, "\10\0\0\0\3\0\0\0\0\0\0\0", 12);
	put_string(b, "a");
	put_string(b, "");
	put_string(b, "ccc");
	put_scalar(b, "floats", 9, "\6\0\0\0\2\0\0\0\0\0\0\0", 12);
	put(b, alpha, 8);
	put_scalar(b, "nested", 9, "\11\0\0\0\1\0\0\0\0\0\0\0", 12);
	put(b, "\0\0\0\0\2\0\0\0\0\0\0\0xy", 14);
	put_scalar(b, "empty", 9, "\10\0\0\0\0\0\0\0\0\0\0\0", 12);
	put_scalar(b, "general.alignment", 4, &alignment, 4);
	m->alignment = b->size - 4;
	m->alpha = b->size + 8;
	put_tensor(b, "alpha", 2, 3, 0, 0);
	m->alpha_dims = m->alpha + 5 + 4;
	m->alpha_type = b->size - 12;
	m->alpha_offset = b->size - 8;
	m->beta = b->size + 8;
	put_tensor(b, "beta", 1, 4, 1, 64);
	m->beta_offset = b->size - 8;
	pad(b, 64);
	m->data = b->size;
	put(b, alpha, sizeof(alpha));
	pad(b, 64);
	put(b, beta, sizeof(beta));
}

static void make_safetensors(struct bytes *b, const char *header, size_t data_size)
{
	b->size = 0;
	put_string(b, header);
	while (data_size--)
		put(b, "\1", 1);
}

#define SAFE_ALPHA "\"alpha\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define SAFE_BETA "\"beta\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]}"

FIXTURE(model)
{
	char folder[32], path[64], out[64];
	struct bytes b;
	struct marks m;
	struct q35_file *file;
};

FIXTURE_SETUP(model)
{
	strcpy(self->folder, "/tmp/q35-model-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->folder));
	snprintf(self->path, sizeof(self->path), "%s/in", self->folder);
	snprintf(self->out, sizeof(self->out), "%s/out", self->folder);
	make_gguf(&self->b, &self->m);
}

/* Removing the folder fails if a test has left anything else behind. */
FIXTURE_TEARDOWN(model)
{
	q35_file_close(self->file);
	unlink(self->path);
	unlink(self->out);
	ASSERT_EQ(0, rmdir(self->folder));
}

static void save(const char *path, const struct bytes *b, size_t size)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(b->data, 1, size, f) != size || fclose(f))
		abort();
}

static int open_bytes(const char *path, const struct bytes *b, struct q35_file **file)
{
	save(path, b, b->size);
	return q35_file_open(path, file);
}

#define EXPECT_REFUSED(self, error, sentence)                                               \
	do {                                                                                \
		EXPECT_EQ(error, open_bytes((self)->path, &(self)->b, &(self)->file));      \
		EXPECT_NE(NULL, strstr(q35_error(NULL), sentence))                          \
		{                                                                           \
			TH_LOG("said: %s", q35_error(NULL));                                \
		}                                                                           \
		EXPECT_EQ(0, strncmp(q35_error(NULL), (self)->path, strlen((self)->path))); \
	} while (0)

TEST_F(model, gguf_metadata_of_every_type_reads_back)
{
	const char *s;
	uint64_t u;
	size_t size;
	double d;
	int flag;

	ASSERT_EQ(0, open_bytes(self->path, &self->b, &self->file));
	EXPECT_EQ(17, q35_file_keys(self->file));
	EXPECT_STREQ("u8", q35_file_key(self->file, 0));
	EXPECT_EQ(NULL, q35_file_key(self->file, 17));
	EXPECT_EQ(0, q35_file_u64(self->file, "u8", &u));
	EXPECT_EQ(200, u);
	EXPECT_EQ(0, q35_file_u64(self->file, "u16", &u));
	EXPECT_EQ(65535, u);
	EXPECT_EQ(0, q35_file_u64(self->file, "u32", &u));
	EXPECT_EQ(4000000000u, u);
	EXPECT_EQ(0, q35_file_u64(self->file, "u64", &u));
	EXPECT_EQ(UINT64_MAX, u);
	EXPECT_EQ(-EINVAL, q35_file_u64(self->file, "i8", &u));
	EXPECT_EQ(0, q35_file_f64(self->file, "i8", &d));
	EXPECT_EQ(-1, d);
	EXPECT_EQ(0, q35_file_f64(self->file, "i16", &d));
	EXPECT_EQ(-2, d);
	EXPECT_EQ(0, q35_file_f64(self->file, "i32", &d));
	EXPECT_EQ(-3, d);
	EXPECT_EQ(0, q35_file_f64(self->file, "i64", &d));
	EXPECT_EQ(-5, d);
	EXPECT_EQ(0, q35_file_f64(self->file, "f32", &d));
	EXPECT_EQ(0.5, d);
	EXPECT_EQ(0, q35_file_f64(self->file, "f64", &d));
	EXPECT_EQ(0.1, d);
	EXPECT_EQ(0, q35_file_bool(self->file, "bool", &flag));
	EXPECT_EQ(1, flag);
	EXPECT_EQ(0, q35_file_string(self->file, "string", &s, &size));
	ASSERT_EQ(5, size);
	EXPECT_EQ(0, memcmp(s, "hello", 5));
	EXPECT_EQ(0, q35_file_array(self->file, "strings", &u));
	EXPECT_EQ(3, u);
	EXPECT_EQ(0, q35_file_array_string(self->file, "strings", 1, &s, &size));
	EXPECT_EQ(0, size);
	EXPECT_EQ(0, q35_file_array_string(self->file, "strings", 2, &s, &size));
	ASSERT_EQ(3, size);
	EXPECT_EQ(0, memcmp(s, "ccc", 3));
	EXPECT_EQ(-EINVAL, q35_file_array_string(self->file, "strings", 3, &s, &size));
	EXPECT_EQ(-EINVAL, q35_file_array_f64(self->file, "strings", 0, &d));
	EXPECT_EQ(0, q35_file_array_f64(self->file, "floats", 1, &d));
	EXPECT_EQ(1, d);
	EXPECT_EQ(-EINVAL, q35_file_array_string(self->file, "floats", 0, &s, &size));
	EXPECT_EQ(0, q35_file_array(self->file, "nested", &u));
	EXPECT_EQ(1, u);
	EXPECT_EQ(-EINVAL, q35_file_array_f64(self->file, "nested", 0, &d));
	EXPECT_EQ(0, q35_file_array(self->file, "empty", &u));
	EXPECT_EQ(0, u);
	EXPECT_EQ(-EINVAL, q35_file_array_string(self->file, "empty", 0, &s, &size));
	EXPECT_EQ(-ENOENT, q35_file_u64(self->file, "none", &u));
	EXPECT_EQ(-EINVAL, q35_file_string(self->file, "u8", &s, &size));
}

TEST_F(model, gguf_tensors_read_back)
{
	const struct q35_tensor *t;
	float out[6];

	ASSERT_EQ(0, open_bytes(self->path, &self->b, &self->file));
	ASSERT_EQ(2, q35_file_tensors(self->file));
	t = q35_file_find(self->file, "alpha");
	ASSERT_EQ(t, q35_file_tensor(self->file, 0));
	EXPECT_EQ(Q35_TENSOR_F32, t->type);
	EXPECT_EQ(2, t->dims);
	EXPECT_EQ(2, t->shape[0]);
	EXPECT_EQ(3, t->shape[1]);
	EXPECT_EQ(1, t->shape[2]);
	EXPECT_EQ(24, t->size);
	ASSERT_EQ(0, q35_tensor_read(t, 0, 2, out));
	EXPECT_EQ(0, memcmp(out, alpha, sizeof(alpha)));
	ASSERT_EQ(0, q35_tensor_read(t, 1, 1, out));
	EXPECT_EQ(0, memcmp(out, alpha + 3, 12));
	EXPECT_EQ(-EINVAL, q35_tensor_read(t, 1, 2, out));
	EXPECT_EQ(-EINVAL, q35_tensor_read(t, UINT64_MAX, 2, out));

	t = q35_file_find(self->file, "beta");
	ASSERT_NE(NULL, t);
	ASSERT_EQ(0, q35_tensor_read(t, 0, 1, out));
	EXPECT_EQ(1.0f, out[0]);
	EXPECT_EQ(-2.0f, out[1]);
	EXPECT_EQ(0x1p-24f, out[2]);
	EXPECT_EQ(65504.0f, out[3]);
	EXPECT_EQ(NULL, q35_file_find(self->file, "gamma"));
	EXPECT_EQ(NULL, q35_file_tensor(self->file, 2));
}

TEST_F_TIMEOUT(model, a_file_cut_anywhere_is_refused, 240)
{
	static const char safetensors[] = "{" SAFE_BETA "," SAFE_ALPHA "}";
	size_t size;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		for (size = 0; size < self->b.size; size++) {
			save(self->path, &self->b, size);
			ASSERT_EQ(-EBADMSG, q35_file_open(self->path, &self->file))
			{
				TH_LOG("pass %d: %zu of %zu bytes", pass, size, self->b.size);
			}
			ASSERT_EQ(0, strncmp(q35_error(NULL), self->path, strlen(self->path)));
		}
		ASSERT_EQ(0, open_bytes(self->path, &self->b, &self->file));
		q35_file_close(self->file);
		self->file = NULL;
		make_safetensors(&self->b, safetensors, 32);
	}
}

/* No value of any header field may crash the reader or make it allocate without bounds. */
TEST_F_TIMEOUT(model, hostile_numbers_anywhere_do_no_harm, 240)
{
	static const uint64_t values[] = {0,
					  1,
					  0x7fffffff,
					  0xffffffff,
					  1ull << 32,
					  1ull << 61,
					  (1ull << 63) - 1,
					  1ull << 63,
					  UINT64_MAX,
					  UINT64_MAX - 31};
	struct rlimit limit = {256 << 20, 256 << 20};
	size_t at, i, width;
	int fd;

#ifndef __SANITIZE_ADDRESS__ /* its shadow memory alone takes terabytes of addresses */
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
#else
	(void)limit;
#endif
	save(self->path, &self->b, self->b.size);
	fd = open(self->path, O_WRONLY);
	ASSERT_LE(0, fd);
	for (width = 4; width <= 8; width += 4) {
		for (at = 4; at + width <= self->m.data; at++) {
			for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
				int ret;

				ASSERT_EQ(width, pwrite(fd, &values[i], width, (off_t)at));
				ret = q35_file_open(self->path, &self->file);
				ASSERT_TRUE(ret == 0 || ret == -EBADMSG)
				{
					TH_LOG("at %zu: %s", at, q35_error(NULL));
				}
				if (!ret)
					q35_file_close(self->file);
				self->file = NULL;
			}
			ASSERT_EQ(width, pwrite(fd, self->b.data + at, width, (off_t)at));
		}
	}
	close(fd);
}

static void set32(struct bytes *b, size_t at, uint32_t value)
{
	memcpy(b->data + at, &value, sizeof(value));
}

static void set64(struct bytes *b, size_t at, uint64_t value)
{
	memcpy(b->data + at, &value, sizeof(value));
}

TEST_F(model, gguf_other_than_version_2_and_3_is_refused)
{
	set32(&self->b, 4, 1);
	EXPECT_REFUSED(self, -EBADMSG, "GGUF version 1, not 2 or 3");
	set32(&self->b, 4, 0x03000000);
	EXPECT_REFUSED(self, -EBADMSG, "GGUF version 3 in big-endian order");
	set32(&self->b, 4, 2);
	EXPECT_EQ(0, open_bytes(self->path, &self->b, &self->file));
}

TEST_F(model, gguf_with_more_counted_than_could_fit_is_refused)
{
	set64(&self->b, 8, 1ull << 62);
	EXPECT_REFUSED(self, -EBADMSG, "too short for 4611686018427387904 tensors");
	set64(&self->b, 8, 2);
	set64(&self->b, 16, 1ull << 62);
	EXPECT_REFUSED(self, -EBADMSG, "too short for 4611686018427387904 metadata keys");
}

TEST_F(model, gguf_with_a_bad_alignment_is_refused)
{
	static const uint32_t bad[] = {0, 3, 48, 1u << 31};
	size_t i;

	for (i = 0; i < 4; i++) {
		set32(&self->b, self->m.alignment, bad[i]);
		EXPECT_REFUSED(self, -EBADMSG, "general.alignment is not a power of two");
	}
}

TEST_F(model, gguf_tensor_off_its_alignment_is_refused)
{
	set64(&self->b, self->m.beta_offset, 32);
	EXPECT_REFUSED(self, -EBADMSG, "tensor beta: its offset is not a multiple of 64");
}

TEST_F(model, gguf_tensors_that_overlap_are_refused)
{
	set64(&self->b, self->m.beta_offset, 0);
	EXPECT_REFUSED(self, -EBADMSG, "overlap");
	EXPECT_NE(NULL, strstr(q35_error(NULL), "alpha"));
	EXPECT_NE(NULL, strstr(q35_error(NULL), "beta"));
	set64(&self->b, self->m.beta_offset, 64);
	set64(&self->b, self->m.alpha_dims + 8, 6); /* alpha's rows: 72 bytes reach beta */
	EXPECT_REFUSED(self, -EBADMSG, "tensors alpha and beta overlap");
}

TEST_F(model, gguf_tensor_past_the_end_is_refused)
{
	set64(&self->b, self->m.beta_offset, 1ull << 40);
	EXPECT_REFUSED(self, -EBADMSG, "the data of tensor beta lies past its end");
	set64(&self->b, self->m.beta_offset, UINT64_MAX - 63);
	EXPECT_REFUSED(self, -EBADMSG, "the data of tensor beta lies past its end");
}

TEST_F(model, gguf_tensor_with_a_dimension_of_zero_is_refused)
{
	set64(&self->b, self->m.alpha_dims, 0);
	EXPECT_REFUSED(self, -EBADMSG, "tensor alpha has a dimension of zero");
}

TEST_F(model, gguf_tensor_whose_size_overflows_is_refused)
{
	set64(&self->b, self->m.alpha_dims, 1ull << 33);
	set64(&self->b, self->m.alpha_dims + 8, 1ull << 31);
	EXPECT_REFUSED(self, -EBADMSG, "tensor alpha is too large");
}

TEST_F(model, gguf_tensor_with_five_dimensions_is_refused)
{
	set32(&self->b, self->m.alpha_dims - 4, 5);
	EXPECT_REFUSED(self, -EBADMSG, "tensor alpha has 5 dimensions");
}

TEST_F(model, gguf_names_that_occur_twice_are_refused)
{
	memcpy(self->b.data + 24 + 8, "i8", 2); /* the first key, u8 */
	EXPECT_REFUSED(self, -EBADMSG, "key i8 occurs twice");
}

TEST_F(model, gguf_names_that_are_not_text_are_refused)
{
	static const char *const bad[] = {"al\xffha",	    "al\nha",	"\xc0\x80pha",
					  "al\xed\xa0\x80", "alph\xc3", "al\xc2\x9bx",
					  "al\xe0\x83\x80"};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(self->b.data + self->m.alpha, bad[i], 5);
		EXPECT_REFUSED(self, -EBADMSG, "the name of tensor 0 is not text");
	}
	memcpy(self->b.data + self->m.alpha, "al\xe2\x96\x81", 5);
	EXPECT_EQ(0, open_bytes(self->path, &self->b, &self->file));
}

TEST_F(model, gguf_tensor_of_a_type_unknown_here_can_be_listed_not_read)
{
	float out[6];

	set32(&self->b, self->m.alpha_type, 1000);
	ASSERT_EQ(0, open_bytes(self->path, &self->b, &self->file));
	EXPECT_EQ(Q35_TENSOR_OTHER, q35_file_tensor(self->file, 0)->type);
	EXPECT_EQ(64, q35_file_tensor(self->file, 0)->size);
	EXPECT_EQ(-EINVAL, q35_tensor_read(q35_file_tensor(self->file, 0), 0, 1, out));
	EXPECT_STREQ("tensor alpha is not F32, F16 or BF16", q35_error(NULL));
}

TEST_F(model, what_is_no_model_file_is_refused)
{
	EXPECT_EQ(-ENOENT, q35_file_open(self->path, &self->file));
	EXPECT_NE(NULL, strstr(q35_error(NULL), self->path));
	EXPECT_EQ(-EISDIR, q35_file_open(self->folder, &self->file));
	EXPECT_EQ(-EBADMSG, q35_file_open("/dev/null", &self->file));
	self->b.size = 0;
	EXPECT_REFUSED(self, -EBADMSG, "the file is empty");
	put(&self->b, "\177ELF, or so one thinks", 20);
	EXPECT_REFUSED(self, -EBADMSG, "neither a GGUF nor a safetensors file");
}

TEST_F(model, safetensors_read_back)
{
	const struct q35_tensor *t;
	const char *s;
	size_t size;
	float out[4];

	make_safetensors(&self->b,
			 "{\"__metadata__\":{\"format\":\"pt\"}," SAFE_BETA "," SAFE_ALPHA "}", 24);
	put(&self->b, "\x80\x3f\x00\xc0\x01\x00\x7f\x7f", 8);
	ASSERT_EQ(0, open_bytes(self->path, &self->b, &self->file));
	ASSERT_EQ(2, q35_file_tensors(self->file));
	EXPECT_STREQ("alpha", q35_file_tensor(self->file, 0)->name);
	t = q35_file_find(self->file, "beta");
	ASSERT_NE(NULL, t);
	EXPECT_EQ(Q35_TENSOR_BF16, t->type);
	EXPECT_EQ(1, t->dims);
	EXPECT_EQ(4, t->shape[0]);
	ASSERT_EQ(0, q35_tensor_read(t, 0, 4, out));
	EXPECT_EQ(1.0f, out[0]);
	EXPECT_EQ(-2.0f, out[1]);
	EXPECT_EQ(0x1p-133f, out[2]);
	EXPECT_EQ(0x1.fep127f, out[3]);
	ASSERT_EQ(0, q35_file_string(self->file, "format", &s, &size));
	ASSERT_EQ(2, size);
	EXPECT_EQ(0, memcmp(s, "pt", 2));
}

TEST_F(model, safetensors_that_are_inconsistent_are_refused)
{
#define T(dtype, shape, begin, end) \
	"{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}}"
	static const struct {
		const char *header, *sentence;
	} bad[] = {
		{"{", "not valid JSON"},
		{"{}}", "not valid JSON"},
		{"{\"t\":1,\"t\":2}", "not valid JSON"},
		{"{}", "bytes after the last tensor"},
		{"{\"t\":1}", "tensor t is not an object"},
		{"{\"t\":{}}", "tensor t has no shape"},
		{"{\"__metadata__\":[]}", "__metadata__ is not an object"},
		{"{\"__metadata__\":{\"a\":1}}", "the value of key a is not a string"},
		{"{\"\":{}}", "name is not text"},
		{"{\"a\\u001b[2J\":{}}", "name is not text"},
		{T("F99", "[8]", "0", "32"), "tensor t has an unknown dtype"},
		{T("F32", "[9]", "0", "32"), "do not fit its shape"},
		{T("F32", "[8]", "0", "36"), "truncated"},
		{T("F32", "[8]", "-4", "28"), "no valid data_offsets"},
		{T("F32", "[8]", "32", "0"), "no valid data_offsets"},
		{T("F32", "[8]", "0", "32.0"), "no valid data_offsets"},
		{T("F32", "[8]", "0", "99999999999999999999"), "not valid JSON"},
		{T("F32", "[7]", "4", "32"), "does not begin where the one before it ends"},
		{T("F32", "[7]", "0", "28"), "bytes after the last tensor"},
		{T("F32", "[0]", "0", "0"), "has a dimension of zero"},
		{T("F32", "[-8]", "0", "32"), "not a natural number"},
		{T("F32", "[\"8\"]", "0", "32"), "not a natural number"},
		{T("F32", "[2,2,2,1,1]", "0", "32"), "more than 4 dimensions"},
		{T("F32", "[4611686018427387904,4]", "0", "0"), "do not fit its shape"},
		{"{" SAFE_ALPHA
		 ",\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[20,32]}}",
		 "tensor t does not begin where the one before it ends"},
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		make_safetensors(&self->b, bad[i].header, 32);
		EXPECT_REFUSED(self, -EBADMSG, bad[i].sentence);
	}
	make_safetensors(&self->b, T("F32", "[8]", "0", "32"), 32);
	EXPECT_EQ(0, open_bytes(self->path, &self->b, &self->file));
	set64(&self->b, 0, UINT64_MAX);
	EXPECT_REFUSED(self, -EBADMSG, "the header has more than");
	set64(&self->b, 0, 100000000);
	EXPECT_REFUSED(self, -EBADMSG, "truncated in the header");
}

TEST_HARNESS_MAIN
