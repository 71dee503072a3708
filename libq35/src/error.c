// SPDX-License-Identifier: MIT
#include "error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "device.h"

#define MESSAGE_SIZE 320
#define MESSAGES 4

/*
 * Slot 0 is for failures without a device. The others belong to devices, known by their id rather
 * than by address, which a later handle may reuse; the one written longest ago is replaced.
 */
static _Thread_local struct {
	uint64_t device;
	uint64_t age;
	char text[MESSAGE_SIZE];
} messages[MESSAGES];
static _Thread_local uint64_t failures;

static unsigned int slot_of(const struct q35 *dev)
{
	unsigned int i;

	if (!dev)
		return 0;
	for (i = 1; i < MESSAGES; i++) {
		if (messages[i].device == dev->id)
			return i;
	}
	return MESSAGES;
}

int q35_fail(const struct q35 *dev, int error, const char *format, ...)
{
	unsigned int slot = slot_of(dev), i;
	char text[MESSAGE_SIZE];
	va_list args;

	if (slot == MESSAGES) {
		slot = 1;
		for (i = 2; i < MESSAGES; i++) {
			if (messages[i].age < messages[slot].age)
				slot = i;
		}
	}

	/* By way of text: the arguments may quote the message that is being replaced. */
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);

	messages[slot].device = dev ? dev->id : 0;
	messages[slot].age = ++failures;
	memcpy(messages[slot].text, text, sizeof(text));
	return error;
}

const char *q35_error(const struct q35 *dev)
{
	unsigned int slot = slot_of(dev);

	if (slot == MESSAGES || !messages[slot].age)
		return "no failure recorded in this thread";
	return messages[slot].text;
}
