#!/usr/bin/env bash
# Installs what `swift build` made into a folder of its own and uses it as a stranger would: the tool, a C
# program found by pkg-config, a plugin added to the prefix; moves it, stages it for a package, removes it.
# CONFIGURATION as for scripts/install.sh.
set -euo pipefail
unset PREFIX DESTDIR LIBDIR SWIFT_RUNTIME
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Only what a new shell has, so that neither a toolchain nor this checkout can help.
alone() { env -i HOME="$work/home" PATH=/usr/bin:/bin "$@"; }
fail() { echo "check-install: $*" >&2; exit 1; }
step() { echo "== $*"; }

step "install"
prefix=$work/prefix
PREFIX=$prefix scripts/install.sh
question="make 46 from 3 7 25?"
options=(--strategy best-of-n --set n=16 --seed 1 --no-tuning)

step "the tool, with its models, plugins and runtime"
answer=$(alone "$prefix/bin/martlet" run "$question" "${options[@]}" 2>"$work/summary") || {
  cat "$work/summary" >&2
  fail "martlet run failed"
}
alone "$prefix/bin/martlet" plugin list --json >"$work/plugins"
grep -q "\"path\" *: *\"$prefix/lib/martlet/plugins/libMartletBestOfN.so\"" "$work/plugins" ||
  fail "best-of-n does not come from the prefix"
if grep -q '"path" *: *"' "$work/plugins" &&
  grep '"path"' "$work/plugins" | grep -v "\"$prefix/\|built-in"; then
  fail "plugins come from elsewhere"
fi
outside=$(ldd "$prefix/bin/martlet" "$prefix/lib/libmartlet.so" "$prefix"/lib/martlet/plugins/*.so |
  grep -i 'swift\|foundation\|dispatch\|not found' | grep '=>' | grep -v "=> $prefix/" || true)
[[ -z $outside ]] || fail "libraries come from elsewhere: $outside"

step "plugins in processes of their own"
# The second needs libraries of the runtime that the program for plugins does not load itself.
for strategy in best-of-n pipeline; do
  alone "$prefix/bin/martlet" run "$question" --strategy "$strategy" --seed 1 --no-tuning >"$work/here" 2>"$work/summary"
  alone "$prefix/bin/martlet" run "$question" --strategy "$strategy" --seed 1 --no-tuning --isolate >"$work/apart" \
    2>"$work/summary" || {
    cat "$work/summary" >&2
    fail "martlet run --isolate --strategy $strategy failed"
  }
  cmp "$work/here" "$work/apart" || fail "--isolate changes the answer of $strategy"
done

step "a C program outside the tree, by pkg-config"
mkdir "$work/outside"
awk '$0 == "```c" {on = 1; next} on && /^```/ {exit} on' docs/c.md >"$work/outside/ask.c"
awk '$0 == "```text" {on = 1; next} on && /^```/ {exit} on' docs/c.md >"$work/outside/expected"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
(
  cd "$work/outside"
  # Words of their own.
  read -ra flags <<<"$(pkg-config --cflags --libs martlet)"
  ${CC:-cc} -std=c17 -Wall -Wextra -Werror ask.c "${flags[@]}" -o ask
)
alone LD_LIBRARY_PATH="$prefix/lib" "$work/outside/ask" >"$work/outside/printed" ||
  fail "the C program failed"
cmp "$work/outside/expected" "$work/outside/printed" || fail "the C program printed something else"
[[ "the answer:$answer" == "$(cat "$work/outside/printed")" ]] ||
  fail "the tool answers '$answer' and the C program otherwise"
[[ $(pkg-config --modversion martlet) == "$("$prefix/bin/martlet" --version)" ]] ||
  fail "pkg-config and the tool give different versions"

# Makes a plugin with the installed tool, builds, tests and checks it as its README says, adds it to the prefix
# and runs it.
add_plugin() {
  local language=$1 name=added-$1 log=$work/$1.log
  shift
  "$prefix/bin/martlet" plugin new "$name" --language "$language" --directory "$work/outside" >/dev/null
  make -C "$work/outside/$name" test MARTLET="$prefix/bin/martlet" >"$log" 2>&1 || {
    cat "$log" >&2
    fail "the new plugin in $language does not pass"
  }
  make -C "$work/outside/$name" install PLUGINDIR="$plugins" "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    fail "the new plugin in $language is not installed"
  }
  alone "$prefix/bin/martlet" run "$question" --strategy "org.example.$name" --set n=2 --no-tuning >/dev/null \
    2>&1 || fail "the new plugin in $language does not run"
  rm "$plugins"/libAdded*Plugin.so "$plugins"/Added*Plugin.martlet-plugin.json
}
plugins=$(pkg-config --variable=plugindir martlet)

step "a plugin in C: made, tested, checked, added to the prefix, run"
add_plugin c
step "the same in Swift, on the installed author kit"
# What the test built: a release build would be one more of the kit.
add_plugin swift CONFIGURATION=debug

step "moved elsewhere"
mv "$prefix" "$work/moved"
[[ $(alone "$work/moved/bin/martlet" run "$question" "${options[@]}" 2>/dev/null) == "$answer" ]] ||
  fail "it does not work after it was moved"

step "uninstall"
PREFIX=$work/moved scripts/uninstall.sh
left=$(find "$work/moved" -not -type d)
[[ -z $left ]] || fail "uninstalling left $left"
[[ ! -d $work/moved/lib/martlet && ! -d $work/moved/include/martlet ]] || fail "folders are left"

step "staged as a package, with the platform's folder for libraries"
DESTDIR=$work/stage PREFIX=/usr LIBDIR=/usr/lib/platform scripts/install.sh
grep -q '^prefix=/usr$' "$work/stage/usr/lib/platform/pkgconfig/martlet.pc" || fail "DESTDIR is in martlet.pc"
if grep -rlF "$work" "$work/stage/usr/lib/platform/pkgconfig" "$work/stage/usr/share"; then
  fail "a file names the stage"
fi
[[ $(alone LD_LIBRARY_PATH="$work/stage/usr/lib/platform" "$work/outside/ask") == "the answer:$answer" ]] ||
  fail "the staged library does not work"
DESTDIR=$work/stage PREFIX=/usr scripts/uninstall.sh
[[ -z $(find "$work/stage" -not -type d) ]] || fail "uninstalling left files in the stage"
echo "the installation works"
