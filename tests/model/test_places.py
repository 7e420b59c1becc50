"""The memory of local features against slow oracles: whitening, greedy k-centre, nearest distance, read, decode."""

import numpy as np
import pytest
import torch

from mnad.model.places import SOFTNESS, PlaceMemory, k_centre, own_share

RIDGE = 0.1


@pytest.fixture
def features() -> torch.Tensor:
    mixing = torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(1))
    return torch.randn(4, 30, 5, generator=torch.Generator().manual_seed(2)) @ mixing + 3


@pytest.fixture
def memory(features: torch.Tensor) -> PlaceMemory:
    memory = PlaceMemory(5, RIDGE)
    memory.fit(features, (2, 2), 7)
    return memory


def test_whitening_is_the_mahalanobis_distance(features, memory) -> None:
    z = memory.whiten(features)
    for place, rows in enumerate(features.double().numpy()):
        covariance = np.cov(rows, rowvar=False) + RIDGE * np.eye(5)
        offset = rows - rows.mean(axis=0)
        expected = np.einsum("nd,de,ne->n", offset, np.linalg.inv(covariance), offset)
        assert z[place].square().sum(dim=1).numpy() == pytest.approx(expected, rel=0.01)  # float16 in the checkpoint


def test_k_centre_takes_the_farthest_row_each_time() -> None:
    z = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0))
    chosen = k_centre(z, 6)
    for rows, found in zip(z.numpy(), chosen.tolist(), strict=True):
        expected = [int((rows**2).sum(axis=1).argmin())]
        for _ in range(5):
            nearest = [min(((row - rows[c]) ** 2).sum() for c in expected) for row in rows]
            expected.append(int(np.argmax(nearest)))
        assert found == expected


def test_k_centre_takes_every_row_once_even_where_they_are_equal() -> None:
    assert sorted(k_centre(torch.zeros(1, 5, 2), 5)[0].tolist()) == [0, 1, 2, 3, 4]


def test_read_and_distance_by_hand(features, memory) -> None:
    z = memory.whiten(features)
    read, distance, nearest = memory.read(z)
    items = memory.items.float().numpy()
    for place in range(4):
        for row in range(0, 30, 7):
            query = z[place, row].numpy()
            squares = np.array([((query - item) ** 2).sum() for item in items[place]])
            assert distance[place, row].item() == pytest.approx(squares.min(), abs=1e-3)
            assert nearest[place, row].item() == squares.argmin()
            weights = np.exp(-squares / SOFTNESS) / np.exp(-squares / SOFTNESS).sum()
            assert read[place, row].numpy() == pytest.approx(weights @ items[place], abs=1e-3)


def test_decoding_a_query_gives_its_features(features, memory) -> None:
    torch.testing.assert_close(memory.decode(memory.whiten(features)), features, atol=1e-3, rtol=1e-3)


def test_the_first_channels_are_whitened_among_themselves(features, memory) -> None:
    alone = PlaceMemory(3, RIDGE)
    alone.fit(features[:, :, :3], (2, 2), 1)
    torch.testing.assert_close(memory.whiten(features)[:, :, :3], alone.whiten(features[:, :, :3]))


def test_a_part_of_the_places_is_read_as_in_the_whole(features, memory) -> None:
    part = slice(1, 3)
    torch.testing.assert_close(memory.whiten(features[part], part), memory.whiten(features)[part])


def test_with_few_images_a_place_borrows_the_covariance_of_its_neighbours() -> None:
    assert own_share(500, 250) == 1.0 and own_share(125, 250) == 0.25
    x = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1, 1, 9])[:, None, None]
    memory = PlaceMemory(5, RIDGE)
    memory.fit(x, (2, 2), 1)
    own = np.stack([np.cov(rows, rowvar=False) for rows in x.double().numpy()])
    mixed = 0.3 * own + 0.7 * own.mean(axis=0)  # 3 images in 5 dimensions; all four places are within 5 x 5
    inverse = np.linalg.inv(np.linalg.cholesky(mixed + RIDGE * np.eye(5)))
    assert memory.whitening.numpy() == pytest.approx(inverse, rel=0.01, abs=0.002)
