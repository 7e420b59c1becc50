"""One reader of images: what the header says first, the right way up, nothing cut off, nothing waited for."""

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mnad.data.decoding import decode, max_pixels
from mnad.data.images import Images
from mnad.data.reading import list_images, read_photo, to_rgb8
from mnad.run import UserError


def picture(seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 255, (5, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (24, 15))


def encoded(kind: str, orientation: int = 1, **options: object) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(buffer, kind, exif=exif, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(kind, orientation):
    options = {"lossless": True} if kind == "webp" else {}
    data = encoded(kind, orientation, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(int)
    found = to_rgb8(decode(data, "x"), "x")
    assert found.shape == expected.shape and np.abs(found - expected).max() <= (3 if kind == "jpeg" else 0)


def test_size_limit_comes_from_the_header(monkeypatch):
    monkeypatch.setenv("MNAD_MAX_PIXELS", "359")  # 24 x 15 is 360
    with pytest.raises(UserError, match=r"big.png: 24 x 15 pixels; expected at most 359 \(MNAD_MAX_PIXELS\)"):
        decode(encoded("png"), "big.png")
    monkeypatch.setenv("MNAD_MAX_PIXELS", "360")
    assert decode(encoded("png"), "big.png").shape == (15, 24, 3)
    monkeypatch.setenv("MNAD_MAX_PIXELS", "many")
    with pytest.raises(UserError, match="MNAD_MAX_PIXELS: expected a whole number above 0, got 'many'"):
        max_pixels()


def test_a_bomb_is_not_decoded():
    header = cv2.imencode(".png", np.zeros((12000, 12000), np.uint8))[1].tobytes()
    assert len(header) < 200_000  # of 144 million pixels
    with pytest.raises(UserError, match="12000 x 12000 pixels"):
        decode(header, "bomb.png")


def test_animations_are_refused():
    frames = [Image.fromarray(picture(i)) for i in range(3)]
    for kind in ("png", "webp", "gif"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        with pytest.raises(UserError, match="film: 3 frames; expected a still image"):
            decode(buffer.getvalue(), "film")


def test_a_jpeg_that_is_cut_off():
    data = encoded("jpeg")
    with pytest.raises(UserError, match=r"cut\.jpg: is cut off"):
        decode(data[:-20], "cut.jpg")
    assert decode(data + b"trailing", "whole.jpg").shape == (15, 24, 3)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UserError, match=r"pipe\.jpg: is no regular file"):
        read_photo(tmp_path / "pipe.jpg")


def test_other_endings_are_counted(tmp_path):
    for name in ("a.webp", "b.jfif", "notes.txt", "noending"):
        (tmp_path / name).write_bytes(encoded("jpeg"))
    with pytest.warns(UserWarning, match=r"passed over 2 files of other endings \(first: .*noending\)"):
        assert [p.name for p in list_images(tmp_path)] == ["a.webp", "b.jfif"]


@pytest.fixture
def three_of_five(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        path.write_bytes(b"" if i in (1, 3) else encoded("png"))
    return paths


def test_all_bad_files_are_named_at_once(three_of_five):
    with pytest.raises(UserError) as caught:
        Images(three_of_five, (16, 24), name="test")
    message = str(caught.value)
    assert "1.png: is empty" in message and "3.png: is empty" in message and "2 of 5 test cannot be read" in message


@pytest.mark.parametrize("memory_gb", [1.0, 0.0])
def test_bad_files_left_out(three_of_five, memory_gb):
    images = Images(three_of_five, (16, 24), memory_gb, skip_bad=True)
    assert images.kept.tolist() == [0, 2, 4] and len(images) == len(images.digests) == 3
    assert [reason.split(":")[0][-5:] for reason in images.skipped] == ["1.png", "3.png"]
    assert images.batch([0, 1, 2]).shape == (3, 16, 24, 3)
