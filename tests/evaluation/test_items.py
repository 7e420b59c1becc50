"""What the report says of each memory item, against a loop over single queries."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mnad.data.images import Images
from mnad.detector import Detector
from mnad.evaluation.items import Reader, read_items
from mnad.evaluation.page import marked


@pytest.fixture
def images(tiny_wells) -> Images:
    return Images(sorted((tiny_wells / "test" / "imgs").iterdir()), (32, 48))


def test_items_against_single_queries(tiny_run, images):
    detector = Detector.load(tiny_run)
    flagged = np.arange(len(images)) % 3 == 0
    found = {item.number: item for item in read_items(detector, images, flagged, readers=3)}
    items = F.normalize(detector.model.memory.items, dim=1)
    near = {number: [] for number in range(len(items))}  # (distance, image, row, column)
    for i in range(len(images)):
        with torch.inference_mode():
            queries = detector.outputs(images[i][None]).queries[0]
        for row in range(4):
            for column in range(6):
                cosine = items @ queries[row, column]
                near[int(cosine.argmax())].append((1 - float(cosine.max()), i, row, column))
    total = len(images) * 24
    for number, queries in near.items():
        item = found[number]
        assert item.share == pytest.approx(len(queries) / total)
        assert item.flagged == pytest.approx(sum(flagged[i] for _, i, _, _ in queries) / (flagged.sum() * 24))
        best = {}
        for query in sorted(queries):
            best.setdefault(query[1], query)
        expected = sorted(best.values())[:3]
        assert [reader.distance for reader in item.readers] == pytest.approx([q[0] for q in expected], abs=1e-5)
        assert len({reader.image for reader in item.readers}) == len(item.readers)
    assert sum(item.attention for item in found.values()) == pytest.approx(np.ones((4, 6)), abs=1e-5)
    assert [item.share for item in found.values()] == sorted((i.share for i in found.values()), reverse=True)


def test_a_model_without_a_memory_has_no_items(tiny_run, images):
    assert read_items(Detector.load(tiny_run / "conv_ae"), images, np.zeros(len(images), bool)) == []


def test_the_place_of_a_query_is_framed():
    picture = np.full((32, 48, 3), 128, np.uint8)
    large = marked(picture, Reader(0, 1, 2, 0.0), 8)
    assert large.shape == (96, 144, 3)
    rows, columns = np.nonzero((large != 128).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 47, 48, 71)
