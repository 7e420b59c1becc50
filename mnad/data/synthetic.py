"""A small dataset of drawn wells in the layout of the real one, so that all runs without a download."""

import csv
import json
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mnad.data.drawing import NUISANCES, SPILLS, STATES, draw_well
from mnad.run import UserError

TRAIN_NUISANCES, TEST_NUISANCES = 0.02, 0.2  # share among the normals
SYNTHETIC = Path("data/synthetic_wells")  # where scripts draw it that are given no data
DRAWING = 1  # raise it when the drawing changes: folders drawn before are then refused instead of reused


def _shares(count: int, shares: dict[str, float]) -> list[str]:
    """``count`` kinds in the proportions of ``shares`` (which sum to 1), rounded along the running sum."""
    ends = np.rint(np.cumsum([0, *shares.values()]) * count).astype(int)
    return [kind for kind, n in zip(shares, np.diff(ends), strict=True) for _ in range(n)]


def _normals(count: int, odd: float) -> list[str]:
    """``count`` kinds of normal wells, a share ``odd`` of them nuisances."""
    n_odd = round(odd * count)
    return _shares(count - n_odd, STATES) + _shares(n_odd, NUISANCES)


def _plan(settings: dict[str, int]) -> dict[str, str]:
    """Kind of every file, by path inside the dataset; the order within a folder is shuffled."""
    folders = {
        "train": _normals(settings["n_train"], TRAIN_NUISANCES),
        "proliv": ["overflow"] * settings["n_spills"],
        "test/imgs": _normals(settings["n_test_normal"], TEST_NUISANCES) + _shares(settings["n_test_spill"], SPILLS),
    }
    rng = np.random.default_rng(settings["seed"])
    return {
        f"{folder}/{number:04d}.jpg": str(kind)
        for folder, kinds in folders.items()
        for number, kind in enumerate(rng.permutation(kinds), start=1)
    }


def _write(root: Path, settings: dict[str, int], plan: dict[str, str]) -> None:
    """Draw the files of ``plan`` into the new folder ``root``."""
    for folder in ("train", "proliv", "test/imgs"):
        (root / folder).mkdir(parents=True)
    for index, (name, kind) in enumerate(tqdm(plan.items(), desc="drawing wells", unit="img", disable=None)):
        image = draw_well(np.random.default_rng([settings["seed"], index]), kind)
        _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        (root / name).write_bytes(jpeg.tobytes())
    labels = [f"{Path(name).name} {int(kind in SPILLS)}\r\n" for name, kind in plan.items() if name.startswith("test/")]
    (root / "test/test_annotation.txt").write_bytes("".join(labels).encode())
    with (root / "kinds.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("file", "kind"), *plan.items()])
    (root / "synthetic.json").write_text(json.dumps(settings, indent=1) + "\n")


def _check_existing(root: Path, settings: dict[str, int], plan: dict[str, str]) -> None:
    """Refuse ``root`` unless it is the dataset of ``settings`` with none of its files missing."""
    expected = f"expected a new folder or wells drawn with {json.dumps(settings)}"
    try:
        found = json.loads((root / "synthetic.json").read_text())
    except (OSError, ValueError):
        raise UserError(f"{root}: exists and is not a folder of drawn wells; {expected}") from None
    if found != settings:
        raise UserError(f"{root}: exists with other settings ({json.dumps(found)}); {expected}")
    missing = [name for name in (*plan, "test/test_annotation.txt", "kinds.csv") if not (root / name).is_file()]
    if missing:
        raise UserError(f"{root}: {len(missing)} files are missing, {missing[0]} first; {expected}")


def draw_wells(
    root: Path,
    seed: int = 0,
    n_train: int = 800,
    n_spills: int = 40,
    n_test_normal: int = 300,
    n_test_spill: int = 60,
) -> Path:
    """Write the dataset of drawn wells to ``root``, or return ``root`` if it already holds this very dataset.

    The layout is that of the real data: ``train/*.jpg`` (normal), ``proliv/*.jpg`` (overflow spills),
    ``test/imgs/*.jpg`` with ``test/test_annotation.txt`` (``name label``, 1 = spill, CRLF), and besides
    ``kinds.csv`` (path inside ``root``, kind) and ``synthetic.json`` (the arguments). Equal arguments give
    equal bytes. The folder appears under its name only when it is complete.

    Args:
        root: folder to create; its parents are created too.
        seed: 0 or more.
        n_train: normal wells in ``train``, 2 % of them nuisances.
        n_spills: overflow spills in ``proliv``.
        n_test_normal: normal wells in ``test``, 20 % of them nuisances.
        n_test_spill: spills in ``test``, three overflows to one empty well.

    Raises:
        UserError: a number out of range, or ``root`` exists and is something else.
    """
    root = Path(root)
    counts = {
        "n_train": n_train,
        "n_spills": n_spills,
        "n_test_normal": n_test_normal,
        "n_test_spill": n_test_spill,
    }
    for name, value in {"seed": seed, **counts}.items():
        if value < (name != "seed"):
            raise UserError(f"{name} = {value}: expected {0 if name == 'seed' else 1} or more")
    settings = {"drawing": DRAWING, "seed": seed, **counts}
    plan = _plan(settings)
    if root.exists():
        _check_existing(root, settings, plan)
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as temporary:
        drawn = Path(temporary) / root.name
        _write(drawn, settings, plan)
        try:
            os.rename(drawn, root)
        except OSError:
            if not root.exists():
                raise
            _check_existing(root, settings, plan)  # another process was faster
    return root
