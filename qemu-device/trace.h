/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace points, in-tree/trace-events: QEMU makes them of that file when the card is part of
 * its source tree. In the shared object they are nothing.
 */
#if __has_include("trace/trace-hw_misc_q35_accel.h")
#include "trace/trace-hw_misc_q35_accel.h"
#else
#define trace_q35_accel_read(...)
#define trace_q35_accel_write(...)
#define trace_q35_accel_notify(...)
#define trace_q35_accel_reset(...)
#define trace_q35_accel_running(...)
#define trace_q35_accel_map(...)
#define trace_q35_accel_defects(...)
#endif
