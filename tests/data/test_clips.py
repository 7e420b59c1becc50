"""Reading videos: order, borders of clips, label forms, files of every kind, and the errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from video_data import SIZE, write_avi, write_dataset, write_frames

from mnad.data.clips import Clips, split_videos
from mnad.data.layouts import detect_layout, is_video
from mnad.data.videos import FrameFolder, VideoFile, list_videos, read_labels, read_videos
from mnad.run import UserError


def level(value: int) -> np.ndarray:
    return np.full(SIZE, value, dtype=np.uint8)


@pytest.fixture
def stairs(tmp_path: Path) -> list[FrameFolder]:
    """Videos ``2`` (7 frames of grey 10, 11, ...) and ``10`` (6 frames of grey 110, 111, ...)."""
    write_frames(tmp_path / "10", [level(110 + i) for i in range(6)])
    write_frames(tmp_path / "2", [level(10 + i) for i in range(7)])
    return list_videos(tmp_path)


def greys(x: torch.Tensor) -> np.ndarray:
    """B x C x H x W in [-1, 1] of flat frames -> B x C grey levels."""
    assert torch.equal(x.amin(dim=(2, 3)), x.amax(dim=(2, 3)))
    return np.rint((x[:, :, 0, 0].numpy() + 1) * 127.5).astype(int)


def test_videos_and_frames_are_in_natural_order(tmp_path: Path, stairs: list[FrameFolder]) -> None:
    assert [video.name for video in stairs] == ["2", "10"]
    folder = write_frames(tmp_path / "other" / "v", [level(i) for i in range(12)], "frame{}.png")
    (video,) = list_videos(folder.parent)
    assert [path.stem for path in video.paths] == [f"frame{i}" for i in range(12)]
    assert [int(frame[0, 0, 0]) for frame in video.frames(SIZE)] == list(range(12))


def test_clips_are_consecutive_and_never_cross_a_border(stairs: list[FrameFolder]) -> None:
    clips = Clips(stairs, SIZE)
    x, target = clips.inputs(np.arange(len(clips)))
    assert x.shape == (5, 12, *SIZE) and target.shape == (5, 3, *SIZE)
    found = np.concatenate((greys(x), greys(target)), axis=1)
    starts = [10, 11, 12, 110, 111]  # 7 - 4 clips and 6 - 4 clips
    assert found.tolist() == [np.repeat(np.arange(s, s + 5), 3).tolist() for s in starts]


def test_reconstruction_uses_every_frame(stairs: list[FrameFolder]) -> None:
    clips = Clips(stairs, SIZE, past=0)
    x, target = clips.inputs(np.arange(len(clips)))
    assert torch.equal(x, target)
    assert greys(x)[:, 0].tolist() == [*range(10, 17), *range(110, 116)]


def test_decoding_on_the_fly_gives_the_same(stairs: list[FrameFolder]) -> None:
    cached, lazy = Clips(stairs, SIZE), Clips(stairs, SIZE, memory_gb=0)
    assert cached.images.cache is not None and lazy.images.cache is None
    order = np.array([4, 0, 3])
    for a, b in zip(cached.inputs(order), lazy.inputs(order), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "bmp", "tif", "tiff"])
@pytest.mark.parametrize("colour", [False, True])
def test_image_kinds(tmp_path: Path, suffix: str, colour: bool) -> None:
    frame = np.full((40, 60, 3), (200, 120, 40), dtype=np.uint8) if colour else np.full((40, 60), 90, dtype=np.uint8)
    write_frames(tmp_path / "v", [frame] * 5, "{:02d}." + suffix)
    (read, *_) = list_videos(tmp_path)[0].frames(SIZE)
    assert read.shape == (*SIZE, 3)
    expected = (40, 120, 200) if colour else (90, 90, 90)  # OpenCV writes BGR, we read RGB
    assert np.abs(read.astype(int) - expected).max() <= 3


def test_too_short_a_video(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", [level(1)] * 4)
    with pytest.raises(UserError, match=r"v: 4 frames; expected at least 5 \(4 past frames and the target\)"):
        Clips(list_videos(tmp_path), SIZE)
    assert len(Clips(list_videos(tmp_path), SIZE, past=0)) == 4


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training/frames: missing; expected a folder with one folder of frames"):
        read_videos(tmp_path)
    (tmp_path / "training" / "frames").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no folder; expected one folder of frames for each video"):
        read_videos(tmp_path)
    (tmp_path / "training" / "frames" / "01").mkdir()
    with pytest.raises(UserError, match="01: holds no image"):
        read_videos(tmp_path)


# Labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["1 x N", "N", "testing/labels", "testing/test_frame_mask"])
def test_label_forms(tmp_path: Path, stairs: list[FrameFolder], form: str) -> None:
    root = tmp_path / "root"
    labels = [np.array([0, 0, 1, 1, 0, 0, 0]), np.array([1, 0, 0, 0, 0, 1])]
    if "/" in form:
        (root / form).mkdir(parents=True)
        for video, values in zip(stairs, labels, strict=True):
            np.save(root / form / f"{video.name}.npy", values.astype(np.uint8))
    else:
        root.mkdir()
        values = np.concatenate(labels)
        np.save(root / "frame_labels_x.npy", values[None] if form == "1 x N" else values.astype(float))
    read = read_labels(root, stairs)
    assert [values.tolist() for values in read] == [values.tolist() for values in labels]


def test_label_errors(tmp_path: Path, stairs: list[FrameFolder]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UserError, match=r"root: no \.npy file; expected one file of frame labels .*1 x 13"):
        read_labels(root, stairs)
    path = root / "frame_labels.npy"
    np.save(path, np.zeros((1, 12)))
    with pytest.raises(UserError, match=r"frame_labels\.npy: 12 labels; expected 13"):
        read_labels(root, stairs)
    np.save(path, np.zeros((2, 13)))
    with pytest.raises(UserError, match=r"shape \(2, 13\); expected 1 x 13 labels"):
        read_labels(root, stairs)
    np.save(path, np.full(13, 2))
    with pytest.raises(UserError, match="other values than 0 and 1"):
        read_labels(root, stairs)
    np.save(path, np.array([None] * 13), allow_pickle=True)
    with pytest.raises(UserError, match=r"is not a \.npy array"):
        read_labels(root, stairs)
    np.save(root / "second.npy", np.zeros(13))
    with pytest.raises(UserError, match=r"2 \.npy files \(frame_labels\.npy, second\.npy\)"):
        read_labels(root, stairs)
    (root / "testing" / "labels").mkdir(parents=True)
    with pytest.raises(UserError, match=r"labels/2\.npy: missing; expected frame labels \(0 or 1, 7 values\)"):
        read_labels(root, stairs)


# Splitting, files, layout -----------------------------------------------------------------------------------------


def test_validation_holds_out_whole_videos(tmp_path: Path) -> None:
    videos = [FrameFolder(str(i), tuple(Path(f"{i}/{j}.png") for j in range(10))) for i in range(10)]
    train, held = split_videos(videos, 0.2, seed=3)
    assert len(held) == 2 and sorted(v.name for v in train + held) == sorted(v.name for v in videos)
    assert split_videos(videos, 0.2, seed=3) == (train, held)
    assert len(split_videos(videos, 0.001, seed=3)[1]) == 1 and len(split_videos(videos, 0.999, seed=3)[0]) == 1
    ((start,), (end,)) = split_videos(videos[:1], 0.3, seed=0)
    assert start.paths + end.paths == videos[0].paths and len(end) == 3
    short = FrameFolder("0", videos[0].paths[:2])
    assert [len(part[0]) for part in split_videos([short], 0.01, 0)] == [1, 1]
    with pytest.raises(UserError, match=r"^0: expected at least 2, got 1 frame"):
        split_videos([FrameFolder("0", videos[0].paths[:1])], 0.5, 0)
    with pytest.raises(UserError, match=r"^empty: expected at least 2, got 0 frames"):
        split_videos([FrameFolder("empty", ())], 0.5, 0)
    with pytest.raises(UserError, match=r"^empty: 0 frames; expected at least 5"):
        Clips([FrameFolder("empty", ())], (8, 8), past=4)
    with pytest.raises(UserError, match="validation_fraction: expected a number between 0 and 1, got 0"):
        split_videos(videos, 0, seed=0)


def test_video_file(tmp_path: Path) -> None:
    path = write_avi(tmp_path / "clip.avi", [level(40 + 10 * i) for i in range(8)])
    frames = list(VideoFile("clip", path).frames((8, 16)))
    assert [frame.shape for frame in frames] == [(8, 16, 3)] * 8
    means = np.array([frame.mean() for frame in frames])
    assert np.abs(means - np.arange(40, 120, 10)).max() < 5
    layout = read_videos(path, train=False)
    assert layout.labels is None and [video.name for video in layout.test] == ["clip"]
    with pytest.raises(UserError, match="is one video; expected a folder with training/frames/"):
        read_videos(path)


def test_a_folder_may_be_named_like_a_video_file(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "ped2.avi")
    assert is_video(root) and len(read_videos(root).train) == 3


def test_broken_video_files(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"broken\.mp4: no frame can be decoded"):
        list(VideoFile("broken", broken).frames(SIZE))
    with pytest.raises(UserError, match=r"gone\.avi: missing; expected a video file"):
        list(VideoFile("gone", tmp_path / "gone.avi").frames(SIZE))


def test_layout_is_detected(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", count=5)
    assert detect_layout(root) == "video" and is_video(root) and not is_video(root, "wells")
    assert detect_layout(tmp_path / "any.mp4") == "video"
    with pytest.raises(UserError, match=r"but data/ in it does; expected .*/data$"):
        detect_layout(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="training/frames/ and testing/frames/"):
        detect_layout(tmp_path / "empty")
