"""Drawn screws that lie at any angle under a lamp that stays where it is, sound and faulty.

python tests/drawn_screws.py DIR     # 198 + 40 sound and 60 faulty ones, 512 x 512, in the folders of MVTec AD
"""

import sys
from pathlib import Path

import cv2
import numpy as np

FAULTS = ("bent_tip", "thread_top", "thread_side", "scratch_head", "scratch_neck")
LENGTH, HEAD, NECK, TIP = 380, 40, 70, 50  # pixels of 512, along the screw
RADIUS, HEAD_RADIUS, THREAD, PITCH = 26, 58, 4, 14
LAMP, GLOSS = (-0.45, -0.6, 0.66), (-0.25, -0.33, 0.91)


def heights(rng: np.random.Generator, fault: str | None, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Height of the screw over the table at every pixel and where it is, side x side each, in pixels of 512."""
    scale = 512 / side
    rows, columns = (np.mgrid[:side, :side].astype(np.float32) + 0.5) * scale - 256
    length, angle, phase = rng.normal(1, 0.01) * LENGTH, rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    right, down = columns - rng.normal(0, 12), rows - rng.normal(0, 12)
    along = right * np.cos(angle) + down * np.sin(angle) + length / 2
    across = down * np.cos(angle) - right * np.sin(angle)
    to_tip = along - (length - TIP)
    if fault == "bent_tip":
        across = across - np.maximum(to_tip, 0) * rng.uniform(0.15, 0.3) * rng.choice([-1, 1])
    head = HEAD_RADIUS * np.sqrt(np.clip(1 - ((along - HEAD) / HEAD * 0.9) ** 2, 0, 1))
    winding = THREAD * np.cos(2 * np.pi * along / PITCH + phase + across / RADIUS * 1.2)
    radius = np.where(along < HEAD, head, RADIUS + winding * (along > HEAD + NECK))
    radius = np.where(to_tip > 0, np.maximum(radius * (1 - to_tip / TIP), 0), radius)
    worn = np.zeros_like(radius, dtype=bool)
    if fault in ("thread_top", "thread_side"):
        at, half, edge = rng.uniform(HEAD + NECK + 20, length - 90), rng.uniform(6, 14), rng.choice([-1, 1])
        where = edge * across > RADIUS / 2 if fault == "thread_side" else abs(across) < 0.7 * RADIUS
        worn = (abs(along - at) < half) & where
        if fault == "thread_side":
            radius = np.where(worn, np.minimum(radius, RADIUS - 5), radius)
    inside = (along > 0) & (along < length) & (abs(across) < radius)
    height = np.where(inside, np.sqrt(np.clip(radius**2 - across**2, 0, None)), 0).astype(np.float32)
    height = np.where(worn & inside, cv2.GaussianBlur(height, (0, 0), 6 / scale), height)
    if fault in ("scratch_head", "scratch_neck"):
        place = (5, HEAD - 8) if fault == "scratch_head" else (HEAD + 8, HEAD + 60)
        x, y = along - rng.uniform(*place), across - rng.uniform(-0.6, 0.6) * RADIUS
        turn, half = rng.uniform(0, np.pi), rng.uniform(5, 11)
        scratch = (abs(x * np.sin(turn) - y * np.cos(turn)) < 1.6) & (abs(x * np.cos(turn) + y * np.sin(turn)) < half)
        height = height - np.where(scratch & inside, rng.uniform(3, 6), 0)
    return height.astype(np.float32), inside


def draw_screw(rng: np.random.Generator, fault: str | None = None, side: int = 512) -> np.ndarray:
    """One screw, side x side uint8 grey; ``fault`` is one of :data:`FAULTS` or None."""
    scale = 512 / side
    height, inside = heights(rng, fault, side)
    down, right = np.gradient(cv2.GaussianBlur(height, (0, 0), 0.8) / scale)
    normal = np.dstack([-right, -down, np.full_like(right, 1.3)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    metal = 40 + 95 * np.clip(normal @ LAMP, 0, 1) + 90 * np.clip(normal @ GLOSS, 0, 1) ** 25
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    table = 205 - 50 * (rows**2 + columns**2) + rng.normal(0, 2)
    moved = np.roll(inside.astype(np.float32), (round(6 / scale), round(5 / scale)), (0, 1))
    image = np.where(inside, metal, table - 45 * cv2.GaussianBlur(moved, (0, 0), 5 / scale))
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.7) + rng.normal(0, 2.5, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def write_screws(folder: Path, train: int, sound: int, faulty: int, side: int = 512, seed: int = 0) -> None:
    """Folders of MVTec AD with so many sound screws to train on, and to test on; ``faulty`` of each fault."""
    parts = [("train/good", train, None), ("test/good", sound, None)]
    parts += [(f"test/{fault}", faulty, fault) for fault in FAULTS]
    for part, (name, count, fault) in enumerate(parts):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = draw_screw(np.random.default_rng([seed, part, number]), fault, side)
            cv2.imwrite(str(folder / name / f"{number:03d}.png"), image)


if __name__ == "__main__":
    write_screws(Path(sys.argv[1]), train=198, sound=40, faulty=12, seed=int([*sys.argv, 0][2]))
