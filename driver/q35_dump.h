/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is left for a post-mortem when a queue faults or hangs, or the card is reset: a device
 * coredump, /sys/class/devcoredump/devcd<n>/data, for root. It is text, made to be read as it is,
 * with all numbers but counts in hexadecimal:
 *
 *	q35 coredump 1		the format's version: it changes when a line changes its meaning
 *	reason: fault | hang | card reset
 *	time: <seconds since boot>
 *	device: <name>
 *	card <offset>: <8 words of registers from there on>
 *	queue <q> <offset>: <8 words>		for each of the card's queues
 *
 * and, if one queue is to blame:
 *
 *	failed queue: <q> of <comm> (<pid>), address space <v>
 *	fault: code <enum q35_fault>, info <FAULT_INFO>, address <FAULT_ADDR>
 *	submission: <number>, job <of it>, <jobs in it> from ring index <index>
 *	ring: tail <tail>, newest submission <sequence number>
 *	write-back <offset>: <4 quadwords>
 *	descriptor <offset>: <4 quadwords>	of the job, as it is in the ring
 *	walk <level>: <page table entry>	of the address, from the root down to where it ends
 *	walk: busy				if the owner was just changing its page tables
 *
 * Offsets, fields and bits are q35_hw.h's. Only the first failure since the last dump was read or
 * has expired is kept, which is devcoredump's rule, and the one that matters.
 */
#ifndef Q35_DUMP_H
#define Q35_DUMP_H

struct q35_device;
struct q35_dump;
struct q35_job;
struct q35_queue;

int q35_dump_init(struct q35_device *q35);
void q35_dump_fini(struct q35_device *q35);

struct q35_dump *q35_dump_begin(struct q35_device *q35, const char *reason);
void q35_dump_queue(struct q35_dump *dump, struct q35_queue *queue, struct q35_job *job);
void q35_dump_end(struct q35_dump *dump);

#endif /* Q35_DUMP_H */
