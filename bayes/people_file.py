"""The file of the people: ``styles.py`` with the values of each category and how many people have each."""

import importlib
from collections.abc import Mapping

from mnad.run import UserError, one_line

Styles = Mapping[str, list[str]]
Counts = Mapping[str, list[int]]


def load_styles() -> tuple[Styles, Counts]:
    """``styles`` and ``styles_count`` of the module ``styles``; whether they fit each other is seen when they are used.

    Raises:
        UserError: it is missing, no Python, or holds anything but mappings from text to lists.
    """
    try:
        module = importlib.import_module("styles")
    except SyntaxError as error:
        raise UserError(f"styles.py, line {error.lineno}: {error.msg}; expected Python") from error
    except (Exception, SystemExit) as error:  # whatever the file does
        raise UserError(f"styles.py: {type(error).__name__}: {one_line(error)}; expected Python that runs") from error
    return mapping(module, "styles", str), mapping(module, "styles_count", int)


def mapping(module: object, name: str, kind: type) -> Mapping[str, list]:
    """The mapping ``name`` of ``module``, whose lists hold ``kind``.

    Raises:
        UserError: missing, or of another form.
    """
    expected = f"expected a mapping from category to a list of {'texts' if kind is str else 'numbers'}"
    found = getattr(module, name, None)
    if not isinstance(found, Mapping):
        raise UserError(f"styles.py: {name} is {found!r:.100}; {expected}")
    for category, values in found.items():
        if not isinstance(category, str) or not isinstance(values, list | tuple):
            raise UserError(f"styles.py: {name}[{category!r}] is {values!r:.100}; {expected}")
        wrong = [value for value in values if kind is str and not isinstance(value, str)]
        if wrong:
            raise UserError(f"styles.py: {name}[{category!r}] holds {wrong[0]!r:.100}; {expected}")
    return found
