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
# OpenBLAS is a numeric class of its own and is not built here: a plain product stands in for it.
cat > "$build/cblas.h" <<'HEADER'
#include <stddef.h>
typedef int blasint;
enum { CblasRowMajor, CblasNoTrans, CblasTrans };
static inline void openblas_set_num_threads(int count) { (void)count; }
static inline void cblas_sgemm(int order, int transpose_a, int transpose_b, blasint rows,
                               blasint columns, blasint depth, float alpha, const float *a,
                               blasint a_stride, const float *b, blasint b_stride, float beta,
                               float *c, blasint c_stride) {
  (void)order, (void)transpose_a, (void)transpose_b, (void)alpha, (void)beta;
  for (blasint row = 0; row < rows; ++row)
    for (blasint column = 0; column < columns; ++column) {
      double sum = 0;
      for (blasint d = 0; d < depth; ++d)
        sum += (double)a[(size_t)row * a_stride + d] * b[(size_t)column * b_stride + d];
      c[(size_t)row * c_stride + column] += (float)sum;
    }
}
HEADER

flags="--target=aarch64-linux-gnu -std=c17 -O2 -Wall -Wextra -Werror -Iinclude -ICKernels
  -ITests/CKernelsCheck -ITests/CKernelsCheck/include -I$build"
find CKernels Tests/CKernelsCheck scripts/check-kernels.c -name '*.c' | while read -r source; do
  object="$build/objects/$(echo "$source" | tr / _).o"
  # shellcheck disable=SC2086
  clang $flags -c "$source" -o "$object"
done
clang --target=aarch64-linux-gnu -fuse-ld=lld -static "$build"/objects/*.o -lm -lpthread \
  -o "$build/check-kernels"
exec qemu-aarch64 "$build/check-kernels" "$@"
