"""Models by name: built once, with the weights of their class, and only if they fit into the memory."""

import pytest
import torch

from mnad.config import ModelConfig
from mnad.model import build
from mnad.model.mnad import MNAD
from mnad.run import UserError

SMALL = ModelConfig(width=2, items=3, item_dim=4)


def test_it_has_the_weights_of_its_class() -> None:
    torch.manual_seed(3)
    found = build.build_model(SMALL, (16, 24)).state_dict()
    torch.manual_seed(3)
    expected = MNAD(width=2, items=3, item_dim=4).state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_it_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    class Counted(MNAD):
        def __init__(self, width: int) -> None:
            super().__init__(width=width, item_dim=4)
            built.append(self)

    monkeypatch.setitem(build.MODELS, "mnad", Counted)
    assert build.build_model(SMALL) is built[0] and len(built) == 1


def test_what_exceeds_the_memory_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(torch.nn.Module):
        def __init__(self, width: int, items: int) -> None:
            super().__init__()
            self.first = torch.zeros(width)
            self.second = torch.rand(items, generator=torch.Generator().manual_seed(0))

    monkeypatch.setitem(build.MODELS, "two", Two)
    room = build.WithinMemory().room
    assert room > 1e9
    monkeypatch.setattr(build.os, "sysconf", {"SC_PAGE_SIZE": 4, "SC_PHYS_PAGES": 10}.get)  # 40 bytes
    assert len(build.build_model(ModelConfig(name="two", width=7, items=3)).second) == 3  # float32: 40 bytes
    with pytest.raises(UserError, match=r"^model: takes at least 0 GB, and this machine has 0; expected smaller width"):
        build.build_model(ModelConfig(name="two", width=7, items=4))
