// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "error.h"
#include "q35_hw.h"

#define KERNEL_MAJOR 6 /* the oldest kernel that the driver supports */
#define KERNEL_MINOR 12

#define PATH_SIZE 128 /* of the paths below /sys that are looked at */
#define PCI_SIZE 16 /* of a PCI address: 0000:00:04.0 */

/* The last component of what the link at path, below sys, points to; "" if there is no such link. */
static void link_name(int sys, const char *path, char name[PATH_SIZE])
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(sys, path, target, sizeof(target) - 1);
	const char *slash;

	name[0] = '\0';
	if (size < 0)
		return;
	target[size] = '\0';
	slash = strrchr(target, '/');
	snprintf(name, PATH_SIZE, "%.*s", PATH_SIZE - 1, slash ? slash + 1 : target);
}

static DIR *open_directory(int sys, const char *path)
{
	int fd = openat(sys, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* A hexadecimal attribute of a PCI function, 0 if it cannot be read. */
static unsigned int read_id(int sys, const char *pci, const char *attribute)
{
	char path[PATH_SIZE], text[16];
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "bus/pci/devices/%.*s/%s", PCI_SIZE, pci, attribute);
	fd = openat(sys, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[size < 0 ? 0 : size] = '\0';
	return (unsigned int)strtoul(text, NULL, 16);
}

/* The lowest accel node that the q35 driver has made, or the one of the PCI function. */
static int find_node(int sys, const char *pci)
{
	char path[PATH_SIZE], name[PATH_SIZE], end;
	DIR *dir = open_directory(sys, "class/accel");
	struct dirent *entry;
	int lowest = INT_MAX;

	if (!dir)
		return INT_MAX;
	/* cppcheck-suppress readdirCalled ; nobody else reads this stream */
	while ((entry = readdir(dir))) {
		int minor;

		if (sscanf(entry->d_name, "accel%d%c", &minor, &end) != 1 || minor < 0)
			continue;
		snprintf(path, sizeof(path), "class/accel/accel%d/device/driver", minor);
		link_name(sys, path, name);
		if (strcmp(name, Q35_DRIVER_NAME))
			continue;
		snprintf(path, sizeof(path), "class/accel/accel%d/device", minor);
		link_name(sys, path, name);
		if ((!pci || !strcmp(name, pci)) && minor < lowest)
			lowest = minor;
	}
	closedir(dir);
	return lowest;
}

static int explain_undriven(int sys, const char *pci)
{
	char path[PATH_SIZE], driver[PATH_SIZE];
	int major = 0, minor = 0;
	struct utsname system;

	snprintf(path, sizeof(path), "bus/pci/devices/%.*s/driver", PCI_SIZE, pci);
	link_name(sys, path, driver);
	if (!strcmp(driver, Q35_DRIVER_NAME))
		return q35_fail(NULL, -ENOENT,
				"the Q35 card at %s has its driver but no node in /sys/class/accel",
				pci);
	if (driver[0])
		return q35_fail(NULL, -ENOENT,
				"the Q35 card at %s belongs to the driver %s, not to %s", pci,
				driver, Q35_DRIVER_NAME);

	if (!uname(&system) && sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
	    (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR)))
		return q35_fail(
			NULL, -ENOENT,
			"the Q35 card at %s has no driver: %s needs Linux %d.%d or newer, this is %s",
			pci, Q35_DRIVER_NAME, KERNEL_MAJOR, KERNEL_MINOR, system.release);
	if (!faccessat(sys, "module/" Q35_DRIVER_NAME, F_OK, 0))
		return q35_fail(
			NULL, -ENOENT,
			"the module %s is loaded but did not take the Q35 card at %s: dmesg says why",
			Q35_DRIVER_NAME, pci);
	return q35_fail(
		NULL, -ENOENT,
		"the Q35 card at %s has no driver: load the module (modprobe %s, or insmod build/%s.ko)",
		pci, Q35_DRIVER_NAME, Q35_DRIVER_NAME);
}

/* No node: is there a card nevertheless? */
static int find_undriven(int sys, const char *pci)
{
	DIR *dir = open_directory(sys, "bus/pci/devices");
	char first[PCI_SIZE] = "";
	struct dirent *entry;

	if (!dir)
		return Q35_NO_CARD;
	/* cppcheck-suppress readdirCalled ; nobody else reads this stream */
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		if ((pci && strcmp(name, pci)) ||
		    read_id(sys, name, "vendor") != Q35_PCI_VENDOR_ID ||
		    read_id(sys, name, "device") != Q35_PCI_DEVICE_ID)
			continue;
		if (!first[0] || strncmp(name, first, PCI_SIZE - 1) < 0)
			snprintf(first, sizeof(first), "%.*s", PCI_SIZE - 1, name);
	}
	closedir(dir);
	return first[0] ? explain_undriven(sys, first) : Q35_NO_CARD;
}

int q35_discover(const char *sysfs, const char *pci, char node[Q35_NODE_SIZE])
{
	int sys = open(sysfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int minor, ret = 0;

	if (sys < 0)
		return Q35_NO_CARD;
	minor = find_node(sys, pci);
	if (minor == INT_MAX)
		ret = find_undriven(sys, pci);
	else
		snprintf(node, Q35_NODE_SIZE, "/dev/accel/accel%d", minor);
	close(sys);
	return ret;
}
