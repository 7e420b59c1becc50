"""Two processes with half of each batch end where one process with the whole batch ends."""

import socket

import pytest
import torch
import torch.multiprocessing as mp
from sharing import CASES, share, trained

from mnad.run.files import read_log


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with what two processes made of every case."""
    out = tmp_path_factory.mktemp("shared")
    mp.spawn(share, (2, free_port(), str(out)), nprocs=2)
    return out


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(case, shared, tmp_path):
    alone = trained(case, tmp_path).state_dict()
    first, second = (torch.load(shared / f"{case}{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, value in alone.items():
        torch.testing.assert_close(
            first[name], value, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
        assert torch.equal(first[name], second[name]), name
    whole, parts = (read_log(at / "log.jsonl").to_dict("records") for at in (tmp_path, shared / case))
    assert len(whole) == len(parts) >= 2
    for one, two in zip(whole, parts, strict=True):
        own = {key: value for key, value in one.items() if key not in ("seconds", "images_per_second")}
        assert {key: two[key] for key in own} == pytest.approx(own, rel=1e-4, abs=1e-6)
