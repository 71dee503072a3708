// SPDX-License-Identifier: MIT
/* Writing GGUF: what was described comes back, and a failure leaves nothing behind. */
#include <dirent.h>
#include <errno.h>
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

FIXTURE(writer)
{
	char folder[32], path[64], other[64];
	struct q35_writer *w;
	struct q35_file *file;
};

FIXTURE_SETUP(writer)
{
	strcpy(self->folder, "/tmp/q35-writer-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->folder));
	snprintf(self->path, sizeof(self->path), "%s/out", self->folder);
	snprintf(self->other, sizeof(self->other), "%s/other", self->folder);
	ASSERT_EQ(0, q35_writer_create(self->path, &self->w));
}

FIXTURE_TEARDOWN(writer)
{
	q35_writer_destroy(self->w);
	q35_file_close(self->file);
	unlink(self->path);
	unlink(self->other);
	ASSERT_EQ(0, rmdir(self->folder));
}

static int files_in(const char *folder)
{
	DIR *dir = opendir(folder);
	int count = -2; /* . and .. */

	if (!dir)
		return -1;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static int describe(struct q35_writer *w, const char *name, int type, uint64_t rows,
		    uint64_t columns)
{
	const uint64_t shape[2] = {rows, columns};

	return q35_writer_tensor(w, name, type, 2, shape);
}

TEST_F(writer, what_was_described_reads_back)
{
	static const uint8_t data[30] = "thirty bytes of nothing at all";
	static const int8_t codes[3] = {-128, 0, 127};
	const struct q35_tensor *t;
	const char *s;
	uint64_t u;
	size_t size;
	double d;

	ASSERT_EQ(0, q35_writer_u32(self->w, "a", 7));
	ASSERT_EQ(0, q35_writer_string(self->w, "b", "text"));
	ASSERT_EQ(0, q35_writer_i8_array(self->w, "c", codes, 3));
	ASSERT_EQ(0, q35_writer_u32(self->w, "b", 9)); /* replaces the string */
	ASSERT_EQ(0, describe(self->w, "x", Q35_TENSOR_I8, 5, 6));
	ASSERT_EQ(0, describe(self->w, "y", Q35_TENSOR_BF16, 5, 3));
	ASSERT_EQ(0, q35_writer_begin(self->w));
	ASSERT_EQ(0, q35_writer_data(self->w, data, 10));
	ASSERT_EQ(0, q35_writer_data(self->w, data + 10, 20));
	ASSERT_EQ(0, q35_writer_data(self->w, data, 30));
	EXPECT_EQ(-1, access(self->path, F_OK));
	ASSERT_EQ(0, q35_writer_finish(self->w));
	EXPECT_EQ(1, files_in(self->folder));

	ASSERT_EQ(0, q35_file_open(self->path, &self->file));
	EXPECT_EQ(3, q35_file_keys(self->file));
	EXPECT_EQ(0, q35_file_u64(self->file, "a", &u));
	EXPECT_EQ(7, u);
	EXPECT_EQ(0, q35_file_u64(self->file, "b", &u));
	EXPECT_EQ(9, u);
	EXPECT_EQ(0, q35_file_array_f64(self->file, "c", 0, &d));
	EXPECT_EQ(-128, d);
	EXPECT_EQ(-ENOENT, q35_file_string(self->file, "d", &s, &size));
	t = q35_file_find(self->file, "y");
	ASSERT_NE(NULL, t);
	EXPECT_EQ(Q35_TENSOR_BF16, t->type);
	EXPECT_EQ(5, t->shape[0]);
	EXPECT_EQ(3, t->shape[1]);
	EXPECT_EQ(0, memcmp(t->data, data, 30));
	t = q35_file_find(self->file, "x");
	ASSERT_NE(NULL, t);
	EXPECT_EQ(0, memcmp(t->data, data, 30));
}

/* An array of strings, one nested and one empty, a bool: kinds that only a copy can write. */
TEST_F(writer, copied_metadata_is_byte_for_byte_the_same)
{
#define PART(bytes)                      \
	{                                \
		bytes, sizeof(bytes) - 1 \
	}
	static const struct {
		const char *bytes;
		size_t size;
	} parts[] = {
		PART("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0"),
		PART("\2\0\0\0\0\0\0\0zz\7\0\0\0\1"),
		PART("\1\0\0\0\0\0\0\0s\11\0\0\0\10\0\0\0\2\0\0\0\0\0\0\0"),
		PART("\1\0\0\0\0\0\0\0A\0\0\0\0\0\0\0\0"),
		PART("\1\0\0\0\0\0\0\0n\11\0\0\0\11\0\0\0\1\0\0\0\0\0\0\0"),
		PART("\0\0\0\0\1\0\0\0\0\0\0\0B"),
		PART("\1\0\0\0\0\0\0\0e\11\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0"),
	};
	FILE *f = fopen(self->other, "wb");
	char back[512];
	size_t i, size, at = 0;

	ASSERT_NE(NULL, f);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		ASSERT_EQ(1, fwrite(parts[i].bytes, parts[i].size, 1, f));
	ASSERT_EQ(0, fclose(f));
	ASSERT_EQ(0, q35_file_open(self->other, &self->file));
	ASSERT_EQ(0, q35_writer_copy_metadata(self->w, self->file));
	ASSERT_EQ(0, q35_writer_begin(self->w));
	ASSERT_EQ(0, q35_writer_finish(self->w));

	f = fopen(self->path, "rb");
	ASSERT_NE(NULL, f);
	size = fread(back, 1, sizeof(back), f);
	fclose(f);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		ASSERT_LE(at + parts[i].size, size);
		EXPECT_EQ(0, memcmp(back + at, parts[i].bytes, parts[i].size));
		at += parts[i].size;
	}
	EXPECT_EQ((at + 31) / 32 * 32, size);
}

TEST_F(writer, a_writer_given_up_leaves_the_old_file_alone)
{
	char text[8] = "";
	FILE *f = fopen(self->path, "w");

	ASSERT_NE(NULL, f);
	fputs("old", f);
	fclose(f);
	ASSERT_EQ(0, describe(self->w, "x", Q35_TENSOR_I8, 1, 4));
	ASSERT_EQ(0, q35_writer_begin(self->w));
	ASSERT_EQ(0, q35_writer_data(self->w, "new!", 4));
	q35_writer_destroy(self->w);
	self->w = NULL;
	EXPECT_EQ(1, files_in(self->folder));
	f = fopen(self->path, "r");
	ASSERT_NE(NULL, f);
	EXPECT_EQ(3, fread(text, 1, sizeof(text), f));
	fclose(f);
	EXPECT_STREQ("old", text);
}

TEST_F(writer, a_full_disk_is_said_before_the_work_begins)
{
	struct rlimit limit = {4096, 4096};

	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(0, describe(self->w, "x", Q35_TENSOR_F32, 64, 64));
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(-EFBIG, q35_writer_begin(self->w));
	EXPECT_NE(NULL, strstr(q35_error(NULL), "/out: cannot be written: File too large"));
	q35_writer_destroy(self->w);
	self->w = NULL;
	EXPECT_EQ(0, files_in(self->folder));
}

TEST_F(writer, data_must_match_its_description)
{
	ASSERT_EQ(0, describe(self->w, "x", Q35_TENSOR_I8, 1, 4));
	EXPECT_EQ(-EINVAL, q35_writer_data(self->w, "four", 4));
	ASSERT_EQ(0, q35_writer_begin(self->w));
	EXPECT_EQ(-EINVAL, q35_writer_begin(self->w));
	EXPECT_EQ(-EINVAL, describe(self->w, "y", Q35_TENSOR_I8, 1, 4));
	EXPECT_EQ(-EINVAL, q35_writer_u32(self->w, "late", 1));
	EXPECT_EQ(-EINVAL, q35_writer_data(self->w, "fives", 5));
	EXPECT_EQ(0, q35_writer_data(self->w, "abc", 3));
	EXPECT_EQ(-EINVAL, q35_writer_finish(self->w));
	EXPECT_EQ(0, q35_writer_data(self->w, "d", 1));
	EXPECT_EQ(-EINVAL, q35_writer_data(self->w, "e", 1));
	EXPECT_EQ(0, q35_writer_finish(self->w));
}

TEST_F(writer, unusable_descriptions_are_refused)
{
	char name[65];

	memset(name, 'n', 64);
	name[64] = '\0';
	EXPECT_EQ(-EINVAL, describe(self->w, name, Q35_TENSOR_I8, 1, 1));
	name[63] = '\0';
	EXPECT_EQ(0, describe(self->w, name, Q35_TENSOR_I8, 1, 1));
	EXPECT_EQ(-EINVAL, describe(self->w, name, Q35_TENSOR_I8, 1, 1));
	EXPECT_EQ(-EINVAL, describe(self->w, "", Q35_TENSOR_I8, 1, 1));
	EXPECT_EQ(-EINVAL, describe(self->w, "x", Q35_TENSOR_OTHER, 1, 1));
	EXPECT_EQ(-EINVAL, describe(self->w, "x", Q35_TENSOR_I8, 0, 1));
	EXPECT_EQ(-EINVAL, describe(self->w, "x", Q35_TENSOR_F32, 1ull << 62, 1));
	EXPECT_EQ(-EINVAL, q35_writer_u32(self->w, "not\ntext", 1));
}

TEST_F(writer, only_a_regular_file_may_be_replaced)
{
	struct q35_writer *w = NULL;
	struct stat st;

	ASSERT_EQ(0, mkfifo(self->other, 0600));
	EXPECT_EQ(-EISDIR, q35_writer_create(self->folder, &w));
	EXPECT_EQ(-EEXIST, q35_writer_create(self->other, &w));
	EXPECT_EQ(-ENOENT, q35_writer_create("/nonexistent/out", &w));
	EXPECT_EQ(NULL, w);
	ASSERT_EQ(0, stat(self->other, &st));
	EXPECT_TRUE(S_ISFIFO(st.st_mode));
}

/* A Q35 matrix of 1 x 9 whose description is shape. */
static int write_matrix(const char *path, const int32_t shape[4], size_t tiles_size)
{
	static uint8_t zeros[1024];
	int8_t codebook[Q35_CODEBOOK_SIZE];
	const uint64_t four = 4, meta = 128;
	struct q35_writer *w;
	size_t i;
	int ret;

	for (i = 0; i < sizeof(codebook); i++)
		codebook[i] = (int8_t)i;
	ret = q35_writer_create(path, &w);
	if (ret)
		return ret;
	ret = q35_writer_u32(w, "q35.version", 1) || q35_writer_u32(w, "q35.window_bits", 8) ||
	      q35_writer_i8_array(w, "q35.codebook", codebook, sizeof(codebook)) ||
	      q35_writer_tensor(w, "m.q35_shape", Q35_TENSOR_I32, 1, &four) ||
	      q35_writer_tensor(w, "m.q35_tiles", Q35_TENSOR_I8, 1, &tiles_size) ||
	      q35_writer_tensor(w, "m.q35_meta", Q35_TENSOR_I8, 1, &meta) || q35_writer_begin(w) ||
	      q35_writer_data(w, shape, 16) || q35_writer_data(w, zeros, tiles_size) ||
	      q35_writer_data(w, zeros, meta) || q35_writer_finish(w);
	q35_writer_destroy(w);
	return ret;
}

TEST_F(writer, a_matrix_is_found_again)
{
	const int32_t shape[4] = {1, 9, 0, 0};
	struct q35_weights w;

	ASSERT_EQ(0, write_matrix(self->other, shape, 448));
	ASSERT_EQ(0, q35_file_open(self->other, &self->file));
	EXPECT_EQ(-ENOENT, q35_file_weights(self->file, "other", &w));
	ASSERT_EQ(0, q35_file_weights(self->file, "m", &w));
	EXPECT_EQ(1, w.n);
	EXPECT_EQ(9, w.k);
	EXPECT_EQ(0, w.group);
	EXPECT_EQ(8, w.window_bits);
	EXPECT_EQ(-1, w.codebook[511]);
	EXPECT_EQ(q35_file_find(self->file, "m.q35_tiles")->data, w.tiles);
	EXPECT_EQ(q35_file_find(self->file, "m.q35_meta")->data, w.meta);
}

TEST_F(writer, a_matrix_that_does_not_fit_its_shape_is_refused)
{
	static const struct {
		int32_t shape[4];
		size_t tiles;
		const char *sentence;
	} bad[] = {
		{{1, 9, 0, 0}, 447, "m.q35_tiles is not I8 of 448 bytes"},
		{{65, 9, 0, 0}, 448, "m.q35_tiles is not I8 of 896 bytes"},
		{{1, 9, 0, Q35_META_ZERO}, 448, "m.q35_meta is not I8 of 256 bytes"},
		{{0, 9, 0, 0}, 448, "m.q35_shape: dimensions"},
		{{1, -9, 0, 0}, 448, "m.q35_shape: dimensions"},
		{{1, 131073, 0, 0}, 448, "m.q35_shape: dimensions"},
		{{1, 9, 64, 0}, 448, "m.q35_shape: unknown group or flags"},
		{{1, 9, 0, 4}, 448, "m.q35_shape: unknown group or flags"},
		{{1, 9, 0, Q35_META_MULTIPLIER}, 448, "m.q35_shape: unknown group or flags"},
	};
	struct q35_weights w;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ASSERT_EQ(0, write_matrix(self->other, bad[i].shape, bad[i].tiles));
		ASSERT_EQ(0, q35_file_open(self->other, &self->file));
		EXPECT_EQ(-EBADMSG, q35_file_weights(self->file, "m", &w));
		EXPECT_NE(NULL, strstr(q35_error(NULL), bad[i].sentence))
		{
			TH_LOG("said: %s", q35_error(NULL));
		}
		q35_file_close(self->file);
		self->file = NULL;
	}
}

TEST_HARNESS_MAIN
