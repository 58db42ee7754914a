"""The models at hand: those that came along, and the user's own in a folder of their data.

A model is known by its file's name, so renaming it leaves its content, and with it the
digest that stands in every repair, as they are. Nothing here overwrites a model, and what
fails leaves everything as it was.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category, normalize
from zipfile import BadZipFile, ZipFile, is_zipfile

from napari_ssan.atomic import scratch
from napari_ssan.errors import BadInput
from napari_ssan.network.model_file import (
    DEFAULT_MODEL,
    SUFFIX,
    ModelInfo,
    load_model,
    model_folders,
    named_models,
    own_folder,
    read_info,
    save_model,
)
from napari_ssan.network.writing import changing, new_file

if TYPE_CHECKING:
    from napari_ssan.network.ssan import SSAN

#: The model within a package for bioimage.io, in our own form.
PACKED = f"model{SUFFIX}"
#: What a file's name may not hold on one system or another.
_FORBIDDEN = '<>:"/\\|?*'
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
#: Bytes of a name; a number, a suffix and the marks of a temporary file come on top.
_LONGEST = 150


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def list_models(notice: Callable[[str], object] = _warn) -> list[ModelInfo]:
    """List the models that came along, the default first, then the user's own by name.

    Parameters
    ----------
    notice : callable
        Is given a sentence for each file that is left out, as it cannot be read or has the
        name of a bundled model. The default issues a warning.
    """
    bundled, own = named_models(model_folders()), named_models([own_folder()])
    infos = []
    for name, path in sorted(bundled.items(), key=lambda item: item[0] != DEFAULT_MODEL):
        try:
            infos.append(read_info(path))
        except BadInput as error:
            notice(f"The bundled model {name} is left out, install napari-ssan again: {error}")
    for name, path in sorted(own.items(), key=lambda item: item[0].casefold()):
        if name in bundled:
            notice(f"A bundled model is called {name}, too: give the file {path} another name.")
            continue
        try:
            infos.append(read_info(path))
        except BadInput as error:
            notice(f"Your model {name} is left out: {error}")
    return infos


def keep(network: SSAN, card: dict[str, Any], name: str) -> ModelInfo:
    """Write a network as one of the user's own models.

    Parameters
    ----------
    network : SSAN
        What to keep.
    card : dict
        What is known of it, JSON-serializable; ``tile`` is required.
    name : str
        What to call it; see :func:`safe_name`. If it is taken, a number is appended.

    Raises
    ------
    BadInput
        If the name has no letter or digit, or the model cannot be written.
    """
    name = safe_name(name)
    with _staged(name) as temporary:
        info = save_model(temporary, network, card)
        path = _settle(temporary, name)
    return replace(info, name=path.stem, path=path)


def import_model(path: str | Path, name: str | None = None) -> ModelInfo:
    """Copy a model file, or the one in a package for bioimage.io, to the user's own.

    Parameters
    ----------
    path : str or Path
        A ``.safetensors`` file, or a ``.zip`` that :mod:`napari_ssan.export` wrote.
    name : str, optional
        What to call it; default is the file's name. If it is taken, a number is appended.

    Raises
    ------
    BadInput
        If the file is no model or was altered, or cannot be copied.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise BadInput(f"There is no file {path}; give the path of a {SUFFIX} file.")
    name = safe_name(path.stem if name is None else name)
    with _staged(name) as temporary, _unpacked(path) as file:
        load_model(file)  # refuses what is damaged, altered or foreign
        shutil.copyfile(file, temporary)
        return read_info(_settle(temporary, name))


def export_model(name_or_path: str | Path, path: str | Path, overwrite: bool = False) -> None:
    """Copy a model to a file of the user's choice.

    Parameters
    ----------
    name_or_path : str or Path
        Which model.
    path : str or Path
        A ``.safetensors`` file in a folder that exists.
    overwrite : bool
        Whether one that exists is replaced.

    Raises
    ------
    BadInput
        If there is no such model, it was altered, or `path` may not or cannot be written.
    """
    source = load_model(name_or_path).info.path
    with new_file(path, SUFFIX, overwrite) as temporary:
        shutil.copyfile(source, temporary)


def rename(name: str, new: str) -> ModelInfo:
    """Give one of the user's own models another name.

    Raises
    ------
    BadInput
        If there is no such model of the user's, or the new name is taken or none.
    """
    path, new = _own(name), safe_name(new)
    info = read_info(path)
    if new == info.name:
        return info
    # Where case does not tell files apart, a model may still change that of its own name.
    if new.casefold() != info.name.casefold() and _is_taken(new):
        raise BadInput(f"There is a model {new!r} already; choose another name.")
    target = path.with_name(new + SUFFIX)
    with changing(f"The model {name} could not be renamed"):
        path.rename(target)
    return read_info(target)


def delete(name: str) -> None:
    """Delete one of the user's own models, also one that cannot be read any more.

    Raises
    ------
    BadInput
        If there is no such model of the user's, or the system does not let it be deleted.
    """
    path = _own(name)
    with changing(f"The model {name} could not be deleted"):
        path.unlink()


def safe_name(name: str) -> str:
    """Make a display name one that a file may have on every system.

    Letters of any script, spaces and dots within stay; separators of paths and the like
    become hyphens; what is too long is cut.

    Raises
    ------
    BadInput
        If no letter or digit is left.
    """
    text = "".join(
        "-" if c in _FORBIDDEN or category(c) in ("Cc", "Cs", "Co", "Cn") else c
        for c in normalize("NFC", name).removesuffix(SUFFIX)
        if category(c) != "Cf"  # invisible, and able to turn the direction of the text
    )
    text = " ".join(text.split())
    text = text.encode()[:_LONGEST].decode(errors="ignore").strip(" .-")
    if _RESERVED.fullmatch(text):
        text = f"model {text}"
    if not any(c.isalnum() for c in text):
        raise BadInput(f"{name!r} is no name for a model; use letters or digits.")
    return text


def _own(name: str) -> Path:
    """Path of one of the user's own models."""
    name, own = normalize("NFC", name), named_models([own_folder()])
    if name in named_models(model_folders()):
        raise BadInput(
            f"The model {name} came along with napari-ssan; it can be neither renamed nor deleted."
        )
    if name not in own:
        yours = f"yours are {', '.join(own)}" if own else "you have none yet"
        raise BadInput(f"You have no model {name!r} of your own; {yours}.")
    return own[name]


def _is_taken(name: str) -> bool:
    known = named_models([*model_folders(), own_folder()])
    return name.casefold() in {other.casefold() for other in known}


@contextmanager
def _staged(name: str) -> Iterator[Path]:
    """Path of a temporary file in the user's folder; nothing is left of it at the end."""
    with changing(f"The model {name} could not be saved"):
        own_folder().mkdir(parents=True, exist_ok=True)
        with scratch(own_folder() / f"{name}{SUFFIX}") as temporary:
            yield temporary


def _settle(temporary: Path, name: str) -> Path:
    """Give a finished file the first name that is free: as asked for, or with a number."""
    free, number = name, 1
    while True:
        path = own_folder() / f"{free}{SUFFIX}"
        if not _is_taken(free):
            try:
                # A link, unlike a rename, never replaces what another program has just put there.
                os.link(temporary, path)
                return path
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                return temporary.rename(path)
        number += 1
        free = f"{name} {number}"


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The model file that `path` is, or that lies in it."""
    if not is_zipfile(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with ZipFile(path) as archive:
                file = Path(archive.extract(PACKED, folder))
        except (KeyError, BadZipFile, NotImplementedError, RuntimeError):
            raise BadInput(
                f"{path.name} holds no model that napari-ssan has packed; give a {SUFFIX} file."
            ) from None
        yield file
