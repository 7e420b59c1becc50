"""Put finished video runs side by side: results.json (numbers, dates, commands) and the scores of their test frames.

    python scripts/collect_video_runs.py --runs '[runs/pred_0, runs/pred_1]' --out figures/ped2 --overwrite

Numbers only: nothing of a frame is copied. A folder that is not empty needs --overwrite; files of the same name are
then replaced, others stay. scripts/make_figures.py --only ped2 draws the curves.
"""

from mnad.cli import run
from mnad.video_runs import CollectConfig, collect_runs

if __name__ == "__main__":
    run(collect_runs, CollectConfig, __doc__)
