// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes of the PCI device, in its sysfs directory under q35/, readable by anyone, one value
 * each; those of interrupt coalescing can be set by the administrator:
 *
 *	version		of the card's interface, major.minor
 *	features	the optional abilities of the card, by name
 *	queues, vms	how many the card has
 *	memory_total	bytes of device memory, and how many of them are free
 *	memory_free
 *	busy_ns		what all queues together have computed since the driver was bound; the growth
 *			over a second, by the queues' number, is the card's utilisation
 *	queue_resets	queues that were reset because they faulted or hung
 *	card_resets	resets of the whole card, because a queue alone could not be
 *	coalesce_submissions	for so many that have ended the completion interrupt waits, or ...
 *	coalesce_usecs	... for so many microseconds since the first of them; 0: not at all
 *	lost_interrupts	completions and faults that the card did not announce, found by polling
 */
#include <linux/bitfield.h>
#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/sysfs.h>

#include "q35_device.h"
#include "q35_queue.h"
#include "q35_sysfs.h"

static ssize_t version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u32 version = dev_to_q35_device(dev)->caps.version;

	return sysfs_emit(buf, "%u.%u\n", version >> 16, version & 0xffff);
}
static DEVICE_ATTR_RO(version);

static ssize_t features_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const struct {
		u32 bit;
		const char *name;
	} features[] = {
		{Q35_FEATURE_GEMM, "gemm"},	      {Q35_FEATURE_COPY, "copy"},
		{Q35_FEATURE_FILL, "fill"},	      {Q35_FEATURE_FENCE, "fence"},
		{Q35_FEATURE_TIMESTAMP, "timestamp"}, {Q35_FEATURE_PRIORITY, "priority"},
		{Q35_FEATURE_COALESCE, "coalesce"},
	};
	u32 has = dev_to_q35_device(dev)->caps.features;
	int len = 0;

	for (u32 i = 0; i < ARRAY_SIZE(features); i++)
		if (has & features[i].bit)
			len += sysfs_emit_at(buf, len, "%s%s", len ? " " : "", features[i].name);
	return len + sysfs_emit_at(buf, len, "\n");
}
static DEVICE_ATTR_RO(features);

static ssize_t queues_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", dev_to_q35_device(dev)->caps.queues);
}
static DEVICE_ATTR_RO(queues);

static ssize_t vms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", dev_to_q35_device(dev)->caps.vms);
}
static DEVICE_ATTR_RO(vms);

static ssize_t memory_total_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", dev_to_q35_device(dev)->memory.buddy.size);
}
static DEVICE_ATTR_RO(memory_total);

static ssize_t memory_free_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct q35_device *q35 = dev_to_q35_device(dev);
	u64 avail;

	mutex_lock(&q35->memory.lock);
	avail = q35->memory.buddy.avail;
	mutex_unlock(&q35->memory.lock);
	return sysfs_emit(buf, "%llu\n", avail);
}
static DEVICE_ATTR_RO(memory_free);

static ssize_t busy_ns_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct q35_device *q35 = dev_to_q35_device(dev);
	u64 busy;

	mutex_lock(&q35->slots_lock);
	busy = q35->busy_ns;
	for (u32 i = 0; i < q35->caps.queues; i++)
		if (q35->queues[i])
			busy += q35_queue_busy_ns(q35->queues[i]);
	mutex_unlock(&q35->slots_lock);
	return sysfs_emit(buf, "%llu\n", busy);
}
static DEVICE_ATTR_RO(busy_ns);

static ssize_t queue_resets_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&dev_to_q35_device(dev)->queue_resets));
}
static DEVICE_ATTR_RO(queue_resets);

static ssize_t card_resets_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&dev_to_q35_device(dev)->card_resets));
}
static DEVICE_ATTR_RO(card_resets);

static ssize_t lost_interrupts_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&dev_to_q35_device(dev)->lost_interrupts));
}
static DEVICE_ATTR_RO(lost_interrupts);

static ssize_t q35_coalesce_store(struct device *dev, const char *buf, size_t len, u32 mask,
				  u32 max)
{
	struct q35_device *q35 = dev_to_q35_device(dev);
	u32 value;
	int ret;

	if (!(q35->caps.features & Q35_FEATURE_COALESCE))
		return -EOPNOTSUPP;
	ret = kstrtou32(buf, 0, &value);
	if (!ret && value > max)
		ret = -ERANGE;
	if (!ret)
		ret = q35_device_set_coalescing(q35, mask, value << __ffs(mask));
	return ret ?: len;
}

static ssize_t coalesce_submissions_show(struct device *dev, struct device_attribute *attr,
					 char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  (u32)FIELD_GET(Q35_COALESCE_COUNT, dev_to_q35_device(dev)->coalesce));
}

static ssize_t coalesce_submissions_store(struct device *dev, struct device_attribute *attr,
					  const char *buf, size_t len)
{
	return q35_coalesce_store(dev, buf, len, Q35_COALESCE_COUNT, U16_MAX);
}
static DEVICE_ATTR_RW(coalesce_submissions);

static ssize_t coalesce_usecs_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  (u32)FIELD_GET(Q35_COALESCE_USEC, dev_to_q35_device(dev)->coalesce));
}

static ssize_t coalesce_usecs_store(struct device *dev, struct device_attribute *attr,
				    const char *buf, size_t len)
{
	return q35_coalesce_store(dev, buf, len, Q35_COALESCE_USEC, Q35_COALESCE_USEC_MAX);
}
static DEVICE_ATTR_RW(coalesce_usecs);

static struct attribute *q35_attrs[] = {
	&dev_attr_version.attr,
	&dev_attr_features.attr,
	&dev_attr_queues.attr,
	&dev_attr_vms.attr,
	&dev_attr_memory_total.attr,
	&dev_attr_memory_free.attr,
	&dev_attr_busy_ns.attr,
	&dev_attr_queue_resets.attr,
	&dev_attr_card_resets.attr,
	&dev_attr_lost_interrupts.attr,
	&dev_attr_coalesce_submissions.attr,
	&dev_attr_coalesce_usecs.attr,
	NULL,
};

static const struct attribute_group q35_group = {
	.name = "q35",
	.attrs = q35_attrs,
};

const struct attribute_group *q35_groups[] = {&q35_group, NULL};
