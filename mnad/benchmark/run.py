"""Measure what is asked for, print it as tables, store it."""

from typing import Any

import torch

from mnad.benchmark import scoring
from mnad.benchmark.config import BenchmarkConfig
from mnad.benchmark.growth import measure_growth
from mnad.benchmark.measure import processor
from mnad.benchmark.training import PIECES, measure_training
from mnad.model.build import choose_device
from mnad.run.files import check_replaceable, write_json
from mnad.run.provenance import provenance
from mnad.run.settings import settings

MARK = '{\n  "benchmark": '  # how the file begins


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(value: dict[str, float]) -> str:
    """Median and both extremes."""
    return f"{number(value['median'])} ({number(value['low'])} to {number(value['high'])})"


def training_lines(found: dict[str, Any]) -> list[str]:
    """The training part as text."""
    peaks = ", ".join(f"{name} {number(value)}" for name, value in found["matmul_gflops"].items())
    lines = [f"matrix multiplication, GFLOP/s: {peaks}"]
    if found["start_seconds"] is not None:
        lines.append(f"data open after {found['start_seconds']:.1f} s")
    lines.append(f"{'training':<25}{'images/s':<28}{'x straightforward':<24}{'GFLOP/s':>8}{'of peak':>9}{'MB':>8}")
    for name, row in found["rows"].items():
        speed, faster = spread(row["images_per_second"]), spread(row["times_straightforward"])
        rest = f"{number(row['gflops']):>8}{row['share_of_peak']:>9.0%}{number(row['peak_memory_mb']):>8}"
        lines.append(f"{name:<25}{speed:<28}{faster:<24}{rest}")
    lines.append(f"{'ms of a step':<25}" + "".join(f"{piece:>11}" for piece in (*PIECES, "total")))
    for name, row in found["rows"].items():
        pieces = row["milliseconds_of_a_step"]
        if pieces:
            lines.append(f"{name:<25}" + "".join(f"{number(value):>11}" for value in pieces.values()))
    return lines


def scoring_lines(found: dict[str, Any]) -> list[str]:
    """The scoring part as text."""
    peaks = ", ".join(f"{name} {number(value)}" for name, value in found["matmul_gflops"].items())
    lines = [f"matrix multiplication, GFLOP/s: {peaks}"]
    lines.append(
        f"{'scoring':<33}{'images/s':<28}{'CPU ms':>7}{'GFLOP/s':>8}{'of peak':>9}{'MB':>8}{'MB, twice as many':>19}"
    )
    for name, row in found["rows"].items():
        rest = f"{number(row['gflops']):>8}{row['share_of_peak']:>9.0%}"
        if "peak_memory_mb" in row:
            rest += f"{number(row['peak_memory_mb']):>8}{number(row['peak_memory_mb_of_twice_as_many']):>19}"
        cpu = number(row["processor_milliseconds_of_an_image"])
        lines.append(f"{name:<33}{spread(row['images_per_second']):<28}{cpu:>7}{rest}")
    lines.append(f"{'ms of an image, one thread':<33}" + "".join(f"{piece:>9}" for piece in scoring.PIECES))
    for name, row in found["rows"].items():
        if "milliseconds_of_an_image" in row:
            values = row["milliseconds_of_an_image"].values()
            lines.append(f"{name:<33}" + "".join(f"{number(value):>9}" for value in values))
    for name, row in found["rows"].items():
        if row.get("other_verdicts") is not None and name != "float32":
            lines.append(
                f"{name}: {row['other_verdicts']} of {row['photographs']} verdicts differ from the first row's"
            )
    return lines


def growth_lines(found: dict[str, Any]) -> list[str]:
    """The growth part as text."""
    lines = []
    for name, row in found.items():
        points = ", ".join(f"{number(x)}: {number(y)}" for x, y in zip(row["x"], row["y"], strict=True))
        power = "" if row["exponent"] is None else f"; exponent {row['exponent']:.2f}"
        memory = ", ".join(map(number, row.get("peak_memory_mb", [])))
        lines.append(f"{name:<9}{row['unit']}: {points}{power}{f'; peak memory {memory} MB' if memory else ''}")
    return lines


def benchmark(config: BenchmarkConfig) -> dict[str, Any]:
    """Measure ``config.parts``, print them, write ``config.json``; returns what it holds.

    Raises:
        UserError: no such device, data that cannot be read, or a file that cannot be written.
    """
    if config.json:
        check_replaceable(config.json, MARK)
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    found: dict[str, Any] = {"benchmark": config.parts, "processor": processor(device)}
    found |= {"threads": torch.get_num_threads()}
    print(f"{found['processor']}, {found['threads']} threads")
    if "train" in config.parts:
        found["train"] = measure_training(config, device)
        print("\n".join(training_lines(found["train"])))
    if "score" in config.parts:
        found["score"] = scoring.measure_scoring(config, device)
        print("\n".join(scoring_lines(found["score"])))
    if "growth" in config.parts:
        found["growth"] = measure_growth(config, device)
        print("\n".join(growth_lines(found["growth"])))
    found |= {"config": settings(config), "provenance": provenance()}
    if config.json:
        write_json(config.json, found)
        print(config.json)
    return found
