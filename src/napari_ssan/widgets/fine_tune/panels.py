"""What the user sets in the dock "Fine-tune": which part of the stack to learn from, and how.

magicgui makes the controls of the advanced options. The others are plain Qt: entries with
tooltips of their own, two radio buttons in a row, and a range of two boxes. So is the form:
magicgui's container does not align its labels in napari's font.
"""

import math

from magicgui.widgets import CheckBox, ComboBox, LineEdit, SpinBox, Widget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QRadioButton,
    QSpinBox,
    QWidget,
)

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import AIMS as LOSSES
from napari_ssan.finetune.config import PREFERRED, FineTuneConfig
from napari_ssan.losses.config import BETAS
from napari_ssan.widgets.fine_tune.state import ADVICE, AIMS, Aim, FineTuneState
from napari_ssan.widgets.shared.parts import Column, Fold, fill, form, narrow_list, row, wrapped

WHOLE = "whole slices"


class SubsetPanel(Fold):
    """A range of slices, and a region, to learn from."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__(
            "Only a part of the stack",
            "Learn from some of the slices, or from a part of each slice: choose tissue like "
            "the one you want to repair",
        )
        self.first, self.last = QSpinBox(), QSpinBox()
        self.first.setToolTip("First slice to learn from; earlier ones are not read")
        self.last.setToolTip("Last slice to learn from; later ones are not read")
        self.region = narrow_list(
            "Learn only from the rectangle around the drawing on this Shapes or Labels layer, in "
            "all slices"
        )
        self.region.addItem(WHOLE)
        slices = row(self.first, QLabel("to"), self.last)
        self.content.add(form({"Slices": slices, "Region": self.region}))
        self.first.valueChanged.connect(lambda: self._on_range(self.last))
        self.last.valueChanged.connect(lambda: self._on_range(self.first))
        self.region.activated.connect(lambda: self.changed.emit())

    def reset(self, sections: int) -> None:
        """Take all sections of another stack."""
        last = max(sections - 1, 0)
        for box, value in ((self.first, 0), (self.last, last)):
            box.blockSignals(True)
            box.setRange(0, last)
            box.setValue(value)
            box.blockSignals(False)

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        entries = [WHOLE, *state.regions]
        if [self.region.itemText(n) for n in range(self.region.count())] != entries:
            kept = self.region.currentText()
            self.region.clear()
            self.region.addItems(entries)
            self.region.setCurrentIndex(entries.index(kept) if kept in entries else 0)
            if self.region.currentText() != kept:
                self.changed.emit()

    def _on_range(self, other: QSpinBox) -> None:
        """Move the other end along, so that the first slice is never after the last."""
        if self.first.value() > self.last.value():
            other.setValue(self.first.value() if other is self.last else self.last.value())
        else:
            self.changed.emit()


class OptionsPanel(Column):
    """Base model, aim, time and, folded away, advanced options."""

    changed = Signal()

    def __init__(self, devices: list[tuple[str, str]], minutes: float) -> None:
        super().__init__()
        self.base = narrow_list("The model to start from. It stays as it is: you train a copy")
        self.base.activated.connect(self._on_base)
        self.advice = wrapped()
        rows: dict[str, QWidget | QLayout] = {
            "Start from": self.base,
            "Aim": self._build_aim(),
            "Time": self._build_time(minutes),
        }
        advanced = self._build_advanced(devices)
        self.folded = Fold(
            "Advanced",
            "Weights, held-out slices, and where it runs",
            advanced,
            self.separate.native,
        )
        self.add(form(rows), self.advice, self.folded)
        self._names: tuple[str, ...] = ()
        self._picked = self._aimed = False
        self._on_aim()

    @property
    def aim(self) -> Aim:
        """What matters to the user."""
        return "natural" if self.natural.isChecked() else "faithful"

    def propose(self, aim: Aim) -> None:
        """Choose an aim, unless the user has chosen one."""
        if not self._aimed:
            (self.natural if aim == "natural" else self.faithful).setChecked(True)

    @property
    def is_separate(self) -> bool:
        """Whether to train in a separate process."""
        return bool(self.separate.value)

    def config(self) -> FineTuneConfig:
        """Return what the user has set.

        Raises
        ------
        BadInput
            If a weight is not a number, or the style balance is not three numbers.
        """
        natural = self.aim == "natural"
        return FineTuneConfig(
            base=str(self.base.currentData() or ""),
            loss=LOSSES[self.aim],
            minutes=self.minutes.value(),
            share=self.share.value / 100,
            device=str(self.device.value),
            style=_weight(self.texture.value) if natural else None,
            feature=_weight(self.feature.value) if natural else None,
            balance=_balance(self.balance.value) if natural else BETAS,
        )

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        self.where.setText(f"Runs on {state.where}")
        self.where.setToolTip(state.where_why)
        names = tuple(base.name for base in state.bases)
        if names == self._names:
            return
        kept = self.base.currentData() if self._picked else None
        self._names = names
        self._picked = kept in names
        wanted = kept if self._picked else PREFERRED[LOSSES[self.aim]]
        chosen = names.index(wanted) if wanted in names else 0
        fill(self.base, [(base.label, base.name, base.tooltip) for base in state.bases], chosen)

    def _build_aim(self) -> QHBoxLayout:
        self.natural, self.faithful = (QRadioButton(AIMS[aim]) for aim in ("natural", "faithful"))
        self.natural.setToolTip(f"{ADVICE['natural']} Feature and style losses (L_s)")
        self.faithful.setToolTip(f"{ADVICE['faithful']} Pixel-wise loss (L_1)")
        self._aims = QButtonGroup(self)
        box = row()
        box.setSpacing(12)
        for choice in (self.natural, self.faithful):
            self._aims.addButton(choice)
            choice.clicked.connect(self._on_aimed)
            box.addWidget(choice)
        box.addStretch()
        self.natural.setChecked(True)
        self.natural.toggled.connect(self._on_aim)
        return box

    def _build_time(self, minutes: float) -> QHBoxLayout:
        self.minutes = QSpinBox()
        self.minutes.setRange(1, 24 * 60)
        self.minutes.setValue(round(minutes))
        self.minutes.setSuffix(" min")
        self.minutes.setToolTip(
            "How long to train, without preparation and the final comparison. A longer time fits "
            "the stack better. You can stop at any time and keep the best model so far"
        )
        self.minutes.valueChanged.connect(lambda: self.changed.emit())
        self.where = QLabel()
        return row(self.minutes, self.where)

    def _build_advanced(self, devices: list[tuple[str, str]]) -> QFormLayout:
        weight = (
            "Weight of the {} loss. Leave empty for the calibrated default. A higher weight "
            "gives more texture, but less accuracy pixel by pixel"
        )
        self.share = SpinBox(
            label="Held out (%)",
            value=15,
            min=5,
            max=50,
            tooltip="Share of the slices that are not trained on. They show whether the model "
            "gets better",
        )
        self.texture = LineEdit(label="Style weight", tooltip=weight.format("style (texture, α₁)"))
        self.feature = LineEdit(label="Feature weight", tooltip=weight.format("feature (α₂)"))
        self.balance = LineEdit(
            label="Style balance",
            tooltip="Weights β of the style of the previous, the wanted and the next slice: three "
            "numbers. Leave empty for those of the paper",
        )
        self.device = ComboBox(
            label="Runs on", choices=devices, tooltip="A GPU is many times faster"
        )
        self.separate = CheckBox(
            text="In a separate process",
            value=True,
            tooltip="Keeps the viewer responsive, and frees the GPU's memory when training ends. "
            "Switch it off if your system does not let programs start other programs",
        )
        edits, betas = (self.texture, self.feature, self.balance), (f"{b:g}" for b in BETAS)
        for edit, hint in zip(edits, ("default", "default", ", ".join(betas)), strict=True):
            edit.native.setPlaceholderText(hint)
        fields: list[Widget] = [self.share, *edits, self.device]
        for field in (self.share, *edits, self.device, self.separate):
            field.changed.connect(lambda: self.changed.emit())
        return form({f.label: f.native for f in fields[: None if len(devices) > 1 else -1]})

    def _on_aimed(self) -> None:
        self._aimed = True

    def _on_base(self) -> None:
        self._picked = True
        self.changed.emit()

    def _on_aim(self) -> None:
        self.advice.setText(ADVICE[self.aim])
        preferred = self.base.findData(PREFERRED[LOSSES[self.aim]])
        if not self._picked and preferred >= 0:
            self.base.setCurrentIndex(preferred)
        for edit in (self.texture, self.feature, self.balance):
            edit.enabled = self.aim == "natural"
        self.changed.emit()


def _weights(text: str) -> list[float]:
    """Numbers in a text, separated by commas or spaces; empty if one of them is no weight."""
    try:
        found = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        return []
    return found if all(0 <= each < math.inf for each in found) else []


def _weight(text: str) -> float | None:
    found = _weights(text)
    if text.strip() and len(found) != 1:
        raise BadInput(
            f"{text.strip()!r} is not a weight: give a number such as 1e4, or leave it empty."
        )
    return found[0] if found else None


def _balance(text: str) -> tuple[float, float, float]:
    found = _weights(text)
    if text.strip() and len(found) != 3:
        raise BadInput(
            f"{text.strip()!r} is not a style balance: give three numbers such as 0.1, 1, 0.1, "
            "or leave it empty."
        )
    return (found[0], found[1], found[2]) if found else BETAS
