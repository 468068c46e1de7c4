#!/usr/bin/env bash
# Compiles and runs the README's Swift and C examples exactly as printed there: the Swift one in a
# package outside this one that depends on the `Martlet` product, the C one against include/ and the
# shared library.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/.build/readme-examples
mkdir -p "$work/swift/Sources/Example"
# SwiftPM knows a local package by the name of its folder, whatever this checkout is called.
ln -sfn "$root" "$work/martlet"

# The body of the first fenced block of language $1.
block() {
  awk -v fence="\`\`\`$1" '$0 == fence {on = 1; next} on && /^```/ {exit} on' "$root/README.md"
}

echo "== Swift example"
block swift >"$work/swift/Sources/Example/main.swift"
[[ -s $work/swift/Sources/Example/main.swift ]] || { echo "README.md has no swift block" >&2; exit 1; }
cat >"$work/swift/Package.swift" <<EOF
// swift-tools-version: 6.2
import PackageDescription
let package = Package(
  name: "example",
  dependencies: [.package(path: "../martlet")],
  targets: [
    .executableTarget(
      name: "Example",
      dependencies: ["Martlet", "MartletBestOfN", "MartletExactChecker"].map {
        .product(name: \$0, package: "martlet")
      },
      swiftSettings: [.treatAllWarnings(as: .error)])
  ])
EOF
swift build -c release --package-path "$work/swift"
"$work/swift/.build/release/Example"

echo "== C example"
block c >"$work/example.c"
[[ -s $work/example.c ]] || { echo "README.md has no c block" >&2; exit 1; }
swift build -c release --package-path "$root" --product MartletC
library=$root/.build/release
"${CC:-cc}" -std=c17 -Wall -Wextra -Werror -I "$root/include" "$work/example.c" \
  -L "$library" -lMartletC -Wl,-rpath,"$library" -o "$work/example"
"$work/example"
