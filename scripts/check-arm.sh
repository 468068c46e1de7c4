#!/bin/sh
# Builds the kernels and their checks for AArch64 and runs them under qemu-user: `make check-arm`.
# Needs Debian's qemu-user, libc6-dev-arm64-cross and libgcc-12-dev-arm64-cross (or a later libgcc),
# and a clang that targets AArch64, as Swift's toolchain does. Arguments: [filter [seed]].
#
# Runs on every CPU in MARTLET_CHECK_CPUS: by default one that has everything, then one with dot
# products but no int8 matrix multiply, and one with neither, where only what depends on them is run.
set -eu
cd "$(dirname "$0")/.."

for tool in qemu-aarch64 clang; do
  command -v "$tool" > /dev/null || {
    echo "check-arm: '$tool' is missing; install qemu-user and put Swift's clang on PATH" >&2
    exit 2
  }
done
if [ ! -d /usr/aarch64-linux-gnu/include ]; then
  echo "check-arm: install libc6-dev-arm64-cross and libgcc-12-dev-arm64-cross" >&2
  exit 2
fi

build=.build/check-arm
rm -rf "$build/objects"
mkdir -p "$build/objects"
flags="--target=aarch64-linux-gnu -std=c17 -O2 -Wall -Wextra -Wno-missing-field-initializers -Werror -Iinclude -ICKernels
  -ITests/CKernelsCheck -ITests/CKernelsCheck/include"
# A static program loads no OpenBLAS, so that class is skipped.
find CKernels Tests/CKernelsCheck scripts/check-kernels.c -name '*.c' |
  xargs -P "$(nproc)" -I '{}' sh -c '
    object=$1/$(echo "$2" | tr / _).o
    shift 2
    exec clang "$@" -o "$object"' sh "$build/objects" '{}' $flags -c '{}'
clang --target=aarch64-linux-gnu -fuse-ld=lld -static "$build"/objects/*.o -lm -lpthread \
  -o "$build/check-kernels"

filter=${1:-}
for cpu in ${MARTLET_CHECK_CPUS:-max cortex-a76 cortex-a53}; do
  echo "cpu   $cpu"
  case $cpu in
    max) qemu-aarch64 -cpu max "$build/check-kernels" "$filter" ${2:+"$2"} ;;
    *) qemu-aarch64 -cpu "$cpu" "$build/check-kernels" "${filter:-_q8}" ${2:+"$2"} ;;
  esac
done
