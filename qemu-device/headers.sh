#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the header tree that q35-accel.c compiles against, from the source tarball of the QEMU that
# will load it; nothing of QEMU itself is configured or built.
#
#   headers.sh TARBALL OUTDIR
#
# OUTDIR appears complete or not at all, so its existence means that it is good. Compile with
# -IOUTDIR -IOUTDIR/include.
set -eu

usage="usage: headers.sh TARBALL OUTDIR"
tarball=${1:?$usage}
outdir=${2:?$usage}

fail()
{
    echo "headers.sh: $*" >&2
    exit 1
}

[ -r "$tarball" ] || fail "cannot read $tarball"
mkdir -p "$(dirname "$outdir")"
work=$(mktemp -d "$outdir.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

mkdir "$work/source" "$work/tree" "$work/tree/qapi"
tar -xf "$tarball" -C "$work/source" --strip-components=1 --wildcards --no-wildcards-match-slash \
    '*/VERSION' '*/include' '*/qapi' '*/scripts/qapi' '*/scripts/qapi-gen.py' ||
    fail "$tarball: cannot unpack it, or it is not QEMU's source"

python3 -B "$work/source/scripts/qapi-gen.py" --builtins --suppress-tracing -o "$work/generated" -p "" \
    "$work/source/qapi/qapi-schema.json" || fail "$tarball: qapi-gen.py failed"

version=$(cat "$work/source/VERSION")
major=${version%%.*}
rest=${version#*.}
minor=${rest%%.*}
case $major.$minor in
*[!0-9.]* | . | .* | *.) fail "$tarball: VERSION is '$version'" ;;
esac

mv "$work/source/include" "$work/tree/include"
cp "$work"/generated/qapi-*.h "$work/tree/qapi"

# What QEMU's headers need to know of the configuration, for x86-64 Linux hosts and gcc or clang; the
# alignment of MemoryRegion depends on CONFIG_INT128. preload.c checks the resulting layouts.
cat >"$work/tree/config-host.h" <<EOF
#define CONFIG_POSIX 1
#define CONFIG_LINUX 1
#define CONFIG_IOVEC 1
#define CONFIG_ATOMIC64 1
#define CONFIG_INT128 1
#define HOST_X86_64 1
#define QEMU_VERSION "$version"
#define QEMU_VERSION_MAJOR $major
#define QEMU_VERSION_MINOR $minor
EOF
: >"$work/tree/config-poison.h"

# Two runs at once make the same tree: whoever is second throws his away.
if ! mv -T "$work/tree" "$outdir" 2>/dev/null; then
    [ -e "$outdir/config-host.h" ] || fail "cannot create $outdir"
fi
