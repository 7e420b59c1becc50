"""Put finished video runs side by side: results.json (numbers, dates, commands) and the scores of their test frames.

    python scripts/collect_video_runs.py --runs '[runs/pred_0, runs/pred_1]' --out figures/ped2 --overwrite

Numbers only: nothing of a frame is copied. A folder that is not empty needs --overwrite; files of the same name are
then replaced, others stay. scripts/make_figures.py --only ped2 draws the curves.
"""

from figures.config import CollectConfig
from mnad.run.cli import run


def main(config: CollectConfig) -> None:
    """Collect."""
    from figures.video_runs import collect_runs

    collect_runs(config)


if __name__ == "__main__":
    run(main, CollectConfig, __doc__)
