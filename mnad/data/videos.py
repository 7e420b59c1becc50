"""Videos as folders of frames or as files, and the layout of a video dataset.

The layout (that of the official code)::

    DIR/training/frames/VIDEO/*.jpg   normal videos, one folder each (jpg, png, bmp, tif; grey or colour)
    DIR/testing/frames/VIDEO/*.jpg
    DIR/frame_labels_NAME.npy         1 x N or N, the test videos one after the other; 1 = abnormal
    DIR/testing/labels/VIDEO.npy      or, instead: one file for each video (also ``testing/test_frame_mask``)

Names are in natural order: ``frame2`` comes before ``frame10``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mnad.data.decoding import check_pixels
from mnad.data.paths import VIDEO_SUFFIXES, natural_key
from mnad.data.reading import list_images, read_photo, resize, to_rgb8
from mnad.run import UserError
from mnad.run.files import regular

LOST_AT_ONCE = 500  # frames of a film that are lost one after the other before the rest is given up
LABEL_FOLDERS = ("testing/labels", "testing/test_frame_mask")  # the second is ShanghaiTech's


@dataclass(frozen=True)
class FrameFolder:
    """A video stored as one image file per frame."""

    name: str
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def place(self) -> object:
        """The folder of the frames, for messages."""
        return self.paths[0].parent if self.paths and isinstance(self.paths[0], Path) else self.name

    def frames(self, size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Frames in order, H x W x 3 uint8 RGB of ``size``; one at a time is decoded.

        Raises:
            UserError: see :func:`mnad.data.reading.read_photo`.
        """
        return (resize(read_photo(path).pixels, size) for path in self.paths)

    def check(self) -> None:
        """Decode every frame once.

        Raises:
            UserError: see :func:`mnad.data.reading.read_photo`.
        """
        for path in self.paths:
            read_photo(path)


def open_film(name: str) -> cv2.VideoCapture:
    """The film, device or stream ``name`` as OpenCV opens it, which has to be closed again.

    Raises:
        UserError: a name that is no UTF-8, which OpenCV does not survive.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{name}: is no UTF-8; expected a film whose name is") from error
    return cv2.VideoCapture(name)


def film_frames(path: Path) -> Iterator[tuple[int, np.ndarray | None]]:
    """Position, counted from 0, and BGR pixels of every frame of a film as OpenCV decodes them; None for one that is
    lost to damage or to a cut, as far as the film says how many it has.

    Raises:
        UserError: too many pixels, not a single frame can be decoded, or, after the frames before, nothing more: the
            film is cut off, or says that it has more frames than it does.
    """
    capture = open_film(str(path))
    try:
        check_pixels(*(int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)), path)
        expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        number = found = 0
        lost: list[int] = []  # the last frames, one after the other
        while True:
            more, image = capture.read()
            if not more and number >= expected:
                break
            lost = [] if more else [*lost, number]
            if len(lost) > LOST_AT_ONCE:
                break
            if not more:
                capture.set(cv2.CAP_PROP_POS_FRAMES, number + 1)
            found += more
            yield number, image if more else None
            number += 1
    finally:
        capture.release()
    if found == 0:
        raise UserError(f"{path}: no frame can be decoded; expected a readable .mp4 or .avi video")
    if len(lost) > LOST_AT_ONCE:
        raise UserError(f"{path}: nothing can be decoded from frame {lost[0]} of {expected} on; expected a whole video")


@dataclass(frozen=True)
class VideoFile:
    """A video in one .mp4 or .avi file, decoded by OpenCV."""

    name: str
    path: Path

    def frames(self, size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Frames in order, H x W x 3 uint8 RGB of ``size``; one at a time is decoded.

        Raises:
            UserError: missing, not a single frame can be decoded, or, after the frames before the damage, some
                cannot.
        """
        if not self.path.is_file():
            raise UserError(f"{self.path}: missing; expected a video file ({', '.join(VIDEO_SUFFIXES)})")
        lost = []
        for number, image in film_frames(self.path):
            if image is None:
                lost.append(number)
            elif not lost:
                yield resize(to_rgb8(image, self.path), size)
        if lost:
            raise UserError(
                f"{self.path}: {len(lost)} frames cannot be decoded (first: {lost[0]}), so that those after them would "
                "be misnumbered; expected an undamaged video"
            )

    def check(self) -> None:
        """Decode every frame once.

        Raises:
            UserError: see :meth:`frames`.
        """
        for _ in self.frames((8, 8)):
            pass


@dataclass
class VideoLayout:
    """Videos by role. ``labels`` has one array of 0 and 1 for each test video, or None for a file without labels."""

    train: list[FrameFolder] = field(default_factory=list)
    test: list[FrameFolder] | list[VideoFile] = field(default_factory=list)
    labels: list[np.ndarray] | None = None


def is_video_file(path: Path) -> bool:
    """Whether ``path`` has the name of a video file and is no folder; it need not exist."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def list_videos(folder: Path) -> list[FrameFolder]:
    """Videos of ``folder``, one for each subfolder, in natural order; their frames too.

    Raises:
        UserError: the folder is missing, has no subfolders, or one of them holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; expected a folder with one folder of frames for each video")
    folders = sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=natural_key)
    if not folders:
        raise UserError(f"{folder}: holds no folder; expected one folder of frames for each video")
    return [FrameFolder(p.name, tuple(sorted(list_images(p), key=natural_key))) for p in folders]


def read_label_file(path: Path, count: int) -> np.ndarray:
    """``count`` labels (int64, 0 or 1) from a .npy file of shape N or 1 x N.

    Raises:
        UserError: missing, no .npy of numbers, another length, or a value that is not 0 or 1.
    """
    try:
        # mapped, so that a header that lies about the size takes no memory
        labels = np.lib.format.open_memmap(regular(path, "frame labels"), mode="r")
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; expected frame labels (0 or 1, {count} values)") from error
    except UserError:
        raise
    except Exception as error:  # numpy's and its parser's of Python for a header that is none
        raise UserError(f"{path}: is not a .npy array; expected frame labels (0 or 1, {count} values)") from error
    if labels.size != max(labels.shape, default=0):
        raise UserError(f"{path}: shape {labels.shape}; expected 1 x {count} labels")
    if labels.dtype.kind not in "biuf":
        raise UserError(f"{path}: values of type {labels.dtype}; expected numbers")
    labels = labels.reshape(-1)
    if len(labels) != count:
        raise UserError(f"{path}: {len(labels)} labels; expected {count}, one for each test frame")
    if not np.isin(labels, (0, 1)).all():
        raise UserError(f"{path}: holds other values than 0 and 1; expected 0 (normal) or 1 (abnormal)")
    return labels.astype(np.int64)


def read_labels(root: Path, videos: list[FrameFolder]) -> list[np.ndarray]:
    """Labels of each of the test ``videos`` of ``root``, from one file or from one file for each video.

    Raises:
        UserError: none or several label files, or see :func:`read_label_file`.
    """
    for name in LABEL_FOLDERS:
        if (root / name).is_dir():
            return [read_label_file(root / name / f"{video.name}.npy", len(video)) for video in videos]
    files = sorted(root.glob("*.npy"))
    total = sum(len(video) for video in videos)
    if len(files) != 1:
        found = "no .npy file" if not files else f"{len(files)} .npy files ({', '.join(f.name for f in files)})"
        raise UserError(
            f"{root}: {found}; expected one file of frame labels (frame_labels_NAME.npy, 1 x {total}) or "
            f"testing/labels/ with one .npy file for each video"
        )
    ends = np.cumsum([len(video) for video in videos])
    return np.split(read_label_file(files[0], total), ends[:-1])


def read_videos(root: Path, train: bool = True, test: bool = True) -> VideoLayout:
    """The video layout of ``root``, or one video file without labels; only the roles asked for need to exist.

    Raises:
        UserError: see :func:`list_videos` and :func:`read_labels`; a single file where training videos are needed.
    """
    if is_video_file(root):
        if train:
            raise UserError(f"{root}: is one video; expected a folder with training/frames/ to train on")
        return VideoLayout(test=[VideoFile(root.stem, root)])
    layout = VideoLayout()
    if train:
        layout.train = list_videos(root / "training" / "frames")
    if test:
        layout.test = list_videos(root / "testing" / "frames")
        layout.labels = read_labels(root, layout.test)
    return layout
