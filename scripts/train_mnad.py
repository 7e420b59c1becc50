"""Train MNAD on normal wells, choose its threshold, judge it on the test folder.

With no arguments: synthetic wells drawn by the project, a run folder under runs/.
"""

from mnad.cli import run
from mnad.config import TrainConfig
from mnad.experiment import run_experiment

if __name__ == "__main__":
    run(run_experiment, TrainConfig, __doc__)
