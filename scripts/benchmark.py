"""Measure the speed of training and scoring on this machine, beside what its matrix multiplication can do.

train: steps of the real training loop, and of a straightforward one in turn; score: from JPEG files to verdicts;
growth: what more images, pixels, channels, items and threads cost.
"""

from mnad.benchmark.config import BenchmarkConfig
from mnad.run.cli import run


def main(config: BenchmarkConfig) -> None:
    """Measure, print, save."""
    from mnad.benchmark.run import benchmark

    benchmark(config)


if __name__ == "__main__":
    run(main, BenchmarkConfig, __doc__)
