"""How files are damaged: each mutation knows the structure of what it damages.

A mutation changes a file or folder in place, by the draws of a ``random.Random``, and
returns in words what it did. Words that begin with ``LOST`` say that pixels have gone
which the file still promises: an output that was made without a word is then a finding.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

LOST = "lost: "
Mutation = Callable[[Path, Random], str]

#: Numbers at which something may turn over.
NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    255,
    256,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
#: Values that no JSON of ours expects where they are put.
VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, *NUMBERS, 10**12, 10**400, 0.5, -0.5, 1e308, float("nan")),
    *(float("inf"), "", "x", "../..", "/etc", "a\x1b[31mb\x07\n", "µ\u202e", "9" * 400),
    *([], [0], [[]], {}, {"": None}, [1] * 1000, ["x", None]),
)
#: What is put into text in the place of a word or number.
WORDS = (
    *("", "0", "-1", "1e400", "nan", "inf", "9" * 400, "9" * 5000, "²", "٣", "1_0", "x" * 10**5),
    *("\x1b[31m", "\0", "\ufeff", '"', "<", "&bad;", "{", "[", "[" * 10**5, "=", "\r", "µm"),
)


def draw(random: Random, *mutations: Mutation) -> Mutation:
    """One of some mutations."""
    return mutations[random.randrange(len(mutations))]


# --- any file: bytes


def truncate(path: Path, random: Random) -> str:
    """Cut the end off."""
    size = path.stat().st_size
    left = random.choice((0, 1, 4, 8, size - 1, random.randrange(size + 1))) if size else 0
    os.truncate(path, min(left, size))
    return f"{LOST * (left < size)}{path.name} cut to {left} of {size} bytes"


def flip(path: Path, random: Random) -> str:
    """Change some bytes, most of them near the beginning or the end, where headers are."""
    data = bytearray(path.read_bytes())
    places = []
    for _ in range(random.choice((1, 1, 2, 8))):
        if not data:
            break
        reach = min(len(data), random.choice((16, 64, 512, len(data))))
        at = random.randrange(reach)
        at = len(data) - 1 - at if random.random() < 0.3 else at
        data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, data[at] ^ (1 << random.randrange(8))))
        places.append(at)
    path.write_bytes(data)
    return f"bytes {places} of {path.name} changed"


def splice(path: Path, random: Random) -> str:
    """Copy, remove, repeat or blank a stretch."""
    data = path.read_bytes()
    start = random.randrange(len(data) + 1)
    length = random.choice((1, 4, 12, 20, 64, 512, 4096))
    part = data[start : start + length]
    to = random.randrange(len(data) + 1)
    kind = random.choice(("moved", "copied over", "removed", "repeated", "blanked"))
    changed = {
        "moved": data[:to] + part + data[to:],
        "copied over": data[:to] + part + data[to + len(part) :],
        "removed": data[:start] + data[start + len(part) :],
        "repeated": data[:start] + part * 5 + data[start + len(part) :],
        "blanked": data[:start] + bytes(len(part)) + data[start + len(part) :],
    }[kind]
    path.write_bytes(changed)
    return f"{len(part)} bytes of {path.name} {kind} ({start}, {to})"


# --- text and JSON


def reword(path: Path, random: Random) -> str:
    """Put something odd in the place of a stretch of text."""
    text = path.read_bytes()
    at = random.randrange(len(text) + 1)
    length, word = random.choice((0, 1, 3, 10)), random.choice(WORDS)
    path.write_bytes(text[:at] + word.encode() + text[at + length :])
    return f"{word[:20]!r} put at {at} of {path.name}"


def nodes(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Ways to all values in a JSON value."""
    yield way
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from nodes(value[key], (*way, key))


def change(value: Any, random: Random) -> tuple[Any, str]:
    """Change one place of a JSON value; returns the whole and what was done."""
    ways = list(nodes(value))
    way = random.choice(ways)
    kind = random.choice(("set", "set", "set", "drop", "nest", "double"))
    new = random.choice(VALUES)
    if not way:
        return new, f"the whole is {str(new)[:20]!r}"
    holder = value
    for key in way[:-1]:
        holder = holder[key]
    last = way[-1]
    if kind == "drop":
        del holder[last]
    elif kind == "nest":
        for _ in range(random.choice((1, 2, 200))):
            holder[last] = [holder[last]]
    elif kind == "double" and isinstance(holder, list):
        holder.insert(last, holder[last])
    else:
        holder[last] = new
        kind = f"set to {str(new)[:20]!r}"
    return value, f"{'/'.join(map(str, way))} {kind}"


def edit_json(path: Path, random: Random) -> str:
    """Change one place of a JSON file, or make it none."""
    kind = random.randrange(10)
    if kind == 0:
        junk = random.choice((b"", b"{]", b"\xff\xfe", b"5", b"[" * 10**5, b'{"a":' * 10**5))
        path.write_bytes(junk)
        return f"{path.name} is {junk[:8]!r}"
    if kind == 1:
        return reword(path, random)
    content, done = change(json.loads(path.read_text()), random)
    path.write_text(json.dumps(content))
    return f"{path.name}: {done}"


def edit_lines(path: Path, random: Random) -> str:
    """Change one line of a file that has a JSON value in each."""
    if random.random() < 0.3:
        return draw(random, reword, truncate, flip, splice, odd_file)(path, random)
    lines = path.read_text().splitlines()
    at = random.randrange(len(lines))
    content, done = change(json.loads(lines[at]), random)
    lines[at] = random.choice((json.dumps(content), json.dumps(content), "[" * 10**5, "5"))
    path.write_text("\n".join(lines) + "\n")
    return f"line {at} of {path.name}: {done}"


# --- TIFF


class Tags:
    """Where the pages of a whole TIFF and their tags lie.

    Attributes
    ----------
    next : list of int
        Places of the pointers to the pages, the first in the header.
    pages : list of int
    tags : list of int
        Places of the entries of tags.
    """

    def __init__(self, data: bytes) -> None:
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = struct.unpack(f"{self.order}H", data[2:4])[0] == 43
        self.word, number, at = ("Q", "Q", 8) if self.big else ("I", "H", 4)
        self.entry = 20 if self.big else 12
        self.next, self.pages, self.tags = [at], [], []
        while place := struct.unpack_from(self.order + self.word, data, at)[0]:
            self.pages.append(place)
            count = struct.unpack_from(self.order + number, data, place)[0]
            first = place + struct.calcsize(number)
            self.tags += [first + self.entry * n for n in range(count)]
            at = first + self.entry * count
            self.next.append(at)

    def put(self, data: bytearray, at: int, value: int) -> None:
        """Write a pointer or count."""
        largest = 2 ** (8 * struct.calcsize(self.word)) - 1
        struct.pack_into(self.order + self.word, data, at, min(value, largest))


def edit_pages(path: Path, random: Random) -> str:
    """Let the pointer to a page lead elsewhere."""
    data = bytearray(path.read_bytes())
    tags = Tags(bytes(data))
    number = random.randrange(len(tags.next))
    kind = random.choice(("to an earlier page", "to itself", "out of the file", "anywhere"))
    if kind == "to an earlier page" and number:
        goal = tags.pages[random.randrange(number)]
    elif kind == "to itself":
        goal = tags.next[number]
    elif kind == "out of the file":
        goal = random.choice((len(data), len(data) + 8, 2**31, 2**63))
    else:
        goal = random.randrange(len(data))
    tags.put(data, tags.next[number], goal)
    path.write_bytes(data)
    lost = kind == "to an earlier page" and number
    return f"{LOST * bool(lost)}pointer {number} of {path.name} leads {kind}, to {goal}"


def edit_tag(path: Path, random: Random) -> str:
    """Change a tag, or put one in the place of another."""
    data = bytearray(path.read_bytes())
    tags = Tags(bytes(data))
    if not tags.tags:
        return flip(path, random)
    at = random.choice(tags.tags)
    code = struct.unpack_from(f"{tags.order}H", data, at)[0]
    width = 8 if tags.big else 4
    what = random.choice(("code", "type", "count", "value", "value", "value", "copy", "blank"))
    if what == "code":
        other = random.choice((254, 256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 284, 296))
        other = random.choice((other, 317, 320, 322, 323, 324, 325, 330, 338, 339, 50838, 50839))
        struct.pack_into(f"{tags.order}H", data, at, other)
    elif what == "type":
        struct.pack_into(f"{tags.order}H", data, at + 2, random.choice((0, 1, 2, 5, 12, 16, 99)))
    elif what == "count":
        tags.put(data, at + 4, random.choice(NUMBERS))
    elif what == "value":
        number = random.choice(NUMBERS)
        kind = struct.unpack_from(f"{tags.order}H", data, at + 2)[0]
        if kind == 3:
            struct.pack_into(f"{tags.order}H", data, at + 4 + width, number % 65536)
        else:
            tags.put(data, at + 4 + width, number)
        what = f"value set to {number}"
    elif what == "copy":
        other = random.choice(tags.tags)
        data[at : at + tags.entry] = data[other : other + tags.entry]
    else:
        data[at : at + tags.entry] = bytes(tags.entry)
    path.write_bytes(data)
    return f"tag {code} at {at} of {path.name}: {what}"


def edit_description(path: Path, random: Random) -> str:
    """Put something odd into the text of a TIFF without moving what lies behind it."""
    data = bytearray(path.read_bytes())
    starts = [data.find(word) for word in (b"ImageJ=", b"<?xml", b'{"shape"', b"IJIJ")]
    start = next((s for s in starts if s >= 0), -1)
    if start < 0:
        return edit_tag(path, random)
    end = data.find(b"\0", start)
    numbers = [i for i in range(start, end) if chr(data[i]).isdigit()]
    at = (
        random.choice(numbers or [start]) if random.random() < 0.7 else random.randrange(start, end)
    )
    word = random.choice(("0", "-", "9" * 4, "9" * 12, "9" * 400, "e", ".", "²", "nan", "<", '"'))
    new = word.encode()[: end - at]
    data[at : at + len(new)] = new
    path.write_bytes(data)
    return f"{word[:12]!r} put at {at} into the text of {path.name}"


def any_tiff(path: Path, random: Random) -> str:
    """One of the mutations of a TIFF."""
    return draw(
        random, edit_tag, edit_tag, edit_tag, edit_pages, edit_description, truncate, flip, splice
    )(path, random)


# --- PNG


def edit_png(path: Path, random: Random) -> str:
    """Change the header of a PNG, on demand with a checksum that fits."""
    import zlib

    data = bytearray(path.read_bytes())
    at, form = random.choice(((16, ">I"), (20, ">I"), (24, "B"), (25, "B"), (28, "B")))
    number = random.choice((0, 1, 2, 3, 8, 16, 255, 40_000, 2**31 - 1))
    struct.pack_into(form, data, at, number % 256 if form == "B" else number)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return f"byte {at} of the header of {path.name} set to {number}"


def any_png(path: Path, random: Random) -> str:
    """One of the mutations of a PNG."""
    return draw(random, edit_png, edit_png, truncate, flip, splice)(path, random)


# --- zarr


def chunks(store: Path) -> list[Path]:
    """Files with pixels in a store."""
    known = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
    return sorted(p for p in store.rglob("*") if p.is_file() and p.name not in known)


def metadata(store: Path) -> list[Path]:
    """Files with metadata in a store."""
    known = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
    return sorted(p for p in store.rglob("*") if p.name in known)


def edit_metadata(path: Path, random: Random) -> str:
    """Change one place of the metadata of a store."""
    return edit_json(random.choice(metadata(path)), random)


def edit_array(path: Path, random: Random) -> str:
    """Give an array another shape, type, codec or chunk, all of them well written."""
    file = random.choice([p for p in metadata(path) if p.name != ".zattrs" and p.name != ".zgroup"])
    content = json.loads(file.read_text())
    if content.get("node_type") == "group":
        return edit_json(file, random)
    old = file.name == ".zarray"
    edits: dict[str, Any] = {
        "shape": random.choice(
            ([10**6] * 3, [5, 48], [], [0, 48, 40], [5, 10**9, 40], [-5, 48, 40])
        ),
        "fill_value": random.choice((None, "NaN", 300, -1, "x", 255)),
    }
    if old:
        edits |= {
            "dtype": random.choice(
                ("|O", "|S5", "<U3", "<c8", "<M8[ns]", "|V4", "<f8", "|b1", "x")
            ),
            "filters": random.choice(([{"id": "pickle"}], [{"id": "nope"}], [{"id": "json2"}], {})),
            "compressor": random.choice(
                ({"id": "nope"}, {"id": "zlib"}, {"id": "gzip", "level": 99})
            ),
            "chunks": random.choice(([0, 24, 20], [1, 10**9, 10**9], [1], [10**5] * 3)),
            "order": random.choice(("F", "X")),
        }
    else:
        sizes = random.choice(([0, 24, 20], [1, 10**9, 10**9], [10**5] * 3, [5, 48, 40]))
        codec = random.choice(("nope", "numcodecs.pickle", "gzip", "transpose", "vlen-utf8"))
        edits |= {
            "data_type": random.choice(("string", "complex64", "r16", "nope", "float64", "bool")),
            "codecs": random.choice(([], [{"name": codec}], [*content["codecs"], {"name": codec}])),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": sizes}},
        }
    key = random.choice(sorted(edits))
    content[key] = edits[key]
    file.write_text(json.dumps(content))
    return f"{file.parent.name}/{file.name}: {key} set to {str(edits[key])[:60]}"


def edit_chunk(path: Path, random: Random) -> str:
    """Lose or damage a chunk of a store."""
    files = [p for p in chunks(path) if "1" not in p.relative_to(path).parts[:1]] or chunks(path)
    file = random.choice(files)
    name = file.relative_to(path)
    kind = random.choice(("missing", "empty", "cut", "flipped", "a folder", "another", "a link"))
    if kind in ("missing", "a folder", "a link"):
        file.unlink()
    if kind == "missing":
        return f"{LOST}chunk {name} is missing"
    if kind == "a folder":
        file.mkdir()
        return f"{LOST}chunk {name} is a folder"
    if kind == "a link":
        file.symlink_to(random.choice(("/etc/passwd", "nowhere", file.name)))
        return f"{LOST}chunk {name} is a link"
    if kind == "empty":
        file.write_bytes(b"")
        return f"{LOST}chunk {name} is empty"
    if kind == "another":
        shutil.copyfile(random.choice(files), path / "other")
        (path / "other").replace(file)
        return f"chunk {name} is another one"
    return f"chunk {name}: {(truncate if kind == 'cut' else flip)(file, random)}"


def edit_chunks(path: Path, random: Random) -> str:
    """Lose many chunks of a store, as a copy does that was stopped."""
    files = chunks(path)
    kept = random.randrange(len(files))
    for file in files[kept:]:
        file.unlink()
    return f"{LOST}only {kept} of {len(files)} chunks are there"


def any_zarr(path: Path, random: Random) -> str:
    """One of the mutations of a store."""
    return draw(
        random, edit_metadata, edit_metadata, edit_array, edit_array, edit_chunk, edit_chunks
    )(path, random)


# --- HDF5


def edit_hdf5(path: Path, random: Random) -> str:
    """Put another volume in the place of the one that is there, all of it well written."""
    import h5py

    (path.parent / "raw.bin").write_bytes(bytes(100))
    kinds: dict[str, Callable[[Any], object]] = {
        "a dangling link": lambda f: f.__setitem__("volumes/raw", h5py.SoftLink("/nowhere")),
        "a link to itself": lambda f: f.__setitem__("volumes/raw", h5py.SoftLink("/volumes/raw")),
        "a link out": lambda f: f.__setitem__("volumes/raw", h5py.ExternalLink("no.h5", "x")),
        "text": lambda f: f.__setitem__("volumes/raw", ["a", "b"]),
        "compound": lambda f: f.create_dataset("volumes/raw", (5, 48, 40), "i1,f4"),
        "references": lambda f: f.create_dataset("volumes/raw", (5, 8, 8), h5py.ref_dtype),
        "text in 3-D": lambda f: f.create_dataset("volumes/raw", (5, 8, 8), h5py.string_dtype()),
        "huge": lambda f: f.create_dataset(
            "volumes/raw", (5, 10**6, 10**6), "u1", chunks=(1, 64, 64)
        ),
        "one huge chunk": lambda f: f.create_dataset(
            "volumes/raw", (5, 30_000, 30_000), "u1", chunks=(5, 30_000, 30_000), compression="gzip"
        ),
        "empty": lambda f: f.create_dataset("volumes/raw", (0, 48, 40), "u1"),
        "null": lambda f: f.__setitem__("volumes/raw", h5py.Empty("u1")),
        "a group": lambda f: f.create_group("volumes/raw"),
        f"{LOST}stored outside": lambda f: f.create_dataset(
            "volumes/raw", (5, 8, 8), "u1", external=[("/etc/passwd", 0, 320)]
        ),
        f"{LOST}never written": lambda f: f.create_dataset(
            "volumes/raw", (5, 48, 40), "u1", chunks=(1, 24, 20)
        ),
    }
    kind = random.choice(sorted(kinds))
    with h5py.File(path, "r+") as file:
        if "volumes/raw" in file:
            del file["volumes/raw"]
        kinds[kind](file)
    return f"the volume is {kind}" if not kind.startswith(LOST) else kind


def drop_source(path: Path, random: Random) -> str:
    """Lose a file that a virtual data set consists of, or damage it."""
    parts = sorted(path.parent.glob("part*.h5"))
    if not parts:
        return edit_hdf5(path, random)
    part = random.choice(parts)
    if random.random() < 0.5:
        part.unlink()
        return f"{LOST}{part.name} is missing"
    return truncate(part, random)


def any_hdf5(path: Path, random: Random) -> str:
    """One of the mutations of an HDF5 file."""
    return draw(random, edit_hdf5, edit_hdf5, drop_source, truncate, flip, flip, splice)(
        path, random
    )


# --- folders, and what stands in the place of a file

NAMES = (
    "s1²2.png",
    "s٣.png",
    "s9999999999999999999999.png",
    "a\x1b[31mb.png",
    "\n.png",
    "s\udcff.png",
)


def odd_file(path: Path, random: Random) -> str:
    """Put something that is no file in the place of `path`."""
    kind = random.choice(
        ("a fifo", "a socket", "a device", "a loop", "a dangling link", "a folder")
    )
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "a fifo":
        os.mkfifo(path)
    elif kind == "a socket":
        bound = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket must be short
        bound.bind(path.name)
        os.chdir(here)
        bound.close()
    elif kind == "a device":
        path.symlink_to(random.choice(("/dev/zero", "/dev/null", "/dev/tty", "/proc/self/mem")))
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path.name if kind == "a loop" else "nowhere")
    return f"{path.name} is {kind}"


def any_folder(path: Path, random: Random) -> str:
    """Damage, rename or replace one of the images of a folder."""
    files = sorted(path.iterdir())
    file = random.choice(files)
    kind = random.randrange(4)
    if kind == 0:
        file.rename(path / f"{random.choice(NAMES).removesuffix('.png')}{file.suffix}")
        return f"{file.name} renamed"
    if kind == 1:
        return odd_file(file, random)
    return (any_png if file.suffix == ".png" else any_tiff)(file, random)


# --- models and sidecars


def edit_model(path: Path, random: Random) -> str:
    """Change the card, configuration or weights of a model, with a checksum that fits."""
    from safetensors.numpy import load, save

    from napari_ssan.network.model_file import _text, digest

    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    kept = header["__metadata__"]
    card, config = json.loads(kept["card"]), json.loads(kept["config"])
    weights = load(data)
    kind = random.choice(("card", "card", "config", "weights", "header", "metadata"))
    if kind == "card":
        card, done = change(card, random)
    elif kind == "config":
        config, done = change(config, random)
    elif kind == "weights":
        key = random.choice(sorted(weights))
        value = random.choice((np.nan, np.inf, 1e38))
        done = f"{key} is {value}"
        weights[key] = np.full_like(weights[key], value)
    elif kind == "metadata":
        key = random.choice(sorted(kept))
        kept[key] = random.choice(("", "x", "[" * 10**5, "9" * 5000, "NaN", "null", "1e400", "²"))
        written = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(written)) + written + data[8 + length :])
        return f"metadata {key} is {kept[key][:10]!r}"
    else:
        header, done = change(header, random)
        written = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(written)) + written + data[8 + length :])
        return f"header: {done}"
    kept |= {"card": json.dumps(card), "config": json.dumps(config)}
    with contextlib.suppress(RecursionError):
        kept["sha256"] = digest(_text(config, card), weights)
    path.write_bytes(save(weights, kept))
    return f"{kind}: {done}"


def any_model(path: Path, random: Random) -> str:
    """One of the mutations of a model file, or of one in a folder."""
    file = next(path.glob("*.safetensors")) if path.is_dir() else path
    return draw(random, edit_model, edit_model, edit_model, truncate, flip, splice)(file, random)


# --- what training reads and leaves


def edit_config(path: Path, random: Random) -> str:
    """Give a key of a configuration file another value, or the file another key."""
    lines = path.read_text().splitlines()
    at = random.randrange(len(lines))
    value = random.choice(
        (
            *(*map(str, NUMBERS), "-1", "nan", "inf", "1e308", "1e-300", "0.5", "true"),
            *('""', '"x"', '"\\u001b[31m"', "[]", "[1, 2]", "[" * 10**4, "{}", "{a = 1}"),
            *("9" * 5000, "1979-05-27"),
        )
    )
    keys = ("minutes", "epochs", "steps", "crop", "batch", "seed", "nonsense", "validate_every")
    keys += ("checkpoint_every", "preview_every", "clip", "match", "select", "segmenter", "views")
    if random.random() < 0.5 and "=" in lines[at]:
        lines[at] = f"{lines[at].partition('=')[0]}= {value}"
    else:
        lines.insert(0, f"{random.choice(keys)} = {value}")
    path.write_text("\n".join(lines) + "\n")
    return f"{value[:20]!r} in {path.name}"


def any_config(path: Path, random: Random) -> str:
    """One of the mutations of a configuration file."""
    return draw(random, edit_config, edit_config, edit_config, reword, splice, flip)(path, random)


def edit_tensors(path: Path, random: Random) -> str:
    """Change a tensor of a safetensors file, or its metadata, all of it well written."""
    from safetensors import safe_open
    from safetensors.numpy import load, save

    data = path.read_bytes()
    with safe_open(path, framework="np") as file:
        kept = file.metadata()
    tensors = load(data)
    key = random.choice(sorted(tensors))
    kind = random.choice(("value", "shape", "type", "drop", "large", "metadata", "text"))
    if kind == "value":
        tensors[key] = np.full_like(tensors[key], random.choice((np.nan, np.inf, 1e30, 0)))
    elif kind == "shape":
        tensors[key] = tensors[key].reshape(-1)[:1]
    elif kind == "type":
        tensors[key] = tensors[key].astype(random.choice(("f8", "i8", "u1", "?", "f2")))
    elif kind == "drop":
        del tensors[key]
    elif kind == "large":
        tensors[key] = np.zeros((2**20, *tensors[key].shape[1:]), tensors[key].dtype)[: 2**18]
    elif kept:
        name = random.choice(sorted(kept))
        if kind == "text":
            kept[name] = random.choice(("", "x", "[" * 10**5, "NaN", "null", "9" * 5000))
        else:
            with contextlib.suppress(ValueError):
                content, _ = change(json.loads(kept[name]), random)
                kept[name] = json.dumps(content)
        kind = f"{kind} {name}"
        if {"facts", "identity"} <= kept.keys() and random.random() < 0.7:
            kept["sha256"] = _checksum(kept, tensors)
    path.write_bytes(save(tensors, kept))
    return f"{kind} of {key} in {path.name}"


def _checksum(kept: dict[str, str], tensors: dict[str, Any]) -> str:
    """Checksum that a checkpoint should have."""
    import torch

    from napari_ssan.training.checkpoint import digest as checkpoint_digest

    text = {name: kept[name] for name in ("facts", "identity")}
    return checkpoint_digest(text, {n: torch.from_numpy(t) for n, t in tensors.items()})


def any_weights(path: Path, random: Random) -> str:
    """One of the mutations of a file of tensors."""
    return draw(random, edit_tensors, edit_tensors, edit_tensors, truncate, flip, splice)(
        path, random
    )


any_checkpoint = any_weights


def any_run(path: Path, random: Random) -> str:
    """Damage one of the files of a run's folder, lose it, or put something odd in its place."""
    files = sorted(p for p in path.iterdir() if p.is_file() and p.name != "lock")
    file = random.choice(files)
    if random.random() < 0.2:
        file.unlink()
        return f"{file.name} is missing"
    if random.random() < 0.1:
        return odd_file(file, random)
    if file.suffix == ".json":
        return edit_json(file, random)
    if file.suffix == ".npy":
        return draw(random, reword, truncate, flip, splice)(file, random)
    known = file.suffix in (".safetensors", ".checkpoint")
    return draw(random, edit_tensors if known else reword, truncate, flip, splice)(file, random)


def any_npy(path: Path, random: Random) -> str:
    """Change the header of an array, or its bytes."""
    return draw(random, reword, truncate, flip, splice, odd_file)(path, random)


def any_sidecar(path: Path, random: Random) -> str:
    """Change the marks or the pixels of a sidecar."""
    if random.random() < 0.6:
        return edit_lines(path / "journal.jsonl", random)
    return any_npy(random.choice(sorted(path.glob("*.npy"))), random)


def bomb_marks(path: Path, random: Random) -> str:
    """Let a small file of marks stand for a large one."""
    import base64
    import zlib

    bits = base64.b64encode(zlib.compress(bytes(2**28))).decode()
    entries = {
        "bits": {"slice": 1, "top": 0, "left": 0, "shape": [40, 40], "bits": bits},
        "outline": {"slice": 1, "outline": [[0, 0], [1e18, 0], [1e18, 1e18]]},
        "shape": {"slice": 1, "top": 0, "left": 0, "shape": [10**6, 10**6], "bits": bits[:100]},
    }
    kind = random.choice(sorted(entries))
    path.write_text(json.dumps({"regions": [entries[kind]] * random.choice((1, 200))}))
    return f"regions with large {kind}"


def bomb_table(path: Path, random: Random) -> str:
    """Let a small table name many slices."""
    lines = [f"{n},{n + 10**6}" for n in range(0, 10**9, 10**7)]
    path.write_text("\n".join(["slice,last", *lines]))
    return "ranges of a million slices"


def digest(path: Path) -> str:
    """Digest of the content of a file or folder, links and all; of odd files of their kind."""
    found = hashlib.sha256()
    for file in sorted([path, *(path.rglob("*") if path.is_dir() else ())]):
        mode = file.lstat().st_mode
        found.update(f"{os.fsencode(file.relative_to(path.parent))!r} {mode:o}".encode())
        if file.is_symlink():
            found.update(os.fsencode(file.readlink()))
        elif file.is_file():
            found.update(file.read_bytes())
    return found.hexdigest()
