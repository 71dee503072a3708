#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Puts what a module needs out of Debian's kernel, unpacked and stripped, and the module into a
# directory, with a script "load" that inserts them in order.
#
#	tools/vm/modules.sh KERNEL_ROOT RELEASE MODULE.ko DIRECTORY [ALSO…]
#
# ALSO are more modules of that kernel, by name. Busybox' insmod complains in the kernel log of
# compressed modules; hence plain copies.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

root=$1/lib/modules/$2
module=$3
directory=$4
shift 4
order=()

add() { # name, after what it depends on
	local line path dep
	# a line of modules.dep: path: dependencies, the deepest last
	line=$(grep -E "/${1//[-_]/[-_]}\.ko(\.xz)?:" "$root/modules.dep") || {
		grep -qE "/${1//[-_]/[-_]}\.ko" "$root/modules.builtin" && return
		echo "modules: the kernel has no module $1" >&2
		exit 1
	}
	for path in $(tr -d : <<<"$line" | tr ' ' '\n' | tac); do
		dep=$(basename "${path%.xz}")
		[[ " ${order[*]} " = *" $dep "* ]] && continue
		case $path in
		*.xz) xz -dc "$root/$path" >"$new/$dep" ;;
		*) cp "$root/$path" "$new/$dep" ;;
		esac
		strip -g "$new/$dep"
		order+=("$dep")
	done
}

new=$directory.new
rm -rf "$new"
mkdir -p "$new"
for name in $(modinfo -F depends "$module" | tr , ' ') "$@"; do
	add "$name"
done
strip -g -o "$new/$(basename "$module")" "$module"
order+=("$(basename "$module")")
{
	echo "#!/bin/sh -e"
	printf 'insmod /lib/q35/%s\n' "${order[@]}"
} >"$new/load"
chmod +x "$new/load"
rm -rf "$directory"
mv "$new" "$directory"
