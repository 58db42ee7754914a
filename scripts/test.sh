#!/usr/bin/env bash
# Sets up what the tests need, from nothing, and runs them; arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
need_packages xvfb xauth libxcb-icccm4 libxcb-keysyms1 libgl1 libgl1-mesa-dri libglx-mesa0 \
    libegl1 libopengl0 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 \
    libxcb-image0 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 \
    fonts-dejavu-core
set_up "[testing,dev,docs]"
ruff check .
ruff format --check .
typos
mypy
site=$(mktemp -d)
# Not with -q: it would hide the warnings from --strict, too.
NO_MKDOCS_2_WARNING=1 mkdocs build --strict -d "$site"
rm -rf "$site"
# One process of one thread to a core; the tests of a file stay together.
OMP_NUM_THREADS=1 pytest -n logical --dist loadfile "$@"
