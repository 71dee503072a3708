/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_PM_H
#define Q35_PM_H

#include <linux/pm.h>

struct q35_device;

extern const struct dev_pm_ops q35_pm_ops;

void q35_pm_init(struct q35_device *q35);
void q35_pm_fini(struct q35_device *q35);

int q35_pm_enter(struct q35_device *q35, int *idx);
void q35_pm_exit(struct q35_device *q35, int idx);
void q35_pm_get(struct q35_device *q35);
void q35_pm_put(struct q35_device *q35);

#endif /* Q35_PM_H */
