import pytest

from napari_ssan.files.units import in_unit, unit_name, unit_symbol


@pytest.mark.parametrize(
    "spelling", ["um", "µm", "μm", "micron", "Microns", "\\u00B5m", "micrometre"]
)
def test_spellings_of_a_micrometre(spelling):
    assert unit_name(spelling) == "micrometer"


def test_case_matters_where_symbols_differ_by_it_alone():
    assert unit_name("mm") == "millimeter"
    assert unit_name("Mm") == "megameter"
    assert unit_name("Nanometer") == "nanometer"


def test_pixels_and_the_unknown_are_no_unit():
    assert [unit_name(u) for u in ("pixel", "", None, "furlong", 5)] == [None] * 5
    assert unit_symbol(None) is None
    assert unit_symbol("angstrom") == "Å"
    assert unit_symbol("second") == "s"


def test_conversion():
    assert in_unit(4, "nanometer", "micrometer") == 0.004
    assert in_unit(4, None, "micrometer") == 4
