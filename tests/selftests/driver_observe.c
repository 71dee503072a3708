// SPDX-License-Identifier: MIT
/*
 * What the driver shows of itself: fdinfo, sysfs, debugfs, tracepoints. The card must have been started with
 * x-fault=hang-fill.
 */
#include "kselftest_harness.h"

#include <glob.h>

#include "q35_test.h"

#define ATTRIBUTES "/sys/bus/pci/drivers/q35/*:*/q35/"
#define DEBUGFS "/sys/kernel/debug/accel/*:*/"
#define TEXT_MAX 16384

FIXTURE(observe)
{
	struct rig rig;
	char text[TEXT_MAX];
};

FIXTURE_SETUP(observe)
{
	ASSERT_EQ(0, rig_open(&self->rig, 100));
}

FIXTURE_TEARDOWN(observe)
{
	rig_close(&self->rig);
}

/* All of the first file that matches, or an empty string. */
static const char *read_text(const char *pattern, char *text)
{
	size_t length = 0;
	glob_t found;
	FILE *file;

	text[0] = '\0';
	if (glob(pattern, 0, NULL, &found))
		return text;
	file = fopen(found.gl_pathv[0], "r");
	globfree(&found);
	if (!file)
		return text;
	length = fread(text, 1, TEXT_MAX - 1, file);
	text[length] = '\0';
	fclose(file);
	return text;
}

static uint64_t attribute(const char *name)
{
	char path[128], text[TEXT_MAX];

	snprintf(path, sizeof(path), ATTRIBUTES "%s", name);
	return strtoull(read_text(path, text), NULL, 0);
}

/* The number after the key in this process' fdinfo of the card. */
static uint64_t client_figure(int fd, const char *key)
{
	char path[64], text[TEXT_MAX];
	const char *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	line = strstr(read_text(path, text), key);
	return line ? strtoull(line + strlen(key), NULL, 0) : UINT64_MAX;
}

TEST_F(observe, attributes_say_what_the_card_is)
{
	struct drm_q35_device device;
	struct drm_q35_memory memory;
	char version[32];

	ASSERT_EQ(0, query_device(self->rig.fd, &device));
	ASSERT_EQ(0, query_memory(self->rig.fd, &memory));
	snprintf(version, sizeof(version), "%u.%u\n", device.version >> 16,
		 device.version & 0xffff);
	EXPECT_STREQ(version, read_text(ATTRIBUTES "version", self->text));
	EXPECT_EQ(0, strncmp("gemm copy fill", read_text(ATTRIBUTES "features", self->text), 14));
	EXPECT_EQ(device.queues, attribute("queues"));
	EXPECT_EQ(device.vms, attribute("vms"));
	EXPECT_EQ(memory.total, attribute("memory_total"));
	EXPECT_EQ(memory.free, attribute("memory_free"));
}

TEST_F(observe, busy_time_grows_with_work_and_outlives_the_queue)
{
	struct q35_hw_desc job = fill_job(BASE, RIG_SIZE, 1);
	uint64_t before = attribute("busy_ns"), client, after;

	EXPECT_EQ(0, client_figure(self->rig.fd, "drm-engine-npu:"));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, &job, 1));
	client = client_figure(self->rig.fd, "drm-engine-npu:");
	after = attribute("busy_ns");
	EXPECT_LT(0, client);
	EXPECT_EQ(before + client, after);
	ASSERT_EQ(0, queue_destroy(self->rig.fd, self->rig.queue));
	EXPECT_EQ(client, client_figure(self->rig.fd, "drm-engine-npu:"));
	EXPECT_EQ(after, attribute("busy_ns"));
}

TEST_F(observe, resident_memory_is_what_has_been_allocated)
{
	uint32_t untouched, device;

	ASSERT_EQ(0, bo_create(self->rig.fd, 5 * MIB, 0, &untouched));
	ASSERT_EQ(0, bo_create(self->rig.fd, 3 * MIB, DRM_Q35_BO_DEVICE, &device));
	EXPECT_EQ(7, client_figure(self->rig.fd, "drm-total-host:"));
	EXPECT_EQ(2, client_figure(self->rig.fd, "drm-resident-host:"));
	EXPECT_EQ(3, client_figure(self->rig.fd, "drm-resident-device:"));
}

TEST_F(observe, a_hang_is_counted_and_shown)
{
	uint64_t resets = attribute("queue_resets"), cards = attribute("card_resets");
	struct q35_hw_desc hang = hang_job();
	char line[64];

	snprintf(line, sizeof(line), " %d driver_observe ", getpid());
	EXPECT_NE(NULL, strstr(read_text(DEBUGFS "queues", self->text), line));
	EXPECT_EQ(NULL, strstr(self->text, " hang "));
	ASSERT_EQ(-EIO, run(self->rig.fd, self->rig.queue, &hang, 1));
	EXPECT_NE(NULL, strstr(read_text(DEBUGFS "queues", self->text), " hang "));
	EXPECT_EQ(resets + 1, attribute("queue_resets"));
	EXPECT_EQ(cards, attribute("card_resets"));
}

TEST_F(observe, debugfs_lists_mappings_and_memory)
{
	EXPECT_NE(NULL, strstr(read_text(DEBUGFS "vms", self->text), "address space 0:"));
	EXPECT_NE(NULL, strstr(self->text, "0x0000000040000000")); /* BASE */
	EXPECT_NE(NULL, strstr(read_text(DEBUGFS "mm", self->text), "free:"));
}

#define TRACING "/sys/kernel/tracing/"

/* Where the next event from there on with the words in it begins, or NULL. */
static const char *find_event(const char *from, const char *event, const char *words)
{
	char line[256];
	const char *end;

	for (; from && (from = strstr(from, event)); from = end) {
		end = strchrnul(from, '\n');
		snprintf(line, sizeof(line), "%.*s", (int)(end - from), from);
		if (strstr(line, words))
			return from;
	}
	return NULL;
}

TEST_F(observe, tracepoints_follow_a_submission_to_its_end)
{
	struct q35_hw_desc jobs[2] = {fill_job(BASE, 4, 1), fill_job(5 * GIB + 64, 4, 1)};
	const char *at;

	ASSERT_EQ(0, write_text(TRACING "trace", ""));
	ASSERT_EQ(0, write_text(TRACING "events/q35/enable", "1"));
	ASSERT_EQ(0, map_at(self->rig.fd, self->rig.vm, 0, self->rig.bo, 0, 2 * GIB, PAGE));
	ASSERT_EQ(0, run(self->rig.fd, self->rig.queue, jobs, 1));
	ASSERT_EQ(-EIO, run(self->rig.fd, self->rig.queue, jobs, 2));
	ASSERT_EQ(0, write_text(TRACING "events/q35/enable", "0"));

	at = read_text(TRACING "trace", self->text);
	EXPECT_NE(NULL, at = find_event(at, "q35_bind:", "va 0x80000000, size 0x1000,"));
	EXPECT_NE(NULL, at = find_event(at, "q35_submit:", "submission 0: 1 jobs"));
	EXPECT_NE(NULL, at = find_event(at, "q35_run:", "submission 0: ring index 0, 1 jobs"));
	EXPECT_NE(NULL, at = find_event(at, "q35_complete:", "submission 0: 0"));
	EXPECT_NE(NULL, at = find_event(at, "q35_submit:", "submission 1: 2 jobs"));
	EXPECT_NE(NULL, at = find_event(at, "q35_run:", "submission 1: ring index 1, 2 jobs"));
	EXPECT_NE(NULL, at = find_event(at, "q35_fault:", "submission 1 job 1: status 1, code 1,"));
	EXPECT_NE(NULL, find_event(at, "q35_fault:", "info 0x80000000, address 0x140000040"));
	EXPECT_NE(NULL, at = find_event(at, "q35_reset:", ": 0"));
	EXPECT_NE(NULL, at = find_event(at, "q35_complete:", "submission 1: -5"));
}

TEST_HARNESS_MAIN
