// SPDX-License-Identifier: MIT
/* The search for a card, in trees that look like /sys. */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "discover.h"
#include "q35.h"

FIXTURE(sysfs)
{
	char root[32];
	char node[Q35_NODE_SIZE];
	int dir;
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

FIXTURE_SETUP(sysfs)
{
	static const char *const dirs[] = {"class",
					   "class/accel",
					   "bus",
					   "bus/pci",
					   "bus/pci/devices",
					   "bus/pci/drivers",
					   "devices",
					   "module",
					   "bus/pci/drivers/q35",
					   "bus/pci/drivers/vfio-pci"};
	unsigned int i;

	strcpy(self->root, "/tmp/q35-sysfs-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	self->dir = open(self->root, O_DIRECTORY | O_RDONLY);
	ASSERT_LE(0, self->dir);
	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		ASSERT_EQ(0, mkdirat(self->dir, dirs[i], 0755));
}

FIXTURE_TEARDOWN(sysfs)
{
	close(self->dir);
	nftw(self->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static int put(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	ssize_t size = write(fd, text, strlen(text));

	return close(fd) || size != (ssize_t)strlen(text);
}

static int add_function(int dir, const char *pci, const char *device, const char *driver)
{
	char path[80], target[80];
	int ret;

	snprintf(path, sizeof(path), "devices/%s", pci);
	ret = mkdirat(dir, path, 0755);
	snprintf(path, sizeof(path), "devices/%s/vendor", pci);
	ret |= put(dir, path, "0x1234\n");
	snprintf(path, sizeof(path), "devices/%s/device", pci);
	ret |= put(dir, path, device);
	if (driver) {
		snprintf(path, sizeof(path), "devices/%s/driver", pci);
		snprintf(target, sizeof(target), "../../bus/pci/drivers/%s", driver);
		ret |= symlinkat(target, dir, path);
	}
	snprintf(path, sizeof(path), "bus/pci/devices/%s", pci);
	snprintf(target, sizeof(target), "../../../devices/%s", pci);
	return ret | symlinkat(target, dir, path);
}

static int add_node(int dir, const char *name, const char *pci)
{
	char path[80], target[80];
	int ret;

	snprintf(path, sizeof(path), "class/accel/%s", name);
	ret = mkdirat(dir, path, 0755);
	snprintf(path, sizeof(path), "class/accel/%s/device", name);
	snprintf(target, sizeof(target), "../../../devices/%s", pci);
	return ret | symlinkat(target, dir, path);
}

TEST_F(sysfs, no_card_is_told_apart)
{
	EXPECT_EQ(Q35_NO_CARD, q35_discover("/nonexistent", NULL, self->node));
	EXPECT_EQ(Q35_NO_CARD, q35_discover(self->root, NULL, self->node));
	ASSERT_EQ(0, add_function(self->dir, "0000:00:01.0", "0x1111\n", NULL));
	EXPECT_EQ(Q35_NO_CARD, q35_discover(self->root, NULL, self->node));
}

TEST_F(sysfs, the_lowest_node_of_the_driver_is_first)
{
	ASSERT_EQ(0, add_function(self->dir, "0000:00:02.0", "0x7d1d\n", "vfio-pci"));
	ASSERT_EQ(0, add_function(self->dir, "0000:00:04.0", "0x3535\n", "q35"));
	ASSERT_EQ(0, add_function(self->dir, "0000:00:05.0", "0x3535\n", "q35"));
	ASSERT_EQ(0, add_node(self->dir, "accel0", "0000:00:02.0"));
	ASSERT_EQ(0, add_node(self->dir, "accel10", "0000:00:04.0"));
	ASSERT_EQ(0, add_node(self->dir, "accel2", "0000:00:05.0"));
	ASSERT_EQ(0, q35_discover(self->root, NULL, self->node));
	EXPECT_STREQ("/dev/accel/accel2", self->node);
	ASSERT_EQ(0, q35_discover(self->root, "0000:00:04.0", self->node));
	EXPECT_STREQ("/dev/accel/accel10", self->node);
	EXPECT_EQ(Q35_NO_CARD, q35_discover(self->root, "0000:00:02.0", self->node));
}

TEST_F(sysfs, a_card_of_another_driver_is_an_error)
{
	ASSERT_EQ(0, add_function(self->dir, "0000:00:04.0", "0x3535\n", "vfio-pci"));
	EXPECT_EQ(-ENOENT, q35_discover(self->root, NULL, self->node));
	EXPECT_STREQ("the Q35 card at 0000:00:04.0 belongs to the driver vfio-pci, not to q35",
		     q35_error(NULL));
}

TEST_F(sysfs, a_card_without_driver_is_explained)
{
	int major = 0, minor = 0;
	struct utsname system;

	ASSERT_EQ(0, add_function(self->dir, "0000:00:04.0", "0x3535\n", NULL));
	EXPECT_EQ(-ENOENT, q35_discover(self->root, NULL, self->node));

	ASSERT_EQ(0, uname(&system));
	ASSERT_EQ(2, sscanf(system.release, "%d.%d", &major, &minor));
	if (major < 6 || (major == 6 && minor < 12)) {
		EXPECT_NE(NULL, strstr(q35_error(NULL), "q35 needs Linux 6.12 or newer, this is"));
		return;
	}
	EXPECT_STREQ(
		"the Q35 card at 0000:00:04.0 has no driver: load the module (modprobe q35, or insmod build/q35.ko)",
		q35_error(NULL));

	ASSERT_EQ(0, mkdirat(self->dir, "module/q35", 0755));
	EXPECT_EQ(-ENOENT, q35_discover(self->root, NULL, self->node));
	EXPECT_STREQ(
		"the module q35 is loaded but did not take the Q35 card at 0000:00:04.0: dmesg says why",
		q35_error(NULL));
}

TEST_F(sysfs, a_driven_card_without_node_is_an_error)
{
	ASSERT_EQ(0, add_function(self->dir, "0000:00:04.0", "0x3535\n", "q35"));
	EXPECT_EQ(-ENOENT, q35_discover(self->root, NULL, self->node));
	EXPECT_STREQ("the Q35 card at 0000:00:04.0 has its driver but no node in /sys/class/accel",
		     q35_error(NULL));
}

TEST_HARNESS_MAIN
