"""The available models: the bundled ones, and the user's own in their data folder.

A model is known by its file's name. Renaming one therefore changes neither its content nor
the digest that every repair records. Nothing here overwrites a model, and an operation that
fails leaves no trace. :mod:`~napari_ssan.network.model_file` reads and writes a single file.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unicodedata import category, normalize
from zipfile import BadZipFile, ZipFile, is_zipfile

from napari_ssan.atomic import scratch
from napari_ssan.errors import BadInput
from napari_ssan.network.between import percent_of
from napari_ssan.network.model_file import (
    DEFAULT_MODEL,
    SUFFIX,
    ModelInfo,
    copy_model,
    load_model,
    model_folders,
    named_models,
    own_folder,
    read_info,
)
from napari_ssan.network.writing import changing, new_file

#: Name of the ``.safetensors`` model inside a bioimage.io package.
PACKED = f"model{SUFFIX}"
#: Characters that some system forbids in file names.
_FORBIDDEN = '<>:"/\\|?*'
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
#: Most bytes of a name; this leaves room for a number, a suffix and a temporary file's prefix.
_LONGEST = 150


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def list_models(notice: Callable[[str], object] = _warn) -> list[ModelInfo]:
    """List the bundled models, the default first, then the user's own by name.

    Parameters
    ----------
    notice : callable
        Receives a sentence for each file that is left out because it cannot be read or has
        the name of a bundled model. The default issues a warning.
    """
    bundled, own = named_models(model_folders()), named_models([own_folder()])
    infos = []
    for name, path in sorted(bundled.items(), key=lambda item: item[0] != DEFAULT_MODEL):
        try:
            infos.append(read_info(path))
        except BadInput as error:
            notice(f"The bundled model {name} is left out; reinstall napari-ssan. {error}")
    for name, path in sorted(own.items(), key=lambda item: item[0].casefold()):
        if name in bundled:
            notice(f"{path} has the name of a bundled model and is left out; rename the file.")
            continue
        try:
            infos.append(read_info(path))
        except BadInput as error:
            notice(f"Your model {name} is left out: {error}")
    return infos


def import_model(path: str | Path, name: str | None = None) -> ModelInfo:
    """Copy a model from a file or a bioimage.io package to the user's own models.

    Parameters
    ----------
    path : str or Path
        A ``.safetensors`` file, or a ``.zip`` that :mod:`napari_ssan.export` wrote.
    name : str, optional
        Name of the model; default is the file's. A number is appended if it is taken.

    Raises
    ------
    BadInput
        If the file is not a model, was altered, or cannot be copied.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise BadInput(f"There is no file {path}; give the path of a {SUFFIX} or .zip file.")
    name = safe_name(path.stem if name is None else name)
    with _staged(name) as temporary, _unpacked(path) as file:
        load_model(file)  # refuses files that are damaged, altered or not a model
        shutil.copyfile(file, temporary)
        return read_info(_settle(temporary, name))


def export_model(name_or_path: str | Path, path: str | Path, overwrite: bool = False) -> None:
    """Copy a model to a file of the user's choice.

    Parameters
    ----------
    name_or_path : str or Path
    path : str or Path
        A ``.safetensors`` file in a folder that exists.
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    BadInput
        If there is no such model, it was altered, or `path` cannot be written.
    """
    with new_file(path, SUFFIX, overwrite) as temporary:
        copy_model(name_or_path, temporary)


def rename(name: str, new: str) -> ModelInfo:
    """Give one of the user's own models another name.

    Raises
    ------
    BadInput
        If the user has no such model, or the new name is taken or not allowed.
    """
    path, new = _own(name), safe_name(new)
    info = read_info(path)
    if new == info.name:
        return info
    # A model may change the case of its own name, also where file names ignore case.
    if new.casefold() != info.name.casefold() and _is_taken(new):
        raise BadInput(f"There already is a model {new!r}; choose another name.")
    target = path.with_name(new + SUFFIX)
    with changing(f"The model {name} could not be renamed"):
        path.rename(target)
    return read_info(target)


def delete(name: str) -> None:
    """Delete one of the user's own models, even if its file can no longer be read.

    Raises
    ------
    BadInput
        If the user has no such model, or the file cannot be deleted.
    """
    path = _own(name)
    with changing(f"The model {name} could not be deleted"):
        path.unlink()


def safe_name(name: str) -> str:
    """Turn a display name into one that every system accepts as a file name.

    Letters of any script, inner spaces and inner dots stay. Forbidden characters, such as
    path separators, become hyphens. Names that are too long are cut.

    Raises
    ------
    BadInput
        If no letter or digit is left.
    """
    text = "".join(
        "-" if c in _FORBIDDEN or category(c) in ("Cc", "Cs", "Co", "Cn") else c
        for c in normalize("NFC", name).removesuffix(SUFFIX)
        if category(c) != "Cf"  # invisible; some change the direction of the text
    )
    text = " ".join(text.split())
    text = text.encode()[:_LONGEST].decode(errors="ignore").strip(" .-")
    if _RESERVED.fullmatch(text):
        text = f"model {text}"
    if not any(c.isalnum() for c in text):
        raise BadInput(f"{name!r} is not a valid model name; use letters or digits.")
    return text


def _own(name: str) -> Path:
    name, own = normalize("NFC", name), named_models([own_folder()])
    if name in named_models(model_folders()):
        raise BadInput(f"The model {name} is part of napari-ssan; it cannot be renamed or deleted.")
    if name not in own:
        yours = f"your models are {', '.join(own)}" if own else "you have none yet"
        raise BadInput(f"You have no model {name!r} of your own; {yours}.")
    return own[name]


def _is_taken(name: str) -> bool:
    if percent_of(name.casefold()) is not None:
        return True
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
    """Give a finished file the first free name: the wanted one, or that with a number."""
    free, number = name, 1
    while True:
        path = own_folder() / f"{free}{SUFFIX}"
        if not _is_taken(free):
            try:
                # A link never replaces a file that another program has just made; a rename does.
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
    """Yield `path` if it is a model file, or the model file inside a package."""
    if not is_zipfile(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with ZipFile(path) as archive:
                file = Path(archive.extract(PACKED, folder))
        except (KeyError, BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error):
            raise BadInput(
                f"{path.name} holds no model packed by napari-ssan; give a {SUFFIX} file."
            ) from None
        yield file
