#!/bin/sh
# Builds the peers natively, with the Swift toolchain's clang (an older compiler does not know newer CPUs):
# setup.sh FOLDER. llama.cpp's benchmarks come from the source distribution of llama-cpp-python, oneDNN
# from the system (Debian: libdnnl-dev); without it there is no FOLDER/bin/onednn.
# Needs swift, cmake and python3 with venv. Sets up FOLDER/venv and FOLDER/bin; about ten minutes of one CPU.
set -eu
[ $# -eq 1 ] || { echo "usage: setup.sh FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
for tool in swift cmake python3; do
  command -v "$tool" > /dev/null || { echo "setup.sh: '$tool' is missing; install it" >&2; exit 2; }
done
clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang
[ -x "$clang" ] || { echo "setup.sh: no clang beside swift at $clang" >&2; exit 2; }

mkdir -p "$1"
cd "$1"
folder=$(pwd)
[ -d venv ] || python3 -m venv venv
venv/bin/pip install --quiet --requirement "$here/requirements.txt"
ls llama_cpp_python-*.tar.gz > /dev/null 2>&1 ||
  venv/bin/pip download --quiet --no-deps --no-binary :all: llama-cpp-python
archive=$(ls llama_cpp_python-*.tar.gz | tail -n 1)
source=${archive%.tar.gz}
[ -d "$source" ] || tar xf "$archive"

cmake -S "$source/vendor/llama.cpp" -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
  -DCMAKE_C_COMPILER="$clang" -DCMAKE_CXX_COMPILER="$clang++" -DGGML_NATIVE=ON -DGGML_OPENMP=OFF \
  -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=ON -DLLAMA_BUILD_SERVER=OFF
cmake --build build --parallel "$(getconf _NPROCESSORS_ONLN)" \
  --target llama-bench llama-batched-bench llama-speculative-simple
mkdir -p bin
cp build/bin/llama-bench build/bin/llama-batched-bench build/bin/llama-speculative-simple bin/

"$clang" -O2 -o bin/llama_attention "$here/llama_attention.c" -I"$source/vendor/llama.cpp/ggml/include" \
  build/ggml/src/libggml-cpu.a build/ggml/src/libggml-base.a -lstdc++ -lm -lpthread
if [ -f /usr/include/oneapi/dnnl/dnnl.h ]; then
  "$clang" -O2 -o bin/onednn "$here/onednn.c" -ldnnl
else
  echo "setup.sh: no oneDNN here (Debian: apt-get install libdnnl-dev), so no comparison of gemm" >&2
fi
echo "$source" > bin/version
echo "built $source; compare with: $folder/venv/bin/python $here/compare.py all --peers $folder --model …"
