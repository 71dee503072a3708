#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Prints what runs the guest's processors: kvm, or tcg where there is no KVM of the processor's own.
# A /dev/kvm without VMX or SVM beneath it boots only kernels made for it.
if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
	echo kvm
else
	echo tcg
fi
