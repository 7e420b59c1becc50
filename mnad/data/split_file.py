"""Which image played which role, written beside a run; ``--layout_options.description split.json`` repeats it."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnad.data.layout import Layout
from mnad.data.reading import read_bytes, read_photo
from mnad.run import UserError
from mnad.run.files import read_json
from mnad.run.folders import read_config

NAME = "split.json"
SEEN = ("train", "validation", "known")  # roles that choose weights or threshold


def relative(path: Path, root: Path) -> str:
    """``path`` from ``root`` with forward slashes; as it is when it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def split_roles(layout: Layout, validation: Sequence[int] = ()) -> dict[str, object]:
    """The roles in the form that :mod:`mnad.data.generic` reads.

    Args:
        validation: indices into ``layout.train`` of the images that were held back.
    """
    root = layout.root
    test = list(zip(layout.test, layout.labels, strict=True))
    return {
        "train": [relative(file, root) for file in layout.train],
        "validation": [relative(layout.train[index], root) for index in validation],
        "known": [relative(file, root) for file in layout.known],
        "test_normal": [relative(file, root) for file, label in test if label == 0],
        "test_anomalous": [relative(file, root) for file, label in test if label == 1],
        "masks": {relative(image, root): relative(mask, root) for image, mask in layout.masks.items()},
    }


def run_of(checkpoint: Path) -> tuple[Path, dict] | None:
    """The run folder that ``checkpoint`` lies in, and its configuration; None for a file of its own."""
    folder = (checkpoint if checkpoint.is_dir() else checkpoint.parent).resolve()
    runs = ((f, read_config(f)) for f in (folder, folder.parent) if (f / NAME).is_file())
    return next(((f, config) for f, config in runs if config), None)


def check_same_data(path: Path, split: Mapping, roles: Sequence[str] = SEEN) -> None:
    """A resumed run must go on with the images that it began with, by name and content.

    Args:
        path: the ``split.json`` of the run; nothing is checked without one.
        split: of now.
        roles: that must hold the same images.

    Raises:
        UserError: the stored ``split.json`` says otherwise; names the first difference.
    """
    if not path.is_file():
        return
    stored = read_json(path, "the split of a run")
    for key in roles:
        before, now = (set(found.get(key, ())) for found in (stored, split))
        for names, state in ((sorted(before - now), "is gone"), (sorted(now - before), "is new")):
            if names:
                raise UserError(f"{names[0]}: {state} since the run began ({key}); expected the same images to resume")
    changed = [name for name, digest in stored.get("sha256", {}).items() if split["sha256"].get(name, digest) != digest]
    if changed:
        raise UserError(f"{changed[0]}: has changed since the run began; expected the same images to resume")


def own_split(checkpoint: Path, root: Path) -> Path | None:
    """``split.json`` of the run that ``checkpoint`` lies in, where ``root`` holds just the images, by name and content,
    that its training and its threshold have seen; None otherwise."""
    run = run_of(checkpoint)
    if run is None:
        return None
    path = run[0] / NAME
    digests: dict[str, str] = read_json(path).get("sha256", {})
    try:
        same = all(hashlib.sha256(read_bytes(root / name)).hexdigest() == digest for name, digest in digests.items())
    except UserError:  # one of them is not there
        return None
    return path if digests and same else None


def seen_before(checkpoint: Path, root: Path, tested: Mapping[str, str]) -> None:
    """Refuse to test a run's detector on images that its training or its threshold has seen; warn of their copies.

    An image is known by its path from the folder of the data and by its content. Runs of before there were digests
    are asked for the content of their own data where it can still be read, else the name decides. A checkpoint
    outside a run folder tells nothing and is accepted.

    Args:
        checkpoint: run folder, folder of one of its models, or the file in either.
        root: folder of the tested images.
        tested: path from ``root`` -> SHA-256 of each.

    Raises:
        UserError: such an image is among them; names the remedy.
    """
    run = run_of(checkpoint)
    if run is None:
        return
    folder, config = run
    split = read_json(folder / NAME)
    role_of = {name: role for role in SEEN for name in split.get(role, [])}
    digests: dict[str, str] = split.get("sha256", {})
    own = Path(config.get("data") or root)

    def same(name: str) -> bool:
        if name in digests:
            return digests[name] == tested[name]
        try:
            return own / name == root / name or read_photo(own / name).digest == tested[name]
        except (OSError, UserError):
            return True  # the data were moved: the name is all that is left to go by

    found = [name for name in tested if name in role_of and same(name)]
    if found:
        raise UserError(
            f"{root}: {len(found)} of {len(tested)} test images chose weights or threshold of {checkpoint} "
            f"(first: {found[0]}, {role_of[found[0]]}); expected --layout_options.description {folder / NAME}, its "
            f"own split"
        )
    names = {digest: name for name, digest in digests.items()}
    copies = [name for name, digest in tested.items() if digest in names]
    if copies:
        warnings.warn(
            f"{len(copies)} of {len(tested)} test images are copies of images that chose weights or threshold of "
            f"{checkpoint} (first: {copies[0]} is {names[tested[copies[0]]]})",
            stacklevel=2,
        )
