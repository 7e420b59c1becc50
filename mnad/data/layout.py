"""Which files of a folder are for training, for the threshold and for the test.

The wells layout::

    DIR/train/*.jpg               normal wells
    DIR/proliv/*.jpg              known spills, for the threshold only (may be missing)
    DIR/test/imgs/*.jpg
    DIR/test/test_annotation.txt  lines "name label", 1 = spill, CRLF or LF
"""

import importlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mnad.data.images import list_images
from mnad.data.options import LayoutOptions
from mnad.data.videos import is_video_file
from mnad.errors import UserError


@dataclass
class Layout:
    """Files by role. Empty lists where a role was not asked for or does not exist."""

    train: list[Path] = field(default_factory=list)  # normals
    known: list[Path] = field(default_factory=list)  # known anomalies, for the threshold only
    test: list[Path] = field(default_factory=list)
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # of `test`, 1 = anomaly
    masks: dict[Path, Path] = field(default_factory=dict)  # test anomaly -> its mask; empty without masks
    root: Path = Path()  # the folder that was read; the names of images in tables and splits start from it


def read_annotation(path: Path, images: Path) -> tuple[list[Path], np.ndarray]:
    """Test files and labels (0 or 1), in the order of the annotation.

    Raises:
        UserError: missing annotation, a line of another form, a label that is not 0 or 1, a name twice, a file
            without annotation or an annotation without file.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; lines 'name label' were expected")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text; lines 'name label' were expected") from error
    present = {file.name: file for file in list_images(images)}
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        name = name.strip()
        if not name or label not in ("0", "1"):
            raise UserError(f"{path}, line {number}: {line.strip()!r}; 'name label' with label 0 or 1 was expected")
        if name not in present:
            raise UserError(f"{path}, line {number}: {name} is not in {images}; an image file there was expected")
        if name in labels:
            raise UserError(f"{path}, line {number}: {name} stands there twice; one line for each image was expected")
        labels[name] = int(label)
    unlabelled = sorted(set(present) - set(labels))
    if unlabelled:
        raise UserError(
            f"{images / unlabelled[0]}: has no line in {path} ({len(unlabelled)} such files); one line for each "
            "image was expected"
        )
    return [present[name] for name in labels], np.array(list(labels.values()), dtype=np.int64)


def read_wells(root: Path, train: bool = True, test: bool = True, options: LayoutOptions | None = None) -> Layout:
    """The wells layout of ``root``; only the roles that are asked for need to exist. It knows no options.

    Raises:
        UserError: see :func:`read_annotation` and :func:`mnad.data.images.list_images`.
    """
    if not root.is_dir():
        raise UserError(f"{root}: missing; a folder with train/, proliv/ and test/ was expected")
    layout = Layout()
    if train:
        layout.train = list_images(root / "train")
        if (root / "proliv").is_dir() and any((root / "proliv").iterdir()):
            layout.known = list_images(root / "proliv")
    if test:
        layout.test, layout.labels = read_annotation(root / "test" / "test_annotation.txt", root / "test" / "imgs")
    return layout


# Readers by name, imported when asked for: called with (root, train, test, options).
LAYOUTS = {
    "wells": "mnad.data.layout:read_wells",
    "mvtec": "mnad.data.mvtec:read_mvtec",
    "two_folders": "mnad.data.two_folders:read_two_folders",
    "textile": "mnad.data.textile:read_textile",
    "generic": "mnad.data.generic:read_generic",
}


def is_video(root: Path, name: str = "auto", options: LayoutOptions | None = None) -> bool:
    """Whether ``root`` is to be read as videos (:mod:`mnad.data.videos`) and not as photographs."""
    return name == "video" or (name == "auto" and detect_layout(root, options) == "video")


def check_data_given(data: Path | None, layout: str, options: LayoutOptions, variant: str = "recon") -> None:
    """Only the wells can be drawn, so that every other layout needs a folder.

    Raises:
        UserError: ``data`` is None and ``layout``, ``options`` or the variant of the model ask for anything else.
    """
    if data is not None or (variant == "recon" and layout in ("auto", "wells") and options.description is None):
        return
    if layout == "video" or variant == "pred":
        raise UserError("data: none; a folder of videos was expected")
    name = "generic" if layout == "auto" else layout
    raise UserError(f"data: none; a folder of the layout {name} was expected")


def check_photographs(variant: str) -> None:
    """Raises ``UserError`` unless the model's ``variant`` is the one for photographs."""
    if variant != "recon":
        raise UserError(f"model.variant: {variant}; recon was expected for photographs")


def detect_layout(root: Path, options: LayoutOptions | None = None) -> str:
    """Name of the layout that ``root`` has, from its folders; ``video`` for a video file too.

    Raises:
        UserError: the folder is missing or fits no layout.
    """
    options = options or LayoutOptions()
    if options.description is not None:
        return "generic"
    if is_video_file(root):
        return "video"
    if not root.is_dir():
        raise UserError(f"{root}: missing; a folder of images was expected")
    if (root / "test" / "imgs").is_dir() or (root / "proliv").is_dir():
        return "wells"
    if (root / "ground_truth").is_dir() or any(root.glob("train/*/")) or any(root.glob("*/train/good")):
        return "mvtec"
    if (root / "train").is_dir():
        return "wells"
    if (root / "training" / "frames").is_dir() or (root / "testing" / "frames").is_dir():
        return "video"
    if (root / options.normal).is_dir() or (root / options.abnormal).is_dir():
        return "two_folders"
    if any(any(root.glob(f"{role}*.{suffix}")) for role in ("train", "test") for suffix in ("h5", "hdf5")):
        return "textile"
    raise UserError(
        f"{root}: fits no known layout; train/ and test/imgs/ (wells), training/frames/ and testing/frames/ (video), "
        f"train/good/ (mvtec), {options.normal}/ and {options.abnormal}/ (two_folders), train*.h5 (textile) or "
        "--layout_options.description (generic) was expected"
    )


def read_layout(
    root: Path, name: str = "auto", train: bool = True, test: bool = True, options: LayoutOptions | None = None
) -> Layout:
    """Files of ``root`` by the layout ``name`` (``auto`` looks at the folders).

    Raises:
        UserError: unknown name, videos, or anything the layout's reader refuses.
    """
    if name == "auto":
        name = detect_layout(root, options)
    if name == "video":
        raise UserError(f"{root}: videos; a folder of photographs was expected")
    if name not in LAYOUTS:
        raise UserError(f"layout: {name!r}; auto, {', '.join(LAYOUTS)} or video was expected")
    module, function = LAYOUTS[name].split(":")
    reader = getattr(importlib.import_module(module), function)
    return replace(reader(root, train, test, options=options), root=root)
