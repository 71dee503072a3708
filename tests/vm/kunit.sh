#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest whose kernel has KUnit, q35.ko has tests of its own; they ran as it was loaded. This says
# how each of them ended. KTAP.
# sanitizers: only
# vm: -c none -k kunit.enable=1

results=$(cat /sys/kernel/debug/kunit/q35_*/results)
echo "$results" | sed 's/^/# /'
echo "$results" | awk '
	/^    1\.\./ { planned += substr($1, 4) }
	/^    (not )?ok / { sub(/^    /, ""); sub(/ok [0-9]+/, "ok " ++n); line[n] = $0 }
	/^    not ok / || /^not ok / { bad = 1 }
	END {
		print "TAP version 13\n1.." (planned ? planned : 1)
		for (i = 1; i <= n; i++)
			print line[i]
		exit bad || !planned
	}'
