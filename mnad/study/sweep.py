"""Configurations of a table over seeds: files, and a grid of values for some of their keys."""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import yaml

from mnad.config import TrainConfig
from mnad.data.layouts import detect_layout
from mnad.run import UserError
from mnad.run.cli import parse

WELLS_DEMAND = 0.05  # largest share of missed spills, and of false alarms, that the user of the wells accepts

Config = TypeVar("Config", bound=TrainConfig)


def read_grid(grid: str | Sequence[str]) -> dict[str, list[object]]:
    """``model.items=[2,20]`` (one or several) -> key -> values.

    Raises:
        UserError: no ``KEY=[VALUES]``, no values, or a key twice.
    """
    found: dict[str, list[object]] = {}
    for text in [grid] if isinstance(grid, str) else grid:
        key, equals, rest = text.partition("=")
        try:
            values = yaml.safe_load(rest)
        except yaml.YAMLError:
            values = None
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key) or not isinstance(values, list) or not values:
            raise UserError(f"grid: expected KEY=[VALUE,VALUE...] such as model.items=[2,20], got {text!r}")
        if key in found:
            raise UserError(f"grid: {key} twice; expected all its values in one list")
        found[key] = values
    return found


def word(value: object) -> str:
    """``value`` as one word of YAML, for a command line and for the name of a folder: lists as ``[1,2]``."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip().replace(", ", ",")


def variants(
    kind: type[Config], files: Path | Sequence[Path], grid: str | Sequence[str] = (), data: Path | None = None
) -> dict[str, Config]:
    """Name of the row and folder -> configuration: each of ``files`` as it is, and with every combination of ``grid``
    (``wells+model.items=2``). A combination that the file has already is its own row, not trained twice.

    Args:
        kind: of the configurations.
        data: folder of images for all of them; None draws the synthetic wells.

    Raises:
        UserError: two files of the same name; a grid that cannot be read; a key or value that no configuration has.
    """
    paths = [files] if isinstance(files, Path) else list(files)
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        raise UserError(f"--configs: expected files of different names, got {', '.join(map(str, paths))}")
    values = read_grid(grid)
    found: dict[str, Config] = {}
    for path in paths:
        plain = replace(parse(kind, ["--config", str(path)]), data=data)
        found[path.stem] = plain
        for chosen in itertools.product(*values.values()) if values else ():
            words = [f"{key}={word(value)}" for key, value in zip(values, chosen, strict=True)]
            for one in words:
                if "/" in one:
                    raise UserError(f"grid: {one}: expected values without /, which name folders")
            changed = replace(parse(kind, ["--config", str(path), *(f"--{one}" for one in words)]), data=data)
            if changed != plain:
                found["+".join([path.stem, *words])] = changed
    return found


def demand(configs: Iterable[TrainConfig]) -> float | None:
    """The largest error rate that the user accepts: 5 % of wells; None where some images are others, whose users
    have demanded nothing."""
    layouts = {
        "wells" if c.data is None else c.layout if c.layout != "auto" else detect_layout(c.data, c.layout_options)
        for c in configs
    }
    return WELLS_DEMAND if layouts == {"wells"} else None
