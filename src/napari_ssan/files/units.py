"""Units of length and time: the names of OME-Zarr and pint, and the symbols of OME-XML.

Within the program a unit is always its full name ("nanometer") or None; symbols and other
spellings occur in files alone.
"""

from __future__ import annotations

_PREFIXES = {
    "yocto": ("y", -24), "zepto": ("z", -21), "atto": ("a", -18), "femto": ("f", -15),
    "pico": ("p", -12), "nano": ("n", -9), "micro": ("µ", -6), "milli": ("m", -3),
    "centi": ("c", -2), "deci": ("d", -1), "": ("", 0), "hecto": ("h", 2), "kilo": ("k", 3),
    "mega": ("M", 6), "giga": ("G", 9), "tera": ("T", 12), "peta": ("P", 15),
    "exa": ("E", 18), "zetta": ("Z", 21), "yotta": ("Y", 24),
}  # fmt: skip

#: Unit of length: its symbol in OME-XML, and how many metres it is.
LENGTHS = {f"{prefix}meter": (f"{s}m", 10.0**n) for prefix, (s, n) in _PREFIXES.items()} | {
    "angstrom": ("Å", 1e-10),
    "inch": ("in", 0.0254),
    "foot": ("ft", 0.3048),
    "yard": ("yd", 0.9144),
    "mile": ("mi", 1609.344),
    "parsec": ("pc", 3.0856775814913673e16),
}

#: Unit of time: its symbol in OME-XML.
TIMES = {f"{prefix}second": f"{symbol}s" for prefix, (symbol, _) in _PREFIXES.items()} | {
    "minute": "min",
    "hour": "h",
    "day": "d",
}

_ALIASES = (
    {symbol: name for name, (symbol, _) in LENGTHS.items()}
    | {symbol: name for name, symbol in TIMES.items()}
    | {f"{name}s": name for name in (*LENGTHS, *TIMES)}
    | {name.replace("meter", "metre"): name for name in LENGTHS}
    | {name.replace("meter", "metres"): name for name in LENGTHS}
    | dict.fromkeys(("um", "μm", "\\u00b5m", "\\u00B5m", "micron", "microns"), "micrometer")
    | {"us": "microsecond", "μs": "microsecond", "sec": "second", "Å": "angstrom", "A": "angstrom"}
)


def unit_name(unit: object) -> str | None:
    """Name of a unit as OME-Zarr and pint spell it; None if it is unknown.

    >>> unit_name("µm"), unit_name("microns"), unit_name("pixel")
    ('micrometer', 'micrometer', None)
    """
    if not isinstance(unit, str):
        return None
    unit = unit.strip()
    if unit in _ALIASES:
        return _ALIASES[unit]
    lower = unit.lower()
    lower = _ALIASES.get(lower, lower)
    return lower if lower in LENGTHS or lower in TIMES else None


def unit_symbol(unit: str | None) -> str | None:
    """Symbol of a unit in OME-XML, or None if it has none.

    >>> unit_symbol("nanometer")
    'nm'
    """
    if unit in LENGTHS:
        return LENGTHS[unit][0]
    return TIMES.get(unit or "")


def in_unit(value: float, unit: str | None, other: str | None) -> float:
    """Convert a length to another unit; unchanged if either is unknown.

    >>> in_unit(0.004, "micrometer", "nanometer")
    4.0
    """
    if unit == other or unit not in LENGTHS or other not in LENGTHS:
        return value
    # rounded: powers of ten are not exact
    return float(f"{value * (LENGTHS[unit][1] / LENGTHS[other][1]):.15g}")
