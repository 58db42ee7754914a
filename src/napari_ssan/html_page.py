"""HTML pages that need no other file, made from the templates that lie beside their modules.

Everything that is filled in is escaped, and what a template asks for must be given.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(package: str, template: str, **values: object) -> str:
    """Fill in a template.

    Parameters
    ----------
    package, template : str
        Name of the package that it lies in, and its file name.
    **values : object
        What it is filled in with.

    Raises
    ------
    jinja2.UndefinedError
        If it asks for a value that is not given.
    """
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
