/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_CLIENT_H
#define Q35_CLIENT_H

#include <linux/atomic.h>
#include <linux/xarray.h>

struct drm_device;
struct drm_file;
struct q35_device;
struct q35_queue;
struct q35_vm;

/* One open file. The arrays' own locks protect lookup against removal; ids start at 1. */
struct q35_client {
	struct q35_device *q35;
	struct xarray vms;
	struct xarray queues;
	atomic64_t busy_ns; /* of queues already destroyed */
};

struct q35_vm *q35_client_get_vm(struct q35_client *client, u32 id);
struct q35_queue *q35_client_get_queue(struct q35_client *client, u32 id);

int q35_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);
int q35_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file);
int q35_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int q35_ioctl_bo_mmap_offset(struct drm_device *drm, void *data, struct drm_file *file);
int q35_ioctl_bo_info(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* Q35_CLIENT_H */
