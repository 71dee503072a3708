/* SPDX-License-Identifier: MIT */
/* The first card's power management, as sysfs has it. */
#ifndef POWER_H
#define POWER_H

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POWER "/sys/bus/pci/drivers/q35/*:*/power/"

/* A file of the first card's. */
static inline int open_power(const char *name, int flags)
{
	char pattern[128];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), POWER "%s", name);
	if (glob(pattern, 0, NULL, &found))
		return -1;
	fd = open(found.gl_pathv[0], flags);
	globfree(&found);
	return fd;
}

static inline int set_delay(const char *ms)
{
	int fd = open_power("autosuspend_delay_ms", O_WRONLY);
	ssize_t written = write(fd, ms, strlen(ms));

	close(fd);
	return written < 0 ? -errno : 0;
}

static inline int status_is(const char *wanted)
{
	char status[32] = "";
	int fd = open_power("runtime_status", O_RDONLY);
	ssize_t length = read(fd, status, sizeof(status) - 1);

	close(fd);
	return length > 0 && !strncmp(status, wanted, strlen(wanted));
}

static inline int sleeps(void)
{
	unsigned int i;

	for (i = 0; i < 1000 && !status_is("suspended"); i++)
		usleep(10000);
	return status_is("suspended");
}

#endif /* POWER_H */
