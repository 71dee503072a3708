#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest whose processors QEMU emulates in turn: the card falls asleep and wakes up all the time. Its BARs
# come and go with that, and QEMU 10.0, emulating several processors at once, then loses writes to their
# local APICs now and then, so that the guest stands still. KTAP.
# vm: -1
exec /kselftest/q35/cards_power
