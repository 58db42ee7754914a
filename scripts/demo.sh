#!/usr/bin/env bash
# The main job on a generated stack, from nothing: sets up what is needed, repairs three broken
# slices, and leaves before-after.png and the stacks in the folder given. Default is demo, where
# what an earlier run has left is replaced.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up ""
(($#)) || set -- demo --overwrite
napari-ssan demo "$@"
