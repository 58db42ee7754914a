"""What the user sets in the dock "Fine-tune": what to learn from, and how."""

import math

from qtpy.QtCore import QLocale, Qt, Signal
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import AIMS as LOSSES
from napari_ssan.finetune.config import PREFERRED
from napari_ssan.losses.config import BETAS
from napari_ssan.widgets.fine_tune.state import (
    ADVICE,
    AIMS,
    Aim,
    FineTuneState,
    Settings,
)
from napari_ssan.widgets.shared.parts import Fold, narrow_list, wrapped

WHOLE = "whole sections"
FITTING = "fitted"


class PartPanel(Fold):
    """A range of sections, and a region, to learn from."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__(
            "Only a part of the stack",
            "Learn from some of the slices, or from a part of each: where the tissue is that "
            "you want repaired",
        )
        self.first, self.last = QSpinBox(), QSpinBox()
        self.first.setToolTip("First slice to learn from; those before it are not read")
        self.last.setToolTip("Last slice to learn from; those after it are not read")
        self.region = narrow_list()
        self.region.addItem(WHOLE)
        self.region.setToolTip(
            "Learn only from the rectangle around what is drawn on this Shapes or Labels layer, "
            "in all slices"
        )
        row = QHBoxLayout()
        row.addWidget(self.first, 1)
        row.addWidget(QLabel("to"))
        row.addWidget(self.last, 1)
        form = narrow_form()
        form.addRow("Slices", row)
        form.addRow("Region", self.region)
        self.column.addLayout(form)
        for box in (self.first, self.last):
            box.valueChanged.connect(self._on_range)
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

    def _on_range(self) -> None:
        if self.first.value() > self.last.value():
            other = self.last if self.sender() is self.first else self.first
            value = self.first.value() if other is self.last else self.last.value()
            other.setValue(value)
            return
        self.changed.emit()


class HowPanel(QWidget):  # type: ignore[misc]
    """Model to start from, aim, time, and what is seldom changed."""

    changed = Signal()

    def __init__(self, devices: list[tuple[str, str]], minutes: float) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        form = narrow_form()
        self.base = narrow_list()
        self.base.setToolTip(
            "The model that training starts from; it stays as it is, and what you train is a copy"
        )
        form.addRow("Start from", self.base)
        form.addRow("Aim", self._build_aim())
        form.addRow("Time", self._build_time(minutes))
        self.advice = wrapped()
        self.advanced = Fold("Advanced", "Weights, held-out slices, and where it runs")
        self._build_advanced(devices)
        column.addLayout(form)
        column.addWidget(self.advice)
        column.addWidget(self.advanced)
        self._names: tuple[str, ...] = ()
        self._picked = False
        self.base.activated.connect(self._on_base)
        self._on_aim()

    @property
    def aim(self) -> Aim:
        """What matters to the user."""
        return "natural" if self.natural.isChecked() else "faithful"

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        self.where.setText(f"Runs on {state.where}")
        self.where.setToolTip(state.where_why)
        names = tuple(base.name for base in state.bases)
        if names == self._names:
            return
        kept = self.base.currentData() if self._picked else None
        self._names = names
        self.base.clear()
        for number, base in enumerate(state.bases):
            self.base.addItem(base.label, base.name)
            self.base.setItemData(number, base.tooltip, Qt.ItemDataRole.ToolTipRole)
        self._picked = kept in names
        wanted = kept if self._picked else PREFERRED[LOSSES[self.aim]]
        self.base.setCurrentIndex(max(self.base.findData(wanted), 0))

    def _build_aim(self) -> QHBoxLayout:
        self.natural, self.faithful = (QRadioButton(AIMS[aim]) for aim in ("natural", "faithful"))
        self.natural.setToolTip(f"{ADVICE['natural']} Feature and style losses (L_s)")
        self.faithful.setToolTip(f"{ADVICE['faithful']} Pixel-wise loss (L_1)")
        self._aims = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(12)
        for choice in (self.natural, self.faithful):
            self._aims.addButton(choice)
            row.addWidget(choice)
        row.addStretch()
        self.natural.setChecked(True)
        self.natural.toggled.connect(self._on_aim)
        return row

    def _build_time(self, minutes: float) -> QHBoxLayout:
        self.minutes = QSpinBox()
        self.minutes.setRange(1, 24 * 60)
        self.minutes.setValue(round(minutes))
        self.minutes.setSuffix(" min")
        self.minutes.setToolTip(
            "How long to train; longer fits the stack better. Preparing and judging come on top. "
            "You can stop at any time and keep the best so far"
        )
        self.minutes.valueChanged.connect(lambda: self.changed.emit())
        self.where = QLabel()
        row = QHBoxLayout()
        row.addWidget(self.minutes, 1)
        row.addWidget(self.where)
        return row

    def _build_advanced(self, devices: list[tuple[str, str]]) -> None:
        form = narrow_form()
        self.share = QSpinBox()
        self.share.setRange(5, 50)
        self.share.setValue(15)
        self.share.setSuffix(" %")
        self.share.setToolTip(
            "Share of the slices that is held out: not trained on, but used to judge whether "
            "the model has become better"
        )
        self.style, self.feature = QLineEdit(), QLineEdit()
        for edit, what in ((self.style, "style (texture), α₁"), (self.feature, "features, α₂")):
            number = QDoubleValidator(0, 1e12, 12, edit)
            number.setLocale(QLocale.c())
            edit.setValidator(number)
            edit.setPlaceholderText(FITTING)
            edit.setToolTip(
                f"Weight of the loss of {what}. Left empty, it is the one that fits the weights "
                "of VGG16; more gives more texture, and less likeness pixel by pixel"
            )
            edit.editingFinished.connect(lambda: self.changed.emit())
        self.balance = QLineEdit()
        self.balance.setPlaceholderText(", ".join(f"{beta:g}" for beta in BETAS))
        self.balance.setToolTip(
            "Weights of the style of the previous, the wanted and the next slice, β: three "
            "numbers. Left empty, they are the paper's"
        )
        self.balance.editingFinished.connect(lambda: self.changed.emit())
        self.device = QComboBox()
        self.device.setToolTip("What computes: the GPU is many times faster")
        for label, name in devices:
            self.device.addItem(label, name)
        self.apart = QCheckBox("In a process of its own")
        self.apart.setChecked(True)
        self.apart.setToolTip(
            "Keeps the viewer smooth, and the GPU's memory is free as soon as it ends. Switch it "
            "off if your system does not let programs start others"
        )
        self.apart.toggled.connect(lambda: self.changed.emit())
        form.addRow("Held out", self.share)
        form.addRow("Style weight", self.style)
        form.addRow("Feature weight", self.feature)
        form.addRow("Style balance", self.balance)
        if len(devices) > 1:
            form.addRow("Runs on", self.device)
        self.advanced.column.addLayout(form)
        self.advanced.column.addWidget(self.apart)
        self.share.valueChanged.connect(lambda: self.changed.emit())
        self.device.activated.connect(lambda: self.changed.emit())

    def _on_base(self) -> None:
        self._picked = True
        self.changed.emit()

    def _on_aim(self) -> None:
        self.advice.setText(ADVICE[self.aim])
        preferred = self.base.findData(PREFERRED[LOSSES[self.aim]])
        if not self._picked and preferred >= 0:
            self.base.setCurrentIndex(preferred)
        for edit in (self.style, self.feature, self.balance):
            edit.setEnabled(self.aim == "natural")
        self.changed.emit()


def settings(part: PartPanel, how: HowPanel) -> Settings:
    """Return what is set.

    Raises
    ------
    BadInput
        If a weight is no number, or there are not three of the style balance.
    """
    natural = how.aim == "natural"
    return Settings(
        base=str(how.base.currentData() or ""),
        aim=how.aim,
        minutes=float(how.minutes.value()),
        share=how.share.value() / 100,
        style=_number(how.style) if natural else None,
        feature=_number(how.feature) if natural else None,
        balance=_balance(how.balance) if natural else BETAS,
        device=str(how.device.currentData()),
        apart=how.apart.isChecked(),
        first=part.first.value(),
        last=part.last.value(),
        region=max(part.region.currentIndex(), 0),
    )


def narrow_form() -> QFormLayout:
    """Rows of a name and a control, which fit a narrow dock."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setHorizontalSpacing(6)
    form.setVerticalSpacing(4)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def _number(edit: QLineEdit) -> float | None:
    text = edit.text().strip()
    if text and not edit.hasAcceptableInput():
        raise BadInput(f"{text!r} is no weight: give a number such as 1e4, or leave it empty.")
    return float(text) if text else None


def _balance(edit: QLineEdit) -> tuple[float, float, float]:
    text = edit.text().strip()
    if not text:
        return BETAS
    try:
        before, wanted, after = (float(part) for part in text.replace(",", " ").split())
        if not (min(before, wanted, after) >= 0 and math.isfinite(before + wanted + after)):
            raise ValueError
    except ValueError:
        raise BadInput(
            f"{text!r} is no style balance: give three numbers such as 0.1, 1, 0.1, or leave it "
            "empty."
        ) from None
    return before, wanted, after
