"""The configuration of a run as plain values, and whether a resumed run is the same training."""

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from mnad.run import UserError
from mnad.run.folders import read_config

OLD_DEFAULTS = {"layout_options.normal": ("normal", ""), "layout_options.abnormal": ("abnormal", "")}  # then, now
# Nothing of these touches the trained weights: --resume scores a finished run again.
FREE_TO_CHANGE = ("out", "resume", "overwrite", "compare", "scores", "primary", "threshold", "calibration", "log")


def plain(config: Any) -> dict[str, object]:
    """A configuration dataclass as JSON-able values."""
    return json.loads(json.dumps(asdict(config), default=str))


def settings(config: Any) -> dict[str, object]:
    """Every setting of a configuration dataclass by its dotted name, as on the command line; values JSON-able."""
    flat: dict[str, object] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        inner = settings(value) if is_dataclass(value) else None
        flat |= {item.name: value} if inner is None else {f"{item.name}.{key}": v for key, v in inner.items()}
    return json.loads(json.dumps(flat, default=lambda value: plain(value) if is_dataclass(value) else str(value)))


def check_same_run(folder: Path, config: object, free: tuple[str, ...] = FREE_TO_CHANGE) -> None:
    """A resumed run must be the same training; only the keys in ``free`` may change.

    A key that an older revision did not store had its default.

    Raises:
        UserError: the stored configuration differs, with the first key that does.
    """
    stored = read_config(folder)
    if not stored:
        return
    defaults = settings(type(config)())
    for key, value in settings(config).items():
        found: object = stored
        for part in key.split("."):
            found = found.get(part, defaults[key]) if isinstance(found, dict) else defaults[key]
        same = found == value or (found, value) == OLD_DEFAULTS.get(key)
        if key.split(".")[0] not in free and not same:
            raise UserError(
                f"{folder / 'config.json'}: {key} is {found}, now {value}; expected the same value to resume"
            )
