// SPDX-License-Identifier: GPL-2.0-only
#ifndef __CHECKER__ /* sparse understands none of what this makes */
#define CREATE_TRACE_POINTS
#include "q35_trace.h"
#endif
