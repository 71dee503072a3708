/* SPDX-License-Identifier: MIT */
/*
 * The sentence behind every negative return value.
 *
 * Messages are thread-local, so recording one takes no lock and no memory and no thread ever sees
 * another's. A thread remembers its last failure outside any device and on each of the last few
 * devices it failed on.
 */
#ifndef Q35_ERROR_H
#define Q35_ERROR_H

struct q35;

/*
 * Records the sentence (no full stop, no newline) and returns error, a negative errno, so that
 * "return q35_fail(dev, -EINVAL, ...)" reads well. dev is NULL in functions that have no device.
 */
int q35_fail(const struct q35 *dev, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* Q35_ERROR_H */
