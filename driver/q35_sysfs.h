/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_SYSFS_H
#define Q35_SYSFS_H

struct attribute_group;

/* Of the PCI driver: the driver core adds them after probe and takes them away before remove. */
extern const struct attribute_group *q35_groups[];

#endif /* Q35_SYSFS_H */
