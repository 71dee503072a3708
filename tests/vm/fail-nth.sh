#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest whose kernel can make allocations fail: each of them does. KTAP.
# sanitizers: only
# An interrupt whose files in /proc could not be made has them removed all the same (Linux 6.12).
# kernel warns in: remove_proc_entry
exec /kselftest/q35/kernel_fail_nth
