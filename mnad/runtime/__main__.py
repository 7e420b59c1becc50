"""Verdicts on photographs by an exported detector, without torch.

PATH: files, folders (with all below them), patterns, films, or - for a list on standard input.
Exit status 0: all is normal, 1: something is anomalous, 2: nothing could be scored, 3: some could not.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from mnad.data.paths import PassedOver
from mnad.line.cuts import Wanted
from mnad.line.scoring import Scored, score
from mnad.line.screen import per_second, screen
from mnad.line.sources import shots
from mnad.line.summary import Summary
from mnad.run import UserError, one_line
from mnad.run.streams import plain_streams, printable
from mnad.run.verdict_table import check_tables, open_tables
from mnad.runtime.model import Backend, Model, Precision

EVERY = 0.5  # seconds between two lines of progress


def build_parser() -> argparse.ArgumentParser:
    """The command line; argparse, so that the runtime needs no further package."""
    parser = argparse.ArgumentParser(
        prog="python -m mnad.runtime",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="file of scripts/export.py")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="what to score")
    parser.add_argument("--csv", type=Path, help="file for a row of each picture; only an earlier result is replaced")
    parser.add_argument("--json", type=Path, help="the same as JSON")
    parser.add_argument("--top", type=int, default=20, help="rows shown on the screen, the worst (default: 20)")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode; 0: none (default: 2)")
    parser.add_argument("--backend", choices=get_args(Backend), default="onnxruntime", help="what runs the model")
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="float32",
        help="bfloat16: with openvino, where the processor has it",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of the model (default: 1)")
    return parser


def progress(scored: Iterable[Scored]) -> Iterator[Scored]:
    """``scored``, with their number and rate on the terminal."""
    shown = sys.stderr.isatty()
    started = last = time.perf_counter()
    for number, one in enumerate(scored, 1):
        yield one
        now = time.perf_counter()
        if shown and now - last > EVERY:
            last = now
            print(f"\r{number:,} pictures, {per_second(number, now - started)}", end="", file=sys.stderr, flush=True)
    if shown and last != started:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def score_all(options: argparse.Namespace) -> int:
    """Score all of ``options.paths``, write the tables, print the worst; returns the exit status.

    Raises:
        UserError: anything wrong with the model or the files to write, told before anything is scored.
    """
    for name, least in (("top", 0), ("workers", 0), ("threads", 1)):
        if getattr(options, name) < least:
            raise UserError(f"{name}: expected {least} or more, got {getattr(options, name)}")
    check_tables(options.csv, options.json)
    model = Model(options.model, options.backend, options.precision, options.threads)
    summary, passed = Summary(0, options.top), PassedOver()
    started = time.perf_counter()
    with open_tables(options.csv, options.json, model.terms) as writers:
        for one in progress(score(model, shots(options.paths, passed), Wanted(workers=options.workers))):
            for writer in writers:
                writer.write(one.verdict)
            summary.add(one.verdict, early=one.early)
    seconds = time.perf_counter() - started
    for line in screen(summary, options.top):
        print(line)
    print(f"{seconds:.1f} s, {per_second(summary.total, seconds)}; threshold {model.threshold:.4g}")
    for line in passed.lines():
        print(printable(line))
    for path in filter(None, (options.csv, options.json)):
        print(path)
    if not summary.total:
        raise UserError(f"{printable(', '.join(options.paths[:3]))}: no image; expected at least one")
    return summary.status


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; a ``UserError`` is one line and exit status 2."""
    options = build_parser().parse_intermixed_args(argv)
    with plain_streams():
        try:
            return score_all(options)
        except UserError as error:
            print(f"error: {printable(one_line(error))}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130


if __name__ == "__main__":
    sys.exit(main())
