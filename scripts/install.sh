#!/usr/bin/env bash
# Installs what `swift build` made: the tool, libmartlet with its headers and pkg-config file, plugins,
# the models that come with Martlet, the plugin author kit, documents and completions.
#
#   PREFIX=/usr/local DESTDIR= LIBDIR=$PREFIX/lib CONFIGURATION=release SWIFT_RUNTIME=copy scripts/install.sh
#
# LIBDIR may be a folder of the platform's beneath $PREFIX/lib, as distributions have. SWIFT_RUNTIME=copy puts
# the Swift runtime's libraries beside the rest, so that the installation needs no toolchain and none can be
# upgraded beneath it; SWIFT_RUNTIME=system uses those of the toolchain, where it is now. The runtime is a
# shared library either way: Swift plugins are images of their own and must share it with the host.
#
# Every image is linked once more for its place, so that it finds its libraries relative to itself.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

prefix=${PREFIX:-/usr/local}
destination=${DESTDIR:-}
libdir=${LIBDIR:-$prefix/lib}
configuration=${CONFIGURATION:-release}
runtime=${SWIFT_RUNTIME:-copy}

fail() { echo "install: $*" >&2; exit 1; }
[[ $prefix == /* ]] || fail "PREFIX=$prefix is not absolute"
[[ $libdir == "$prefix"/lib || $libdir == "$prefix"/lib/* || $libdir == "$prefix"/lib64 ]] ||
  fail "LIBDIR=$libdir is not $prefix/lib, a folder beneath it, or $prefix/lib64"
[[ $runtime == copy || $runtime == system ]] || fail "SWIFT_RUNTIME=$runtime is neither copy nor system"

build=$root/.build/$configuration
[[ -x $build/martlet && -f $build/libMartletC.so ]] ||
  fail "$build holds no build; run: swift build -c $configuration"
images=$(cd "$build" && pwd -P)/install-$runtime
support=$prefix/lib/martlet
version=$(sed -n 's/^public let martletVersion = "\(.*\)"$/\1/p' "$root/Sources/Martlet/Martlet.swift")
abi=$(sed -n 's/^#define MARTLET_ENGINE_ABI_MAJOR //p' "$root/include/martlet/engine.h")
plugin_abi=$(sed -n 's/^#define MARTLET_PLUGIN_ABI_M[AI][JN]OR //p' "$root/include/martlet/plugin.h" | paste -sd.)
[[ $version && $abi && $plugin_abi ]] || fail "cannot read the versions from the sources"
toolchain=$(swiftc -print-target-info | sed -n '/"runtimeLibraryPaths"/{n;s/^ *"\(.*\)",\{0,1\}$/\1/p}')
[[ -d $toolchain ]] || fail "swiftc does not say where its runtime is"

# Links the objects of a product into an image that looks for the Swift runtime in $4 relative to itself,
# unless that was done since the product was built. More arguments go to swiftc.
link() {
  local product=$1 built=$build/$2 image=$images/$3 place=$4
  shift 4
  local objects=$build/$product.product/Objects.LinkFileList
  [[ -f $objects ]] || fail "$objects is missing; this Swift release builds in another way"
  [[ $image -nt $built && $image -nt $root/scripts/install.sh ]] && return
  [[ $runtime == copy ]] && set -- "$@" -no-toolchain-stdlib-rpath -Xlinker "-rpath=\$ORIGIN/$place"
  rm -f "$image"
  swiftc -o "$image" "@$objects" "$@"
}

# The objects that are listed by relative or mounted paths are named from the root.
cd "$root"
mkdir -p "$images"
link martlet martlet martlet ../lib/martlet/swift \
  -emit-executable -module-name martlet -Xlinker --defsym -Xlinker main=MartletCLI_main
link martlet-plugin-host martlet-plugin-host martlet-plugin-host ../../lib/martlet/swift \
  -emit-executable -module-name martlet_plugin_host -lswiftSwiftOnoneSupport
beside=$(realpath -m --relative-to "$libdir" "$support/swift")
library=libmartlet-${beside//\//_}
link MartletC libMartletC.so "$library" "$beside" \
  -emit-library -module-name MartletC -use-ld=lld -Xlinker --gc-sections \
  -Xlinker "-soname=libmartlet.so.$abi" \
  -Xlinker "--version-script=$root/scripts/install/libmartlet.map"
plugins=()
for manifest in Sources/Plugins/*/*.martlet-plugin.json; do
  name=$(basename "$manifest" .martlet-plugin.json)
  link "Martlet$name" "libMartlet$name.so" "libMartlet$name.so" ../swift \
    -emit-library -module-name "Martlet$name" &
  plugins+=("$name")
  # Two at a time: each takes a core.
  ((${#plugins[@]} % 2)) || wait
done
wait
for name in "${plugins[@]}"; do
  [[ -f $images/libMartlet$name.so ]] || fail "libMartlet$name.so could not be linked"
done

# ---- everything is made; from here on files are copied
list=()
# Copies a file with a mode to a path of the installation, and notes it.
put() {
  install -D -m "$1" "$2" "$destination$3"
  list+=("${3#"$prefix"/}")
}
# The same for a link.
point() {
  ln -sfn "$1" "$destination$2"
  list+=("${2#"$prefix"/}")
}
# Folders that plugins are found in may be written to by their owner alone.
umask 022
install -d -m 755 "$destination$support" "$destination$support/plugins"

put 755 "$images/martlet" "$prefix/bin/martlet"
put 755 "$images/martlet-plugin-host" "$prefix/libexec/martlet/martlet-plugin-host"
put 755 "$images/$library" "$libdir/libmartlet.so.$version"
point "libmartlet.so.$version" "$libdir/libmartlet.so.$abi"
point "libmartlet.so.$abi" "$libdir/libmartlet.so"
for header in include/martlet/*.h include/martlet/extensions/*.h; do put 644 "$header" "$prefix/$header"; done
for name in "${plugins[@]}"; do
  put 755 "$images/libMartlet$name.so" "$support/plugins/libMartlet$name.so"
  manifest=$name.martlet-plugin.json
  put 644 "Sources/Plugins/$name/$manifest" "$support/plugins/$manifest"
done
for model in Sources/Martlet/Resources/*.gguf Sources/Martlet/Resources/*.choices; do
  put 644 "$model" "$support/models/$(basename "$model")"
done
if [[ $runtime == copy ]]; then
  # What the installed images load from the toolchain, however indirectly.
  while read -r file; do put 755 "$file" "$support/swift/$(basename "$file")"; done < <(
    LD_LIBRARY_PATH=$toolchain ldd "$images/martlet" "$images/martlet-plugin-host" "$images/$library" \
      "$images"/libMartlet*.so |
      sed -n 's/.* => \(.*\) (0x[0-9a-f]*)$/\1/p' | grep -F "$toolchain/" | sort -u)
fi
put 644 scripts/install/plugin-kit.swift "$support/plugin-kit/Package.swift"
for file in include/module.modulemap include/martlet/*.h include/martlet/extensions/*.h; do
  put 644 "$file" "$support/plugin-kit/$file"
done
while read -r file; do
  put 644 "$file" "$support/plugin-kit/$file"
done < <(find Sources/MartletPlugin -name '*.swift' | sort)

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
sed -e "s|@PREFIX@|$prefix|; s|@LIBDIR@|${libdir/#"$prefix"/\$\{prefix\}}|" \
  -e "s|@VERSION@|$version|; s|@PLUGIN_ABI@|$plugin_abi|" scripts/install/martlet.pc.in >"$made/martlet.pc"
put 644 "$made/martlet.pc" "$libdir/pkgconfig/martlet.pc"
for file in README.md CHANGELOG.md SECURITY.md LICENSE docs/*.md include/martlet/README.md; do
  put 644 "$file" "$prefix/share/doc/martlet/$file"
done
complete() {
  "$build/martlet" --generate-completion-script "$1" >"$made/$1"
  put 644 "$made/$1" "$prefix/share/$2"
}
complete bash bash-completion/completions/martlet
complete zsh zsh/site-functions/_martlet
complete fish fish/vendor_completions.d/martlet.fish

# What uninstalling takes away, relative to the prefix.
printf '%s\n' "${list[@]}" lib/martlet/installed-files >"$made/installed-files"
put 644 "$made/installed-files" "$support/installed-files"
echo "installed Martlet $version in $destination$prefix: ${#plugins[@]} plugins, ${#list[@]} files"
