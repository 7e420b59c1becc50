"""Train MNAD on normal images, choose its threshold, judge it on the test folder.

With no arguments: synthetic wells drawn by the project, a run folder under runs/.
"""

import baselines
from baselines.config import TrainWithBaselines
from mnad.run.cli import run


def main(config: TrainWithBaselines) -> None:
    """Train and judge."""
    from mnad.experiment import run_experiment

    baselines.register()
    run_experiment(config)


if __name__ == "__main__":
    run(main, TrainWithBaselines, __doc__)
