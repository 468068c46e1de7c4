#!/usr/bin/env bash
# Removes what scripts/install.sh put into $DESTDIR$PREFIX, and folders that this leaves empty. Plugins that
# were added later stay.
set -euo pipefail
prefix=${DESTDIR:-}${PREFIX:-/usr/local}
files=$prefix/lib/martlet/installed-files
[[ -f $files ]] || { echo "uninstall: Martlet is not installed in $prefix: no $files" >&2; exit 1; }

mapfile -t list <"$files"
folders=()
for file in "${list[@]}"; do
  [[ $file && $file != /* && $file != *..* ]] || { echo "uninstall: '$file' in $files" >&2; exit 1; }
  rm -f "$prefix/$file"
  folders+=("$(dirname "$file")")
done
# Martlet's own folders, innermost first, with those above them inside the prefix.
printf '%s\n' "${folders[@]}" | sort -u | while read -r folder; do
  while [[ $folder != . ]]; do
    echo "$folder"
    folder=$(dirname "$folder")
  done
done | sort -ru | while read -r folder; do
  if [[ $folder == *martlet* ]]; then
    rmdir --ignore-fail-on-non-empty "$prefix/$folder" 2>/dev/null || true
  fi
done
echo "removed Martlet from $prefix: ${#list[@]} files"
