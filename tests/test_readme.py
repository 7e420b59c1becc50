"""Every command and snippet that the READMEs print works as printed; only sizes and folders are made tiny."""

import itertools
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import ROOT, TINY
from video_data import SIZE, walk, write_avi, write_dataset

DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
READMES = ("README.md", "README.ru.md", "checkpoints/README.md", "CONTRIBUTING.md", *DOCS)
VIDEO = [*TINY[:3], f"--images.height={SIZE[0]}", f"--images.width={SIZE[1]}", "--optim.threads=1"]
QUICK = {  # what is added to each command to make it tiny
    "train_mnad": TINY,
    "compare_baselines": [*TINY, "--methods=[mnad,conv_ae,mean_image]", "--resamples=20"],
    "ablate": ["--configs=steps.yaml", "--seeds=1"],
    "visualize_latent": ["--images=40", "--queries=60", "--reads=10", "--perplexity=5", "--page=false", "--threads=1"],
    "make_figures": ["--only=histograms"],
    "robustness": ['--changes=["mirror"]'],
    "study_memory": ["--help"],
    "export": ["--help"],
    "benchmark": ["--help"],
}
ENDLESS = ("serve", "benchmark_server")  # tests/line runs them
# never ends, or starts Ray (tests/line), or needs more images than are here (tests/scripts)
ELSEWHERE = ("--watch", "--ray", "--recent", "scans")
STEPS = (
    "compare: []\nmodel: {width: 4, item_dim: 16}\noptim: {epochs: 1, threads: 1}\n"
    "scores:\n  wells: {terms: [{name: wall_hue}, {name: glitter}], normalise: spread, combine: max}\n"
)


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """``python scripts/...`` lines of all READMEs in order, each once."""
    lines = (
        line for name in READMES for block in blocks(name, "sh") for line in block.replace("\\\n", " ").split("\n")
    )
    wanted = (line.partition("#")[0].strip() for line in lines)
    found = list(dict.fromkeys(line for line in wanted if line.startswith("python scripts/")))
    found = [line for line in found if not any(word in line for word in ELSEWHERE)]
    return [line for line in found if Path(line.split()[1]).stem not in ENDLESS]


@pytest.fixture(scope="module")
def home(tiny_wells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository from a command's point of view, with data, kept for all commands."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("configs", "checkpoints", "avatars", "figures", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "wells").symlink_to(tiny_wells)
    shutil.make_archive(str(folder / "wells"), "zip", tiny_wells)
    write_dataset(folder / "videos")
    write_avi(folder / "film.avi", walk(9, 1, 0))
    (folder / "film.avi").rename(folder / "film.mp4")  # OpenCV looks into the file
    (folder / "steps.yaml").write_text(STEPS)
    for name, part in (
        ("photographs", "test/imgs"),
        ("more", "proliv"),
        ("our/spills", "proliv"),
        ("our/good", "train"),
    ):
        shutil.copytree(tiny_wells / part, folder / name)
    (folder / "recent").mkdir()
    paths = sorted((tiny_wells / "test/imgs").iterdir())
    for i in range(100):  # calibrate.py needs so many
        shutil.copy(paths[i % len(paths)], folder / "recent" / f"{i}.jpg")
    return folder


def test_there_are_commands() -> None:
    named = {re.search(r"scripts/(\w+)", command)[1] for command in commands()}
    assert named >= {"train_mnad", "evaluate", "compare_baselines", "visualize_latent", "generate_styles", "get_data"}


def quick_or_slow(command: str) -> object:
    """Maps take half a minute, and tests/latent draws the same ones quickly."""
    return pytest.param(command, marks=pytest.mark.slow) if "visualize_latent" in command else command


@pytest.mark.parametrize("command", map(quick_or_slow, commands()), ids=lambda command: "_".join(command.split()[1:4]))
def test_command(command: str, home: Path, script: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    words = shlex.split(command)
    name = Path(words[1]).stem
    video = "ped2" in command
    stand_in = {"DIR": "videos" if video else "wells", "LINK OF THE COURSE": "wells.zip", "PATH...": "wells/test/imgs"}
    arguments = [stand_in.get(word, word) for word in words[2:]]
    if name == "train_mnad" and video:
        arguments += [*VIDEO, "--optim.epochs=1"]
    elif "--help" not in arguments:
        arguments += QUICK.get(name, [])
    if name == "visualize_latent" and "--data" not in arguments:
        arguments += ["--data", "wells"]  # instead of 1,200 drawn ones
    for option, value in itertools.pairwise(arguments):  # what an earlier command wrote
        if option in ("--out", "--figure", "--overlay") and Path(value).is_file():
            Path(value).unlink()
    allowed = (0, 1) if name == "score" else (0,)  # 1: something is anomalous
    assert script(name, *arguments) in allowed


@pytest.mark.parametrize("name", [name for name in READMES if blocks(name, "python")])
def test_python_snippets(
    name: str, tiny_wells: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """They run one after the other, and what the comment behind a print promises is printed."""
    if name == "docs/export.md":
        pytest.skip("needs an exported file: tests/export runs one")
    if name == "docs/bayes.md":
        pytest.importorskip("resvg_py")
    monkeypatch.chdir(ROOT)
    code = "".join(blocks(name, "python"))
    paths = sorted((tiny_wells / "train").iterdir())
    exec(compile(code, name, "exec"), {"paths": paths, "first_200_normals_of_the_line": paths, "wells": tiny_wells})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"print\(.*\)\s+# (.+)", code)
    assert set(promised) <= set(printed)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1300


@pytest.mark.parametrize("name", READMES)
def test_links(name: str) -> None:
    """Every relative link of a README leads to a file."""
    folder = (ROOT / name).parent
    links = re.findall(r"\]\((?!http)([^)#\s]+)", (ROOT / name).read_text())
    assert [link for link in links if not (folder / link).exists()] == []
