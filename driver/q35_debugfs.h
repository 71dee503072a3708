/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_DEBUGFS_H
#define Q35_DEBUGFS_H

struct q35_device;

void q35_debugfs_init(struct q35_device *q35);

#endif /* Q35_DEBUGFS_H */
