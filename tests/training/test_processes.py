"""Two processes with half of each batch end where one process with the whole batch ends."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from multiprocessing import set_forkserver_preload
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from helpers import ROOT, TINY
from sharing import CASES, SIZE, share, trained

from mnad.model.build import build_model
from mnad.run.files import read_json, read_log


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with what two processes made of every case."""
    out = tmp_path_factory.mktemp("shared")
    set_forkserver_preload(["mnad.training.loop"])  # one process imports torch, and the two are forks of it
    mp.start_processes(share, (2, free_port(), str(out)), nprocs=2, start_method="forkserver")
    return out


def without_effect(state: dict[str, torch.Tensor]) -> set[str]:
    """Biases in front of a normalisation, whose gradient is rounding alone, and the means that take them up."""
    biases = {name for name in state if name.endswith(".bias") and state[f"{name[:-4]}weight"].ndim == 4}
    return biases | {name for name in state if name.endswith("running_mean")}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(case, shared, tmp_path):
    alone = trained(case, tmp_path).state_dict()
    first, second = (torch.load(shared / f"{case}{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in alone)
    torch.manual_seed(0)
    start = build_model(CASES[case][0], SIZE).double().state_dict()
    for name in set(alone) - without_effect(alone):
        torch.testing.assert_close(first[name], alone[name], rtol=0, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}")
        assert not torch.equal(start[name], alone[name]) or name == "memory.moves", name
    whole, parts = (read_log(at / "log.jsonl").to_dict("records") for at in (tmp_path, shared / case))
    assert len(whole) == len(parts) >= 2
    for one, two in zip(whole, parts, strict=True):
        own = {key: value for key, value in one.items() if key not in ("stage", "seconds", "images_per_second")}
        assert {key: two[key] for key in own} == pytest.approx(own, rel=1e-9, nan_ok=True)


def running(parent: int) -> dict[str, int]:
    """Process of each rank that torchrun, of the number ``parent``, has started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                words = dict(w.split("=", 1) for w in (folder / "environ").read_text().split("\0") if "=" in w)
                if "RANK" in words:
                    found[words["RANK"]] = int(folder.name)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc")
@pytest.mark.parametrize("victim", ["0", "1"])
def test_a_dead_process_ends_the_run_and_one_alone_goes_on(victim, tiny_wells, tmp_path, script):
    run = tmp_path / "run"
    words = ["--data", tiny_wells, "--out", run, *TINY, "--optim.epochs=60", "--optim.batch_size=8", "--compare=[]"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*torchrun, str(ROOT / "scripts" / "train_mnad.py"), *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as both:
        deadline = time.monotonic() + 120
        while not (run / "log.jsonl").is_file() or len((run / "log.jsonl").read_text().splitlines()) < 2:
            assert both.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(running(both.pid)[victim], signal.SIGKILL)
        out, err = both.communicate(timeout=180)
    assert both.returncode != 0
    lines = re.findall(r"^error: .*$", err, flags=re.MULTILINE)
    assert len(lines) == 1, err
    (line,) = lines
    assert re.match(r"error: one of 2 processes has died, at epoch \d+; the state after epoch \d+ is in ", line)
    assert line.endswith("expected --resume, with any number of processes")
    assert out.count(str(tiny_wells)) == 1  # one process prints
    assert read_json(run / "provenance.json")["processes"] == 2
    assert script("train_mnad", *words, "--resume") == 0
    assert read_log(run / "log.jsonl")["epoch"].tolist() == list(range(1, 61))
