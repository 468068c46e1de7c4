#!/usr/bin/env bash
# Installs the Debian packages that Martlet builds on, if any is missing, and says which.
# Uses sudo only when it is not root. Does nothing, and needs no network, when all are there.
set -euo pipefail

# OpenBLAS is loaded when its numeric class is chosen, so the library does without its headers.
packages=(libopenblas0 libnuma-dev libhwloc-dev)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [[ $status == "install ok installed" ]] || missing+=("$package")
done

command -v swift >/dev/null || {
  echo "setup: no 'swift' on PATH. Martlet needs Swift 6.3 or newer: https://swift.org/install" >&2
  exit 1
}
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || {
    echo "setup: missing ${missing[*]}; install them as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi

echo "setup: installing ${missing[*]} with ${as_root[*]:+sudo }apt-get"
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y --no-install-recommends -qq "${missing[@]}")
# A fresh image has no package lists: fetch them only if the first try cannot find the packages.
"${as_root[@]}" "${install[@]}" >/dev/null 2>&1 || {
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" "${install[@]}" >/dev/null
}
