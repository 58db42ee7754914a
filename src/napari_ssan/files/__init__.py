"""Opens stacks lazily and saves them section by section, with voxel size and provenance."""

from napari_ssan.files.calibration import Calibration
from napari_ssan.files.open import StackFile, open_image, open_stack, read_provenance
from napari_ssan.files.output import (
    check_distinct,
    check_output,
    error_path,
    mask_path,
    report_path,
)
from napari_ssan.files.save import check_axes, save_stack

__all__ = [
    "Calibration",
    "StackFile",
    "check_axes",
    "check_distinct",
    "check_output",
    "error_path",
    "mask_path",
    "open_image",
    "open_stack",
    "read_provenance",
    "report_path",
    "save_stack",
]
