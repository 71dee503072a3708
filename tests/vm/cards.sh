#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with several cards, each broken in a way of its own: what that costs, that it does not
# spread, and what they share. KTAP.
# vm: -c addr=10,vram=256M,x-fault=hang-fill -c addr=11,vram=16M,x-fault=lost-irq -c addr=12,vram=16M,x-fault=seqno-ahead -c addr=13,vram=16M,x-fault=seqno-backward -c addr=14,vram=16M,x-fault=reset-fails+hang-fill+slow
. /kselftest/kselftest/ktap_helpers.sh

check() { # NAME COMMAND…
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

# The fixture of a test program with the card at an address.
on_card() { # SLOT PROGRAM FIXTURE
	Q35_CARD=0000:00:$1.0 "/kselftest/q35/$2" -f "$3" >/tmp/log 2>&1
	status=$?
	sed 's/^/# /' /tmp/log
	return $status
}

logged() { # WORDS
	dmesg | grep -q "$1"
}

ktap_print_header
ktap_set_plan 6
check "lost interrupts cost milliseconds" on_card 11 cards_defects lost_irq
check "a sequence number ahead is the card's fault" on_card 12 cards_defects wrong_seqno
check "a sequence number that goes back is the card's fault" on_card 13 cards_defects wrong_seqno
check "a reset of the card is hidden from the innocent" on_card 14 cards_recovery recovery
export Q35_OTHER=0000:00:11.0
check "buffers are shared with other drivers and with another card" on_card 10 cards_dmabuf dmabuf
check "the log says what the card claims" logged "contradicts itself: head"
[ "$KTAP_CNT_FAIL" = 0 ]
