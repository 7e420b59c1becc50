"""The page of a memory's items: one self-contained HTML file, on which a click shows what reads an item."""

import base64
import json
from pathlib import Path

import numpy as np

from mnad.latent.bank import MEASURES
from mnad.latent.collect import Latent
from mnad.run.files import write_text

SHOWN = 120  # members shown at once
LIMIT = 100  # a ratio of distance and limit of 1, in the two bytes that the page has for it
MOST = 2**16 - 1


def text_of(values: np.ndarray) -> str:
    """The bytes of an array, base64."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def write_items_page(path: Path, latent: Latent, kind: str, title: str) -> Path:
    """Write the page of ``latent.bank``.

    Args:
        kind: column of the table by which members are told apart.
        title: of the page; any text.

    Raises:
        UserError: ``path`` cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader

    bank, table = latent.bank, latent.levels["images"].table
    assert bank is not None
    kinds = table[kind].astype(str).to_numpy()
    names = sorted(set(kinds), key=lambda name: (table["label"].to_numpy()[kinds == name].mean(), name))
    anomalous = [bool(table["label"].to_numpy()[kinds == name].mean() > 0.5) for name in names]
    limits = bank.limits(table["group"].to_numpy())
    ratio = np.clip(np.ceil(LIMIT * bank.distance / np.maximum(limits, 1e-12)), 0, MOST).astype("<u2")
    left = bank.left(table["group"].to_numpy())
    first = names[-1]
    start = int(left[kinds == first].mean(axis=0).argmax())
    images = [
        {"uri": "data:image/jpeg;base64," + base64.b64encode(strip).decode(), "file": str(file), "kind": str(one)}
        | {"score": float(score)}
        for strip, file, one, score in zip(latent.strips, table["file"], kinds, table["score"], strict=True)
    ]
    rows, columns = latent.grid
    data = {
        "rows": rows, "columns": columns, "size": bank.size, "panels": len(latent.panels),
        "height": latent.size[0], "width": latent.size[1],
        "kinds": names, "anomalous": anomalous, "first": first, "start": start,
        "item": text_of(bank.item.astype("<u2")), "ratio": text_of(ratio), "limit": LIMIT, "shown": SHOWN,
        "medoids": bank.medoids().tolist(), "images": images,
    }  # fmt: skip
    folder = Path(__file__).parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template("items.html").render(
        title=title,
        numbers={"images": len(images), "size": bank.size},
        shared=bank.shared,
        measure=MEASURES[bank.measure],
        rows=rows,
        columns=columns,
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),  # no tag can end the script
        script=(folder / "items.js").read_text(encoding="utf-8"),
    )
    write_text(path, page)
    return path
