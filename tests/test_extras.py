"""Without an extra: what needs it names it in one line, and the rest imports and scores."""

import subprocess
import sys
from pathlib import Path

import pytest
from extras import HIDE, MODULES, extras
from helpers import ROOT, tiny_config

from mnad.experiment import run_experiment
from mnad.run import NotInstalled


def avatars(folder: Path) -> None:
    from bayes import StyleGenerator, render
    from styles import styles, styles_count

    (row,) = StyleGenerator(random_state=0).fit(styles, styles_count).sample(1)[list(styles)].to_dict("records")
    render(row)


def pretrained(folder: Path) -> None:
    from mnad.model.efficientnet import load_pretrained

    load_pretrained()


def export(folder: Path) -> None:
    from mnad.run.cli import parse
    from scripts.export import ExportConfig, main

    main(parse(ExportConfig, ["--checkpoint=synthetic", "--out", str(folder / "model.onnx")]))


def runtime(folder: Path) -> None:
    from mnad.runtime import Model

    Model(folder / "model.onnx")


def openvino(folder: Path) -> None:
    from mnad.runtime import Model

    Model(folder / "model.onnx", backend="openvino")


def data(folder: Path) -> None:
    from mnad.data.fetch import download

    download("https://drive.google.com/file/d/1", folder / "archive")


def watch(folder: Path) -> None:
    import threading

    from mnad.line.watch import changed_files

    next(changed_files(folder, threading.Event()))


def mqtt(folder: Path) -> None:
    from mnad.line.alerts import mqtt_sender

    mqtt_sender("localhost/wells")


def metrics(folder: Path) -> None:
    from mnad.line.watch_command import metrics_counter

    metrics_counter(9)


def server(folder: Path) -> None:
    from scripts.serve import ServeConfig, main

    main(ServeConfig())


def cluster(folder: Path) -> None:
    from scripts.score import ScoreConfig, main

    main(ScoreConfig(paths=["x.jpg"], ray="local", out=folder / "out"))


def tensorboard(folder: Path) -> None:
    run_experiment(tiny_config(data=folder, out=folder / "run", log="tensorboard"))


NEEDS = [avatars, pretrained, export, runtime, openvino, data, watch, mqtt, metrics, server, cluster, tensorboard]


def test_every_extra_is_looked_at() -> None:
    assert {need.__name__ for need in NEEDS} == set(extras()) == set(MODULES)


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.__name__)
def test_a_missing_extra_is_named(need, tmp_path, monkeypatch) -> None:
    extra = need.__name__
    monkeypatch.syspath_prepend(str(ROOT))
    for name in MODULES[extra]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith(("mnad.line.", "mnad.export."))]:
        monkeypatch.delitem(sys.modules, name)  # they import the extra when they are imported
    (tmp_path / "model.onnx").write_bytes(b"") if extra != "export" else None
    with pytest.raises(
        NotInstalled, match=rf" is not installed; expected pip install 'mnad-wells\[{extra}\]'$"
    ) as said:
        need(tmp_path)
    assert "\n" not in str(said.value)


def test_without_any_extra_it_scores(tiny_wells: Path, tmp_path: Path) -> None:
    """Photographs in, table and page out, in a program that has none of the optional packages."""
    script = ROOT / "scripts" / "score.py"
    code = f"{HIDE}import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    words = [str(tiny_wells / "test" / "imgs"), "--csv", "v.csv", "--report", "r.html"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 29 and (tmp_path / "r.html").is_file()
