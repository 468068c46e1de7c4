#!/bin/sh
# Proves the sampling kernels against their definition: check-sampling.sh [logits [seed]].
# Afterwards it breaks them on purpose, one way at a time, and fails unless each is noticed.
set -eu
cd "$(dirname "$0")/.."
logits=${1:-1e8} seed=${2:-1}
build=.build/check-sampling
rm -rf "$build" && mkdir -p "$build/objects"
flags="-std=gnu17 -O2 -Iinclude -ICKernels"

find CKernels -name '*.c' | while read -r source; do
  # shellcheck disable=SC2086
  clang $flags -c "$source" -o "$build/objects/$(echo "$source" | tr / _).o"
done
# shellcheck disable=SC2086
clang $flags scripts/check-sampling.c "$build"/objects/*.o -lm -lpthread -ldl -o "$build/check"
"$build/check" "$logits" "$seed"

# Each line: what is broken, the file, and a sed command that must change it.
mutants=0
mutant() {
  name=$1 file=$2 edit=$3
  rm -rf "$build/mutant" && mkdir -p "$build/mutant/objects"
  cp -r CKernels "$build/mutant/CKernels"
  sed -i "$edit" "$build/mutant/$file"
  if cmp -s "$file" "$build/mutant/$file"; then
    echo "check-sampling: the mutant '$name' no longer applies to $file; mend it here" >&2
    exit 1
  fi
  cp "$build"/objects/*.o "$build/mutant/objects/"
  find "$build/mutant/CKernels" -name 'choose*.c' | while read -r source; do
    clang -std=gnu17 -O2 -Iinclude -I"$build/mutant/CKernels" -c "$source" \
      -o "$build/mutant/objects/$(echo "${source#"$build/mutant/"}" | tr / _).o"
  done
  # shellcheck disable=SC2086
  clang $flags scripts/check-sampling.c "$build"/mutant/objects/*.o -lm -lpthread -ldl \
    -o "$build/mutant/check"
  if "$build/mutant/check" 4e6 "$seed" > "$build/mutant/log" 2>&1; then
    echo "check-sampling: the mutant '$name' was not noticed" >&2
    exit 1
  fi
  mutants=$((mutants + 1))
}
lanes=CKernels/lanes
mutant "a cut off by one" $lanes/choose_select.h 's/passed + weights\[i\] < need/passed + weights[i] <= need/'
mutant "all equals of the last token kept" $lanes/choose_census.h 's/token <= s->set.low_token/1/'
mutant "a tie counted twice" $lanes/choose_cut.h 's/passed += s->weights\[i\];/passed += 2 * s->weights[i];/'
mutant "a reused random number" $lanes/choose_draws.h 's/draw->uniforms\[i\]/draw->uniforms[0]/'
mutant "what is left is not normalised" $lanes/choose.h 's|(double)((uint64_t)1 << s->shifts\[b\]) / (double)s->total|(double)((uint64_t)1 << s->shifts[b]) * 0x1p-46|'
mutant "min-p without temperature" $lanes/choose.h 's/temperature \* martlet_portable_log((double)share)/martlet_portable_log((double)share)/'
mutant "variance without its mean" $lanes/choose_spread.h 's/ - mean \* mean, exact/, exact/; s| / (double)count - mean \* mean;| / (double)count;|'
mutant "Gumbel draws pruned too early" $lanes/choose_draws.h 's/4294000000.0f \* 1.0002f) + 256/1000000000.0f)/'
mutant "a draw that ends one token early" $lanes/choose_draws.h 's/if (passed > target) break;/if (passed >= target) break;/'
mutant "XTC that drops what it should leave" $lanes/choose_spread.h 's/s->set.high_token = s->tokens\[last\];/s->set.high_token = s->tokens[last] + 1;/'
mutant "Gumbel noise without its key" CKernels/reference/choose.h 's/(uint32_t)key1;/0u;/; s/(token + (uint32_t)key0)/(token)/; s/(uint32_t)(key0 >> 32)/0u/; s/(uint32_t)(key1 >> 32)/0u/'
echo "sampling: $mutants of $mutants mutants noticed"
