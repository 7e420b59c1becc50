"""Which files of a folder are for training, for the threshold and for the test; the layout of the wells.

The wells layout::

    DIR/train/*.jpg               normal wells
    DIR/proliv/*.jpg              known spills, for the threshold only (may be missing)
    DIR/test/imgs/*.jpg
    DIR/test/test_annotation.txt  lines "name label", 1 = spill, CRLF or LF
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mnad.config import LayoutOptions
from mnad.data.reading import list_images
from mnad.run import UserError
from mnad.run.files import regular

LONGEST = 255  # signs of a line that are shown


@dataclass
class Layout:
    """Files by role. Empty lists where a role was not asked for or does not exist."""

    train: list[Path] = field(default_factory=list)  # normals
    known: list[Path] = field(default_factory=list)  # known anomalies, for the threshold only
    test: list[Path] = field(default_factory=list)
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # of `test`, 1 = anomaly
    masks: dict[Path, Path] = field(default_factory=dict)  # test anomaly -> its mask; empty without masks
    root: Path = Path()  # the folder that was read; the names of images in tables and splits start from it
    name: str = "wells"  # of the layout
    note: str = ""  # which folder was taken as what, where that is not plain; printed


def read_annotation(path: Path, images: Path) -> tuple[list[Path], np.ndarray]:
    """Test files and labels (0 or 1), in the order of the annotation.

    Raises:
        UserError: missing annotation, a line of another form, a label that is not 0 or 1, a name twice, a file
            without annotation or an annotation without file.
    """
    regular(path, "lines 'name label'")
    if not path.is_file():
        raise UserError(f"{path}: missing; expected lines 'name label'")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text; expected lines 'name label'") from error
    present = {file.name: file for file in list_images(images)}
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        name = name.strip()
        if not name or label not in ("0", "1"):
            got = repr(line.strip()[:LONGEST])
            raise UserError(f"{path}, line {number}: expected 'name label' with label 0 or 1, got {got}")
        if name not in present:
            raise UserError(f"{path}, line {number}: {name[:LONGEST]} is not in {images}; expected an image file there")
        if name in labels:
            raise UserError(f"{path}, line {number}: {name} is listed twice; expected one line for each image")
        labels[name] = int(label)
    unlabelled = sorted(set(present) - set(labels))
    if unlabelled:
        raise UserError(
            f"{images / unlabelled[0]}: has no line in {path} ({len(unlabelled)} such files); expected one line for "
            f"each image"
        )
    return [present[name] for name in labels], np.array(list(labels.values()), dtype=np.int64)


def read_wells(root: Path, train: bool = True, test: bool = True, options: LayoutOptions | None = None) -> Layout:
    """The wells layout of ``root``; only the roles that are asked for need to exist. It knows no options.

    Raises:
        UserError: see :func:`read_annotation` and :func:`mnad.data.reading.list_images`.
    """
    if not root.is_dir():
        raise UserError(f"{root}: missing; expected a folder with train/, proliv/ and test/")
    layout = Layout()
    if train:
        layout.train = list_images(root / "train")
        spills = root / "proliv"
        if spills.exists() and not spills.is_dir():
            raise UserError(f"{spills}: is a file; expected a folder of known spills, or nothing there")
        if spills.is_dir() and any(spills.iterdir()):
            layout.known = list_images(spills)
    if test:
        layout.test, layout.labels = read_annotation(root / "test" / "test_annotation.txt", root / "test" / "imgs")
    return layout
