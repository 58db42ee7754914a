#!/usr/bin/env bash
# Set up everything on a machine with Python 3.11 or newer: system packages where they can be
# installed, a virtual environment in .venv, and the package with the extras given as arguments.
# Sourced by demo.sh and test.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Run a command as root, directly or by sudo without a password; fail if neither is possible.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1
    fi
}

# Install Debian packages that are missing; where that is not possible, name them in one line.
need_packages() {
    local missing=() package
    command -v dpkg-query >/dev/null || return 0
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    if as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
        return 0
    fi
    echo "Could not install system packages; as root, run: apt-get install ${missing[*]}" >&2
}

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            echo "$name"
            return 0
        fi
    done
    echo "Python 3.11 or newer is needed." >&2
    return 1
}

# torch: without an NVIDIA GPU, several GB of CUDA libraries would be of no use. pip gives a
# build without them where it is configured to; else uv knows where PyTorch keeps those builds.
install_torch() {
    if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then
        pip install -q -c constraints.txt torch
        return
    fi
    local report
    report=$(mktemp)
    if pip install -q --dry-run --ignore-installed --report "$report" -c constraints.txt torch &&
        ! grep -qiE '"name": *"(nvidia|cuda)[-_]' "$report"; then
        pip install -q -c constraints.txt torch
    else
        uv pip install -q --torch-backend=cpu -c constraints.txt torch
    fi
    rm -f "$report"
}

set_up() {
    local extras=$1 python
    python=$(find_python)
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        rm -rf .venv
        if ! "$python" -m venv .venv >/dev/null 2>&1; then
            need_packages python3-venv
            "$python" -m venv .venv
        fi
    fi
    # shellcheck disable=SC1091
    source .venv/bin/activate
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    pip install -q uv
    python -c 'import torch' 2>/dev/null || install_torch
    # pip takes ten minutes to choose the versions that uv chooses in ten seconds; it stays for
    # machines on which only pip knows where packages are.
    uv pip install -q -c constraints.txt -e ".$extras" ||
        pip install -q -c constraints.txt -e ".$extras"
}
