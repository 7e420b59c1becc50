"""Textile defects: images in an HDF5 file, labels and angles in a CSV file beside it.

The layout::

    DIR/train32.h5    dataset "images": N x H x W [x 1 or 3], uint8 or float in [0, 1]
    DIR/train32.csv   columns index, indication_value (0 = good), angle
    DIR/test32.h5, DIR/test32.csv

``index`` counts on from one file to the next (the training file starts at 48000), so the position in the file is
``index`` minus the smallest index of its CSV.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mnad.config import LayoutOptions
from mnad.data.hdf5 import SUFFIXES, open_images
from mnad.data.layout import Layout
from mnad.data.two_folders import seeded_parts
from mnad.run import UserError, one_line

COLUMNS = ("index", "indication_value")


def read_table(path: Path) -> tuple[list[Path], np.ndarray]:
    """Images and labels (1 = defect) of one HDF5 file with its CSV file.

    Raises:
        UserError: a missing file or column, an index twice or out of range, a label that is no number.
    """
    table_path = path.with_suffix(".csv")
    if not table_path.is_file():
        raise UserError(f"{table_path}: missing; expected a CSV file with the columns {', '.join(COLUMNS)}")
    try:
        table = pd.read_csv(table_path)
    except (OSError, ValueError) as error:
        raise UserError(f"{table_path}: is no CSV file ({one_line(error)}); expected one") from error
    for column in COLUMNS:
        if column not in table or not pd.api.types.is_integer_dtype(table[column]):
            raise UserError(f"{table_path}: no whole numbers in column {column!r}; expected {', '.join(COLUMNS)}")
    count = len(open_images(path))
    position = (table["index"] - table["index"].min()).to_numpy()
    if len(table) != count or sorted(position) != list(range(count)):
        raise UserError(
            f"{table_path}: column 'index' ({len(table)} rows) does not number the {count} images of {path} one by one"
        )
    return [path / str(i) for i in position], (table["indication_value"] != 0).to_numpy(dtype=np.int64)


def find_file(root: Path, role: str) -> Path:
    """The file of the ``role`` train or test: the only ``train*.h5`` or ``test*.h5`` of ``root``.

    Raises:
        UserError: none or several of them (the 32 and the 64 pixel files belong into folders of their own).
    """
    files = sorted(p for p in root.glob(f"{role}*") if p.suffix.lower() in SUFFIXES)
    if len(files) != 1:
        raise UserError(f"{root}: {len(files)} files {role}*.h5; expected exactly one")
    return files[0]


def read_textile(root: Path, train: bool = True, test: bool = True, options: LayoutOptions | None = None) -> Layout:
    """The textile layout of ``root``; only the files that are asked for need to exist.

    Of the training defects a seeded share ``options.known_fraction`` becomes known anomalies; the others are not used.

    Raises:
        UserError: see :func:`find_file` and :func:`read_table`.
    """
    options = options or LayoutOptions()
    if not 0 <= options.known_fraction <= 1:
        raise UserError(f"layout_options.known_fraction: expected 0 to 1, got {options.known_fraction}")
    layout = Layout()
    if train:
        train_path = find_file(root, "train")
        paths, labels = read_table(train_path)
        layout.train = [path for path, label in zip(paths, labels, strict=True) if label == 0]
        if not layout.train:
            raise UserError(f"{train_path.with_suffix('.csv')}: no image with indication_value 0; expected some")
        defects = [path for path, label in zip(paths, labels, strict=True) if label == 1]
        layout.known, _ = seeded_parts(defects, options.known_fraction, options.seed)
    if test:
        layout.test, layout.labels = read_table(find_file(root, "test"))
    return layout
