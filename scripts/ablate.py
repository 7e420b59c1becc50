"""Regenerate the ablation table: every step from plain MNAD to the shipped score, over seeds.

Finished runs are kept and read again, so an interrupted table resumes where it stopped.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import baselines
from baselines.config import TrainWithBaselines
from mnad.run import UserError
from mnad.run.cli import parse, run


@dataclass
class AblateConfig:
    """What to run.

    Args:
        data: folder of photographs or videos; none is the synthetic default.
        configs: training configurations; each is trained once for every seed.
        seeds: how many seeds, counted from 0.
        out: folder of the runs and of the table; one that holds anything else is refused.
    """

    data: Path | None = None
    configs: list[Path] = field(default_factory=lambda: [Path("configs/ablation.yaml")])
    seeds: int = 3
    out: Path = Path("runs/ablation")


def main(config: AblateConfig) -> None:
    """Run, tabulate, draw.

    Raises:
        UserError: two configurations whose files have the same name, which names their rows and folders; ``out`` holds
            something else.
    """
    from mnad.experiment import run_seeds
    from mnad.report.seeds import plot_ablation, summarise, to_markdown
    from mnad.run.files import open_run_folder, write_csv, write_json, write_text
    from mnad.run.settings import plain

    baselines.register()
    stems = [path.stem for path in config.configs]
    if len(set(stems)) < len(stems):
        raise UserError(f"--configs: expected files of different names, got {', '.join(map(str, config.configs))}")
    configs: dict[str, TrainWithBaselines] = {
        path.stem: replace(parse(TrainWithBaselines, ["--config", str(path)]), data=config.data)
        for path in config.configs
    }
    open_run_folder(config.out, overwrite=False, resume=True, mark="configs")
    write_json(config.out / "config.json", plain(config))
    runs = run_seeds(configs, range(config.seeds), config.out)
    table = summarise(runs)
    write_csv(config.out / "ablation_runs.csv", runs)
    write_csv(config.out / "ablation.csv", table)
    write_text(config.out / "ablation.md", to_markdown(table))
    plot_ablation(config.out / "ablation.png", table)
    print(to_markdown(table))


if __name__ == "__main__":
    run(main, AblateConfig, __doc__)
