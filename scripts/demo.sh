#!/usr/bin/env bash
# The main job on a generated stack, from nothing: sets up what is needed, repairs three broken
# slices, and leaves before-after.png and the stacks in the folder given (default: demo).
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up ""
napari-ssan demo "${1:-demo}"
