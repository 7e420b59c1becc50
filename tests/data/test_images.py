"""Every kind of file becomes uint8 RGB of one size, or one clear line."""

import cv2
import numpy as np
import pytest

from mnad.data.images import Images, split, to_input
from mnad.data.reading import list_images, read_image, resize
from mnad.run import UserError

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def write(path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return path


def test_colour_is_rgb(tmp_path):
    assert (read_image(write(tmp_path / "a.png", RGB[..., ::-1])) == RGB).all()


def test_grey_is_repeated(tmp_path):
    image = read_image(write(tmp_path / "a.png", RGB[..., 0]))
    assert (image == RGB[..., :1]).all() and image.shape == (4, 6, 3)


def test_sixteen_bit_is_scaled(tmp_path):
    pixels = np.array([[0, 257, 65535, 32896]], dtype=np.uint16)
    assert read_image(write(tmp_path / "a.png", pixels))[0, :, 0].tolist() == [0, 1, 255, 128]


def test_alpha_is_laid_on_white(tmp_path):
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)  # BGRA
    pixels[0] = [[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]  # opaque, clear, 20 % black
    assert read_image(write(tmp_path / "a.png", pixels))[0].tolist() == [[30, 20, 10], [255] * 3, [204] * 3]


def test_one_pixel_image_fills_the_size(tmp_path):
    image = read_image(write(tmp_path / "a.png", np.full((1, 1, 3), 7, dtype=np.uint8)))
    assert (resize(image, (32, 48)) == 7).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"no picture at all", "not a readable image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 9, "not a readable"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_image(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png: cannot be read"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(UserError, match="missing; expected a folder"):
        list_images(tmp_path / "gone")
    with pytest.raises(UserError, match="holds no image"):
        list_images(tmp_path)


def test_float_pixels_are_refused(tmp_path):
    with pytest.raises(UserError, match="float32; expected 8 or 16 bit"):
        read_image(write(tmp_path / "a.tiff", np.ones((2, 2), dtype=np.float32)))


def test_input_range():
    x = to_input(np.array([0, 255, 51], dtype=np.uint8).reshape(1, 1, 1, 3))
    assert x.flatten().tolist() == pytest.approx([-1, 1, -0.6])
    assert x.shape == (1, 3, 1, 1)


def test_on_the_fly_equals_memory(tiny_wells):
    paths = list_images(tiny_wells / "train")[:5]
    cached, lazy = Images(paths, (32, 48)), Images(paths, (32, 48), memory_gb=0)
    assert lazy.cache is None and cached.cache is not None
    assert (cached.batch([3, 1]) == lazy.batch([3, 1])).all()
    assert (cached.subset([4, 2]).batch([1]) == lazy.subset([4, 2]).batch([1])).all()


def test_split_is_seeded_disjoint_and_complete():
    train, validation = split(100, 0.1, 3)
    assert len(validation) == 10 and sorted([*train, *validation]) == list(range(100))
    assert (split(100, 0.1, 3)[1] == validation).all() and (split(100, 0.1, 4)[1] != validation).any()
    assert [len(part) for part in split(2, 0.01, 0)] == [1, 1]
    with pytest.raises(UserError, match="between 0 and 1"):
        split(10, 1.0, 0)
    with pytest.raises(UserError, match="at least 2"):
        split(1, 0.1, 0)
