#!/bin/sh
# Builds the kernels and their checks for AArch64 and runs them under qemu-user: `make check-arm`.
# Needs Debian's qemu-user, libc6-dev-arm64-cross and libgcc-12-dev-arm64-cross (or a later libgcc),
# and a clang that targets AArch64, as Swift's toolchain does. Arguments: [filter [seed]].
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
mkdir -p "$build/objects"
flags="--target=aarch64-linux-gnu -std=c17 -O2 -Wall -Wextra -Werror -Iinclude -ICKernels
  -ITests/CKernelsCheck -ITests/CKernelsCheck/include"
find CKernels Tests/CKernelsCheck scripts/check-kernels.c -name '*.c' | while read -r source; do
  object="$build/objects/$(echo "$source" | tr / _).o"
  # shellcheck disable=SC2086
  clang $flags -c "$source" -o "$object"
done
# A static program loads no OpenBLAS, so that class is skipped.
clang --target=aarch64-linux-gnu -fuse-ld=lld -static "$build"/objects/*.o -lm -lpthread \
  -o "$build/check-kernels"
exec qemu-aarch64 "$build/check-kernels" "$@"
