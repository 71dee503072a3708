// SPDX-License-Identifier: MIT
#define _GNU_SOURCE /* O_TMPFILE */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_NAMES 100
#define FD_PATH "/proc/self/fd/%d"

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

/* -1: the file system has no such files, or /proc is not there to name them by. */
static int open_nameless(const char *path)
{
	char *folder = folder_of(path), name[32];
	int fd = folder ? open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666) : -1;

	free(folder);
	snprintf(name, sizeof(name), FD_PATH, fd);
	if (fd >= 0 && access(name, F_OK)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * Finds a name beside the target that is free and takes it, for the file open as nameless or, if that is
 * negative, for a new one. The descriptor, or -errno.
 */
static int take_name(struct q35_output *o, int nameless)
{
	size_t size = strlen(o->path) + 32;
	char name[32];
	int i, fd = -EEXIST;

	o->temp = malloc(size);
	if (!o->temp)
		return -ENOMEM;
	snprintf(name, sizeof(name), FD_PATH, nameless);
	for (i = 0; i < TEMP_NAMES && fd == -EEXIST; i++) {
		snprintf(o->temp, size, "%s.%ld-%d.tmp", o->path, (long)getpid(), i);
		if (nameless < 0)
			fd = open(o->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		else if (!linkat(AT_FDCWD, name, AT_FDCWD, o->temp, AT_SYMLINK_FOLLOW))
			fd = nameless;
		else
			fd = -1;
		if (fd < 0)
			fd = -errno;
	}
	if (fd < 0) {
		free(o->temp); /* not ours to remove */
		o->temp = NULL;
	}
	return fd;
}

int q35_output_open(struct q35_output *o, const char *path)
{
	struct stat st;
	int fd;

	*o = (struct q35_output){0};
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) /* rename() would replace a device */
		return S_ISDIR(st.st_mode) ? -EISDIR : -EEXIST;
	o->path = strdup(path);
	if (!o->path)
		return -ENOMEM;
	fd = open_nameless(path);
	if (fd < 0)
		fd = take_name(o, -1);
	if (fd >= 0) {
		o->file = fdopen(fd, "wb");
		if (!o->file) {
			close(fd);
			fd = -ENOMEM;
		}
	}
	if (fd < 0)
		q35_output_discard(o);
	return fd < 0 ? fd : 0;
}

/* The rename itself must survive a crash; where folders cannot be synced, it is as good as it gets. */
static void sync_folder(const char *path)
{
	char *folder = folder_of(path);
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

static int complete(struct q35_output *o)
{
	FILE *file = o->file;
	int fd = fileno(file);

	if (ferror(file)) /* of an earlier write, whose errno is gone */
		return -EIO;
	if (fflush(file))
		return -errno;
	if (fsync(fd) && errno != EINVAL) /* EINVAL: no such thing on this file system */
		return -errno;
	if (!o->temp) {
		fd = take_name(o, fd);
		if (fd < 0)
			return fd;
	}
	o->file = NULL;
	if (fclose(file) || rename(o->temp, o->path))
		return -errno;
	free(o->temp);
	o->temp = NULL;
	sync_folder(o->path);
	return 0;
}

int q35_output_finish(struct q35_output *o)
{
	int ret = complete(o);

	q35_output_discard(o);
	return ret;
}

void q35_output_discard(struct q35_output *o)
{
	if (o->file)
		fclose(o->file);
	if (o->temp)
		unlink(o->temp);
	free(o->temp);
	free(o->path);
	*o = (struct q35_output){0};
}

const char *q35_output_reason(int error)
{
	return error == -EEXIST ? "not a regular file" : strerror(-error);
}
