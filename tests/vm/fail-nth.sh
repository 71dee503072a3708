#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest whose kernel can make allocations fail: each of them does. KTAP.
# sanitizers: only
exec /kselftest/q35/kernel_fail_nth
