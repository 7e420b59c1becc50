"""The stored run of the synthetic default: its log, its metrics, and the test scores with the kind of every well."""

from pathlib import Path

import pandas as pd

from figures.entry import Inputs, origin
from mnad.data.drawing import NUISANCES, SPILLS, STATES
from mnad.data.synthetic import SYNTHETIC, draw_wells
from mnad.run import UserError
from mnad.run.files import read_json, read_table

FOLDER = "results/synthetic"  # below the folder of results; a copy of a run folder without its weights
GROUPS = {"plain normal": tuple(STATES), "nuisance": tuple(NUISANCES), "overflow": ("overflow",), "empty": ("empty",)}


def drawn_data(inputs: Inputs) -> Path:
    """The folder of drawn wells, drawn if need be."""
    return inputs.data if inputs.data is not None else draw_wells(SYNTHETIC)


def kinds_of_test(root: Path) -> pd.Series:
    """Path of each test image from ``root`` -> its kind."""
    table = read_table(root / "kinds.csv", {"file", "kind"}, text=("file", "kind"))
    table = table[table["file"].str.startswith("test/")]
    return pd.Series(table["kind"].to_numpy(), index=table["file"])


def group_of(kind: str) -> str:
    """``low`` -> ``plain normal`` and so on, see ``GROUPS``."""
    return next(group for group, kinds in GROUPS.items() if kind in kinds)


def scored_wells(inputs: Inputs, model: str = "") -> pd.DataFrame:
    """``scores.csv`` of the stored run (of ``model`` beside the first one) with the columns ``kind`` and ``group``.

    Raises:
        NotStoredError: no such run is stored.
        UserError: the run judged other images than the drawn ones.
    """
    path = inputs.stored(f"{FOLDER}/{model}/scores.csv" if model else f"{FOLDER}/scores.csv")
    frame = read_table(path, {"file", "label", "score_wells", "score_mnad"}, text=("file",))
    frame["kind"] = frame["file"].map(kinds_of_test(drawn_data(inputs)))
    known = frame["kind"].notna()
    if not known.all() or not (frame["label"] == frame["kind"].isin(SPILLS)).all():
        raise UserError(f"{path}: judges other images than the drawn wells; expected scores of their test folder")
    frame["group"] = frame["kind"].map(group_of)
    return frame


def metrics(inputs: Inputs, model: str = "") -> dict:
    """``metrics.json`` of the stored run."""
    return read_json(inputs.stored(f"{FOLDER}/{model}/metrics.json" if model else f"{FOLDER}/metrics.json"))


def run_origin(inputs: Inputs) -> str:
    """Command, date and revision of the stored run."""
    folder = inputs.stored(FOLDER)
    return f"{origin(folder)} Stored with all its settings in `{FOLDER}/`, beside the figures."
