"""``scripts/score.py --ray``: an archive scored by Ray Data, on this machine or on many.

What is scored and written is that of :mod:`mnad.line.archive`; which worker does what and what is done again after one
has died is Ray's. Only the numbers of partitions travel through it.
"""

import hashlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from mnad.config import ScorePrecision
from mnad.data.paths import PassedOver
from mnad.detector import Detector
from mnad.line.archive import Archive
from mnad.line.archive_record import CHECKPOINT, check_folder, listed, open_archive
from mnad.line.boxes import Box, read_boxes
from mnad.line.command import threshold_line
from mnad.line.screen import screen
from mnad.run import UserError, not_installed, one_line
from mnad.run.checkpoint import find_checkpoint
from mnad.run.files import write_bytes
from mnad.run.folders import locked, sweep
from mnad.run.streams import printable

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Ray Data's actors print an "error" of no meaning
try:
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise not_installed("ray", "ray", "cluster") from error

ADDED = "Failed to apply UDF transform"  # begins what Ray Data writes behind the message of a worker


class Options(Protocol):
    """See ``scripts/score.py``."""

    paths: list[str]
    checkpoint: Path
    boxes: Path | None
    ray: str | None
    out: Path | None
    partition: int
    top: int
    workers: int | None
    device: str
    precision: ScorePrecision


@dataclass
class Scorer:
    """One worker: a detector in one thread, or on one GPU.

    Args:
        archive: whose partitions it scores, with the archive's own copy of the checkpoint.
        place: folder that relative paths begin at.
        boxes: wells to cut out of each picture.
        precision: of the convolutions.
        device: auto, cpu or cuda.
        register: called first, makes further models known.
    """

    archive: Archive
    place: Path
    boxes: Sequence[Box]
    precision: ScorePrecision
    device: str
    register: Callable[[], None]

    @cached_property
    def detector(self) -> Detector:
        """Loaded with the first partition, whose errors reach the user in one line."""
        self.register()
        try:
            os.chdir(self.place)
        except OSError as error:
            raise UserError(
                f"{self.place}: is not there on {socket.gethostname()} ({error.strerror}); expected the folder that "
                f"the command is called in on every machine of the cluster"
            ) from error
        return Detector.load(self.archive.folder / CHECKPOINT).to(self.device).use(self.precision)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Score the partitions ``part``; gives ``files``, how many each of them had."""
        parts = batch["part"].tolist()
        for part in parts:
            self.archive.score(self.detector, part, self.boxes)
        return {"files": np.array([self.archive.size(part) for part in parts])}


@contextmanager
def connected(address: str, workers: int | None) -> Iterator[None]:
    """Ray, until the block ends: ``auto`` finds the cluster that runs here, ``local`` starts one of ``workers`` cores.

    Raises:
        UserError: there is none, or it does not answer.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address == "local":
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except ConnectionError as error:
        if address == "auto":
            raise UserError(
                "ray: no cluster is running here; expected one (ray start --head), the address of one, or --ray local"
            ) from error
        raise UserError(f"ray: {address} does not answer ({one_line(error)[:200]}); expected HOST:PORT") from error
    except (ValueError, RuntimeError) as error:
        raise UserError(f"ray: {address}: {one_line(error)[:300]}; expected auto, local or HOST:PORT") from error
    try:
        yield
    finally:
        ray.shutdown()


def users_error(error: BaseException) -> UserError | None:
    """What a worker has refused, without what Ray says around it; None for anything else."""
    while isinstance(error, RayTaskError):
        error = error.cause
    return UserError(str(error).partition(ADDED)[0].rstrip()) if isinstance(error, UserError) else None


def score_partitions(archive: Archive, left: list[int], scorer: dict[str, Any], workers: int | None) -> None:
    """Score the partitions ``left``, each by one of the workers that Ray runs: a worker that dies is started again, and
    so is what it was at (Ray Data's defaults, without a limit; :data:`mnad.line.archive.MOST` is one).

    Args:
        scorer: arguments of :class:`Scorer`.
        workers: at the same time; None has as many as the cluster gives.

    Raises:
        UserError: what a worker refuses, or a cluster that is lost.
    """
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.raise_original_map_exception = True
    pool = ActorPoolStrategy(size=workers) if workers else ActorPoolStrategy(min_size=1)
    rows = ray.data.from_items([{"part": part} for part in left], override_num_blocks=len(left)).map_batches(
        Scorer,
        batch_size=1,
        compute=pool,
        fn_constructor_kwargs=scorer,
        num_cpus=1,
        num_gpus=1 if scorer["device"] == "cuda" else None,
    )
    done = archive.files - sum(map(archive.size, left))
    try:
        with tqdm(desc="score", total=archive.files, initial=done, unit=" files", mininterval=0.5, leave=False) as bar:
            for row in rows.iter_rows():
                bar.update(int(row["files"]))
    except RayError as error:
        refused = users_error(error)
        if refused is not None:
            raise refused from error
        if isinstance(error, RayTaskError):  # a mistake of ours
            raise
        raise UserError(
            f"ray: {one_line(error)[:300]}; expected a cluster that lasts; finished partitions stay in "
            f"{archive.folder}, and the same command goes on"
        ) from error


def score_archive(config: Options, register: Callable[[], None]) -> int:
    """Score all of ``config.paths`` into ``config.out``; returns the exit status, which is that of all partitions,
    those of earlier calls among them.

    Args:
        register: makes further models known; called in each worker.

    Raises:
        UserError: anything wrong with checkpoint, boxes, folder or cluster, told before anything is scored; what a
            worker refuses later.
    """
    check_folder(config.out)
    path = find_checkpoint(config.checkpoint)
    detector = Detector.load(path).use(config.precision)
    detector.check_calibrated()
    detector.check_photographs()
    if detector.new_pasts():
        raise UserError(f"{path}: its score follows a camera; expected one that judges each photograph by itself")
    boxes = read_boxes(config.boxes) if config.boxes else []
    checkpoint, passed = path.read_bytes(), PassedOver()
    settings = {
        "checkpoint": hashlib.sha256(checkpoint).hexdigest()[:16],
        "precision": detector.precision,
        "boxes": [asdict(box) for box in boxes],
    }
    with locked(config.out):
        files = listed(config.paths, passed)
        archive = open_archive(config.out.absolute(), files, settings, config.partition)
        left = archive.left()
        if left:
            write_bytes(archive.folder / CHECKPOINT, checkpoint)
            scorer = {"archive": archive, "place": Path.cwd(), "boxes": boxes, "precision": detector.precision}
            scorer |= {"device": config.device, "register": register}
            with connected(config.ray, config.workers):
                score_partitions(archive, left, scorer, config.workers)
            sweep(archive.folder)  # what a killed worker was writing
        summary, again = archive.summary(config.top)
    for line in screen(summary, config.top):
        print(line)
    print(f"{len(left)} of {archive.parts} partitions scored; {threshold_line(detector)}")
    if detector.precision == "bfloat16":
        print(again)
    for line in passed.lines():
        print(printable(line))
    print(config.out)
    return summary.status
