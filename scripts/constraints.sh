#!/usr/bin/env bash
# Write constraints.txt: one exact version, with the hashes of all its files, of everything any extra needs.
# One version for every Python from 3.11 and every platform; names no index, so that it installs from any mirror.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
    --fork-strategy fewest --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet \
    --output-file constraints.txt "$@"

if grep -nE '://' constraints.txt; then
    echo "constraints.txt must not name a host" >&2
    exit 1
fi
echo "constraints.txt: $(grep -cE '^[a-z0-9].*==' constraints.txt) packages"
