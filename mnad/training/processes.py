"""Several processes, or machines, that train one model together: those that ``torchrun`` starts.

Each reads the data and has its rows of every batch; only the first, of rank 0, prints and writes. Weights, items and
statistics are those of one process with the whole batch (:mod:`mnad.model.across`).
"""

import contextlib
import datetime
import hashlib
import inspect
import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mnad.model import across
from mnad.model.build import choose_device
from mnad.run import UserError

PATIENCE = datetime.timedelta(days=7)  # others wait while the first scores; a dead process is noticed at once
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets


class Ended(RuntimeError):
    """Somebody, perhaps torchrun because another process has died, told this process to end."""


def is_lost(error: BaseException) -> bool:
    """Whether ``error`` is that another process does not answer, or the order to end."""
    sent = ("gloo", "NCCL", "Connection", "Broken pipe", "peer")
    return isinstance(error, Ended | dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in sent)
    )


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the error has to be told
    raise Ended(signal.Signals(number).name)


def _first_to_tell(store: dist.Store) -> bool:
    """Whether no other process has told its error yet."""
    try:
        return store.add("told", 1) == 1
    except RuntimeError:  # whoever kept the store is dead
        return True


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[int]:
    """Join the processes that torchrun started and give the rank; without torchrun the rank is 0 and nothing is joined.

    Those of rank 1 and above print nothing. One error is told by one process; the others end without a word.

    Args:
        device: as in the configuration; each process of a machine has a GPU of its own, or some threads of the CPU.

    Raises:
        UserError: fewer GPUs than processes.
        SystemExit: another process has told the error.
    """
    if not set(LAUNCHED) <= set(os.environ) or os.environ["WORLD_SIZE"] == "1" or dist.is_initialized():
        yield across.rank()
        return
    local = int(os.environ["LOCAL_RANK"])
    cuda = choose_device(device).type == "cuda"
    store, rank, world = next(dist.rendezvous("env://", timeout=datetime.timedelta(minutes=5)))
    before = signal.signal(signal.SIGTERM, _end)
    try:
        if cuda and local >= torch.cuda.device_count():
            found = torch.cuda.device_count()
            raise UserError(f"torchrun: process {local} of this machine has no GPU; expected at most {found} processes")
        if cuda:
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE, rank=rank, world_size=world, store=store)
        with contextlib.ExitStack() as stack:
            if rank:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
                stack.enter_context(contextlib.redirect_stderr(nowhere))
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            yield rank
    except Exception as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it as soon as another process has died
        told = not _first_to_tell(store)
        if rank and not told:
            print(file=sys.stderr)  # the first process may have left a bar without an end
        if isinstance(error, UserError) and not told:
            raise
        if told and (isinstance(error, UserError) or is_lost(error)):
            sys.exit(2)
        if is_lost(error):
            raise UserError(f"one of {world} processes has died; expected all to live") from error
        raise
    else:
        dist.destroy_process_group()
        signal.signal(signal.SIGTERM, before)


def check_all_read_the_same(split: dict[str, object], device: torch.device) -> None:
    """Raises ``UserError`` unless all processes read the same images, by name and content."""
    if across.count() == 1:
        return
    digest = hashlib.sha256(json.dumps(split, sort_keys=True, default=str).encode()).digest()
    every = across.stacked(torch.tensor(list(digest), device=device))
    for rank, other in enumerate(every):
        if not torch.equal(other, every[0]):
            raise UserError(f"data: process {rank} has other images than process 0; expected the same on each machine")


def share_progress(done: int, optimizer: torch.optim.Optimizer, device: torch.device) -> int:
    """Number of finished epochs and state of ``optimizer`` as the first process has them; it alone reads the file."""
    if across.count() == 1:
        return done
    epochs = torch.tensor(done, device=device)
    across.first_decides(epochs)
    if int(epochs):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                state = optimizer.state[parameter]
                state.setdefault("step", torch.zeros((), device=device if group["fused"] else "cpu"))
                for key in ("exp_avg", "exp_avg_sq"):
                    state.setdefault(key, torch.zeros_like(parameter))
                step = state["step"].to(device)
                across.first_decides(step, state["exp_avg"], state["exp_avg_sq"])
                state["step"].copy_(step)
    return int(epochs)


def wrapped(model: nn.Module) -> nn.Module:
    """``model`` so that a backward pass averages the gradients of all processes; itself where there is only one.

    Wrapping gives every process the weights and buffers of the first.
    """
    if across.count() == 1:
        return model
    # the second is the option's name in older versions of torch
    known = inspect.signature(DistributedDataParallel).parameters
    each_step = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {"gradient_as_bucket_view": True, each_step: False}
    return DistributedDataParallel(model, **options)
