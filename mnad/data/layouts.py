"""Layouts by name, and which of them a folder has."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mnad.config import DataConfig, LayoutOptions
from mnad.data.generic import read_generic
from mnad.data.layout import Layout, read_wells
from mnad.data.mvtec import read_mvtec
from mnad.data.textile import read_textile
from mnad.data.two_folders import folder_names, read_two_folders
from mnad.data.videos import is_video_file
from mnad.run import UserError
from mnad.run.files import shipped_folder

Reader = Callable[[Path, bool, bool, LayoutOptions | None], Layout]  # root, train, test, options

CONFIGURATIONS = shipped_folder("configs")

LAYOUTS: dict[str, Reader] = {
    "wells": read_wells,
    "mvtec": read_mvtec,
    "two_folders": read_two_folders,
    "textile": read_textile,
    "generic": read_generic,
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
        raise UserError("data: none; expected a folder of videos")
    name = "generic" if layout == "auto" else layout
    raise UserError(f"data: none; expected a folder of the layout {name}")


def layout_of(root: Path, options: LayoutOptions) -> str | None:
    """Name of the layout that the folders of ``root`` have; None where they fit none.

    Raises:
        UserError: several folders have a usual name of one kind.
    """
    if (root / "test" / "imgs").is_dir() or (root / "proliv").is_dir():
        return "wells"
    if (root / "ground_truth").is_dir() or any(root.glob("train/*/")) or any(root.glob("*/train/good")):
        return "mvtec"
    if (root / "train").is_dir():
        return "wells"
    if (root / "training" / "frames").is_dir() or (root / "testing" / "frames").is_dir():
        return "video"
    if options.normal or options.abnormal or folder_names(root, options):
        return "two_folders"
    if any(any(root.glob(f"{role}*.{suffix}")) for role in ("train", "test") for suffix in ("h5", "hdf5")):
        return "textile"
    return None


def detect_layout(root: Path, options: LayoutOptions | None = None) -> str:
    """Name of the layout that ``root`` has, from its folders; ``video`` for a video file too.

    Raises:
        UserError: the folder is missing or fits no layout; one in it that does is named.
    """
    options = options or LayoutOptions()
    if options.description is not None:
        return "generic"
    if is_video_file(root):
        return "video"
    if not root.is_dir():
        raise UserError(f"{root}: missing; expected a folder of images")
    found = layout_of(root, options)
    if found is not None:
        return found
    inside = sorted(path.name for path in root.iterdir() if path.is_dir() and layout_of(path, LayoutOptions()))
    if inside:
        raise UserError(f"{root}: fits no known layout, but {inside[0]}/ in it does; expected {root / inside[0]}")
    raise UserError(
        f"{root}: fits no known layout; expected train/ and test/imgs/ (wells), training/frames/ and testing/frames/ "
        "(video), train/good/ (mvtec), two folders of usual names such as normal/ and abnormal/, good/ and bad/, no/ "
        "and yes/ (two_folders), train*.h5 (textile) or --layout_options.description (generic)"
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
        raise UserError(f"{root}: videos; expected a folder of photographs")
    if name not in LAYOUTS:
        raise UserError(f"layout: expected auto, {', '.join(LAYOUTS)} or video, got {name!r}")
    return replace(LAYOUTS[name](root, train, test, options), root=root, name=name)


DEMO = CONFIGURATIONS / "demo.yaml"  # of training without data, on drawn wells


def configuration_for(config: DataConfig) -> Path | None:
    """The shipped configuration of the layout that ``config.data`` has; None for drawn wells and the wells layout,
    whose configuration is the default, and for videos, where the variant has to be chosen.

    Raises:
        UserError: see :func:`detect_layout`.
    """
    if config.data is None:
        return None
    name = config.layout if config.layout != "auto" else detect_layout(config.data, config.layout_options)
    found = CONFIGURATIONS / f"{name}.yaml"
    return found if name not in ("wells", "video") and found.is_file() else None
