"""Train configurations over seeds and tabulate them: the ablation, or a sweep with --grid.

Finished runs are kept and read again, so an interrupted table resumes where it stopped. A sweep:
python scripts/ablate.py --configs configs/wells.yaml --grid 'model.items=[2,20]' --data DIR --out runs/items
"""

from dataclasses import dataclass, field
from pathlib import Path

import baselines
from baselines.config import TrainWithBaselines
from mnad.run.cli import run


@dataclass
class AblateConfig:
    """What to run.

    Args:
        data: folder of photographs or videos; none is the synthetic default.
        configs: training configurations, one or a list; each is trained once for every seed.
        grid: KEY=[VALUE,VALUE...], one or a list; each configuration is also trained with every combination of these
            values, a row of the table each.
        seeds: how many seeds, counted from 0.
        out: folder of the runs and of the table; one that holds anything else is refused.
    """

    data: Path | None = None
    configs: Path | list[Path] = field(default_factory=lambda: [Path("configs/ablation.yaml")])
    grid: str | list[str] = field(default_factory=list)
    seeds: int = 3
    out: Path = Path("runs/ablation")


def main(config: AblateConfig) -> None:
    """Run, tabulate, draw.

    Raises:
        UserError: see :func:`mnad.study.sweep.variants`; ``out`` holds something else.
    """
    from mnad.experiment import run_seeds
    from mnad.report.seeds import plot_ablation, summarise, to_markdown
    from mnad.run.files import write_csv, write_json, write_text
    from mnad.run.folders import open_run_folder
    from mnad.run.settings import plain
    from mnad.study.sweep import demand, variants

    baselines.register()
    configs = variants(TrainWithBaselines, config.configs, config.grid, config.data)
    open_run_folder(config.out, overwrite=False, resume=True, mark="configs")
    write_json(config.out / "config.json", plain(config))
    runs = run_seeds(configs, range(config.seeds), config.out)
    table = summarise(runs)
    write_csv(config.out / "ablation_runs.csv", runs)
    write_csv(config.out / "ablation.csv", table)
    write_text(config.out / "ablation.md", to_markdown(table))
    plot_ablation(config.out / "ablation.png", table, demand(configs.values()))
    print(to_markdown(table))


if __name__ == "__main__":
    run(main, AblateConfig, __doc__)
