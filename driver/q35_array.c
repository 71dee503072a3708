// SPDX-License-Identifier: GPL-2.0-only
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "drm/q35_accel.h"
#include "q35_array.h"

/*
 * q35_array_copy() - copy an array that user space hands in
 * @array: where it is
 * @size: bytes of an element that the driver knows; none has grown yet, so also the least stride
 * @cap: the most elements
 *
 * Return: count elements of size bytes, to be freed by kvfree(); NULL if count is 0; -EINVAL for a
 * count or stride out of bounds, -E2BIG for bytes past the known element that are not zero,
 * -EFAULT, -ENOMEM.
 */
void *q35_array_copy(const struct drm_q35_array *array, size_t size, u32 cap)
{
	const void __user *from = u64_to_user_ptr(array->array);
	void *to;
	int ret = 0;

	if (!array->count)
		return NULL;
	/* Unknown bytes are looked at one by one, so there must not be gigabytes of them. */
	if (array->count > cap || array->stride < size || array->stride > SZ_4K)
		return ERR_PTR(-EINVAL);

	to = kvmalloc_array(array->count, size, GFP_KERNEL_ACCOUNT);
	if (!to)
		return ERR_PTR(-ENOMEM);

	if (array->stride == size) {
		if (copy_from_user(to, from, array->count * size))
			ret = -EFAULT;
	} else {
		for (u32 i = 0; i < array->count && !ret; i++)
			ret = copy_struct_from_user(to + i * size, size,
						    from + (size_t)i * array->stride,
						    array->stride);
	}
	if (ret) {
		kvfree(to);
		return ERR_PTR(ret);
	}
	return to;
}
