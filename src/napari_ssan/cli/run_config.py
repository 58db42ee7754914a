"""The configuration file of ``napari-ssan train``.

Responsible for reading the file, for letting options override it, and for writing a configuration
as commented TOML. What a key means and which values it may have is said once, in
:class:`~napari_ssan.training.config.TrainingConfig` and its parts: the texts of their fields are
the comments of the file. Easy to get wrong: TOML has no null, so a key without a value is written
as a comment, and a budget given as an option replaces the budget of the file in any unit.
"""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator

from napari_ssan.cli.training import validate
from napari_ssan.errors import BadInput
from napari_ssan.json_text import dump_json
from napari_ssan.paths import check_input
from napari_ssan.training.config import TrainingConfig

#: Budget in minutes if none is given.
MINUTES = 20.0
BUDGETS = ("minutes", "epochs", "steps")
#: Options that `train` no longer has: table and line of the key that replaced each.
MOVED = {
    "--crop": ("", "crop = 256"),
    "--batch": ("", "batch = 4"),
    "--learning-rate": ("", "learning_rate = 5e-4"),
    "--schedule": ("", 'schedule = "cosine"'),
    "--match": ("", 'match = "histogram"'),
    "--select": ("", "select = true"),
    "--no-select": ("", "select = false"),
    "--segmenter": ("", 'segmenter = "lines.safetensors"'),
    "--summary": ("", 'summary = "for mouse cortex"'),
    "--terms": ("", 'terms = "CC BY 4.0"'),
    "--style-weight": ("loss", "style = 5000"),
    "--feature-weight": ("loss", "feature = 0.004"),
    "--structure-weight": ("loss", "structure = 0.1"),
    "--membrane-weight": ("loss", "membranes = 1"),
    "--epsilon-squared": ("loss", "epsilon_squared = 0.01"),
    "--scales": ("loss", "scales = [1, 2]"),
    "--zoom": ("augmentation", "zoom = 2"),
    "--noise": ("augmentation", "noise = 0.5"),
    "--blur": ("augmentation", "blur = 1.5"),
    "--grain": ("augmentation", "grain = 0.7"),
}


class RunConfig(TrainingConfig):
    """The keys of a configuration file: the settings of training, and three of the command."""

    segmenter: Path | None = None
    """The .safetensors file that finds membranes for the membrane term of the loss. A relative
    path starts at the current folder."""
    summary: str = ""
    """What the model is for, for its card."""
    terms: str = ""
    """Terms of use of the training data, for the model's card."""

    @model_validator(mode="after")
    def _membranes_are_found(self) -> RunConfig:
        if bool(self.loss.membranes) != bool(self.segmenter):
            raise ValueError(
                "membranes under [loss] and segmenter belong together: set both, or neither"
            )
        return self

    @property
    def training(self) -> TrainingConfig:
        """The settings of training alone, which a checkpoint stores."""
        return TrainingConfig(**{key: getattr(self, key) for key in TrainingConfig.model_fields})


def load_config(path: Path | None, **options: Any) -> RunConfig:
    """Read a configuration file and let options override it.

    Parameters
    ----------
    path : Path or None
        The file; None takes the defaults.
    **options : object
        ``minutes``, ``epochs``, ``steps``, ``seed``, and ``loss``, the loss's preset. Those that
        are None do not override.

    Raises
    ------
    BadInput
        If the file is not valid TOML, or a key or a value is wrong.
    """
    if path:
        check_input(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not valid TOML: {error}.") from None

    def place(*loc: str) -> str:
        where = f"{loc[-1]} under [{loc[0]}]" if loc[1:] else "".join(loc)
        return f"{path}: {where}: " if loc else f"{path}: "

    budget = {} if settings.keys() & set(BUDGETS) else {"minutes": MINUTES}
    settings = validate(RunConfig, settings | budget, place).model_dump()
    given = {key: value for key, value in options.items() if value is not None}
    if given.keys() & set(BUDGETS):
        settings |= dict.fromkeys(BUDGETS)
    if "loss" in given:
        given["loss"] = settings["loss"] | {"preset": given["loss"]}
    return validate(RunConfig, settings | given, lambda *loc: f"--{loc[0]}: " if loc else "")


def to_toml(config: BaseModel) -> str:
    """Write a configuration as TOML, each key below a comment that explains it."""
    lines, tables = [], []
    values = config.model_dump(mode="json")
    for key, field in type(config).model_fields.items():
        text = " ".join((field.description or "").split())
        comment = [f"# {line}" for line in textwrap.wrap(text, 94, break_on_hyphens=False)]
        part = getattr(config, key)
        if isinstance(part, BaseModel):
            tables += ["", *comment, f"[{key}]", to_toml(part)]
        else:
            unset = values[key] is None
            lines += [*comment, f"# {key} =" if unset else f"{key} = {_value(values[key])}"]
    return "\n".join(lines + tables)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)  # JSON has no infinity
    return dump_json(value, ensure_ascii=False).replace("\x7f", "\\u007f")
