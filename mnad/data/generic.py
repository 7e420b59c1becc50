"""Any other layout, described in YAML; also the ``split.json`` of a run, which repeats its split.

The description (paths and globs from ``DIR``; every key but ``train`` may be left out)::

    train: ["normal/*.png"]                 one glob or several
    known: ["defects/*.png"]                anomalies that may choose the threshold
    test_normal: ["test/ok/*.png"]
    test_anomalous: ["test/bad/*.png"]
    masks: "masks/{folder}/{stem}.png"      of each test anomaly: folder is the name of its folder, stem its name
                                            without suffix; or a mapping from image to mask

The ``validation`` of a ``split.json`` says which of ``train`` were held back, its ``sha256`` what they contained. Both
are only told, since seed and fraction of a run decide the split.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mnad.config import LayoutOptions
from mnad.data.hdf5 import is_member
from mnad.data.layout import Layout
from mnad.data.paths import SUFFIXES
from mnad.run import UserError, one_line
from mnad.run.files import regular

ROLES = ("train", "known", "test_normal", "test_anomalous")


def read_description(path: Path) -> dict[str, object]:
    """The description as a mapping with known keys.

    Raises:
        UserError: missing, no YAML or JSON, unknown keys, or ``train`` is absent.
    """
    try:
        text = regular(path, "a YAML description of the layout").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read; expected a YAML description of the layout") from error
    try:
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = one_line(error)[:200]
        raise UserError(f"{path}: expected a YAML description of the layout, got {reason}") from error
    keys = (*ROLES, "masks", "validation", "sha256")
    if not isinstance(content, dict) or "train" not in content or not set(content) <= set(keys):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path}: keys {found}; expected train, and of {', '.join(keys[1:])} those that exist,")
    return content


def find(root: Path, patterns: object, key: str) -> list[Path]:
    """Images that fit the globs, in their order, each once.

    Raises:
        UserError: a pattern that is no glob or fits no image.
    """
    found: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns if isinstance(patterns, list) else [None]:
        if not isinstance(pattern, str) or pattern.startswith("/"):
            raise UserError(f"{key}: expected a glob inside the folder of images, or a list of them, got {pattern!r}")
        literal = root / pattern
        try:
            if literal.is_file() or is_member(literal):
                hits = [literal]
            else:
                hits = sorted(p for p in root.glob(pattern) if p.suffix.lower() in SUFFIXES and p.is_file())
        except (ValueError, NotImplementedError, OSError) as error:  # pathlib's for no glob, the system's for no name
            raise UserError(f"{key}: {pattern[:200]!r} is no glob ({error}); expected one") from error
        if not hits:
            raise UserError(f"{key}: {pattern!r} fits no image in {root}; expected at least one")
        found.update(dict.fromkeys(hits))
    return list(found)


def find_masks(root: Path, masks: Any, images: list[Path]) -> dict[Path, Path]:
    """The mask of each of ``images``, by template or by mapping.

    Raises:
        UserError: neither of them, unknown fields of the template, a mask that is missing.
    """
    if not masks:
        return {}
    try:
        if isinstance(masks, str):
            if not set(re.findall("{(.*?)}", masks)) <= {"folder", "stem"}:  # format() knows more, such as widths
                raise ValueError
            found = {p: root / masks.format(folder=p.parent.name, stem=p.stem) for p in images}
        else:
            found = {root / image: root / mask for image, mask in masks.items()}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"masks: expected a path with {{folder}} and {{stem}}, or a mapping, got {masks!r}") from error
    missing = [found.get(p, p) for p in images if p not in found or not found[p].is_file()]
    if missing:
        raise UserError(f"masks: {missing[0]} is missing, as {len(missing)} of {len(images)}; expected all")
    return found


def read_generic(root: Path, train: bool = True, test: bool = True, options: LayoutOptions | None = None) -> Layout:
    """The layout that ``options.description`` describes; only the images that are asked for need to exist.

    Raises:
        UserError: no description, one that is wrong, or an image in two roles.
    """
    description = (options or LayoutOptions()).description
    if description is None:
        raise UserError("layout_options.description: missing; expected a YAML file for the generic layout")
    content = read_description(description)
    if not content["train"]:
        raise UserError(f"{description}: train is empty; expected a glob inside the folder of images")
    wanted = [role for role in ROLES if (test if role.startswith("test") else train)]
    found = {role: find(root, content[role], f"{description}: {role}") if content.get(role) else [] for role in wanted}
    seen: dict[Path, str] = {}
    for role, paths in found.items():
        for path in paths:
            if path in seen:
                raise UserError(f"{description}: {path} is in {seen[path]} and in {role}; expected one role")
            seen[path] = role
    layout = Layout()
    if train:
        layout.train, layout.known = found["train"], found["known"]
    if test:
        normal, anomalous = found["test_normal"], found["test_anomalous"]
        layout.test, layout.labels = normal + anomalous, np.repeat([0, 1], [len(normal), len(anomalous)])
        layout.masks = find_masks(root, content.get("masks"), anomalous)
    return layout
