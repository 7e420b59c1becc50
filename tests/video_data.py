"""Tiny generated videos for the tests: a light square that walks over a noisy floor, and runs when it is abnormal."""

from pathlib import Path

import cv2
import numpy as np

SIZE = (16, 24)  # height, width


def walk(count: int, speed: float, seed: int) -> list[np.ndarray]:
    """``count`` frames, H x W uint8 grey."""
    rng = np.random.default_rng(seed)
    frames = []
    for t in range(count):
        frame = rng.integers(60, 70, SIZE, dtype=np.uint8)
        x = int(rng.integers(0, 3) + speed * t) % (SIZE[1] - 4)
        frame[5:10, x : x + 4] = 200
        frames.append(frame)
    return frames


def write_frames(folder: Path, frames: list[np.ndarray], pattern: str = "{:03d}.png") -> Path:
    """One image file for each frame; returns ``folder``."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / pattern.format(number)), frame)
    return folder


def write_dataset(root: Path, count: int = 9) -> Path:
    """Three training videos, three test videos (the second abnormal in its second half, the third altogether)."""
    for i in range(3):
        write_frames(root / "training" / "frames" / f"{i + 1}", walk(count, 1, i))
    labels = [np.zeros(count), np.arange(count) >= 6, np.ones(count)]
    for i, label in enumerate(labels):
        frames = [walk(count, 5 if ill else 1, 10 + i)[t] for t, ill in enumerate(label)]
        write_frames(root / "testing" / "frames" / f"{i + 1:02d}", frames)
    np.save(root / "frame_labels_tiny.npy", np.concatenate(labels).astype(np.int64)[None])
    return root


def write_avi(path: Path, frames: list[np.ndarray]) -> Path:
    """Motion JPEG in an .avi file, colour; returns ``path``."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE[::-1])
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path
