"""Configuration files and options: what cannot be meant is one line."""

import math
import sys
from pathlib import Path

import pytest
from cases import some
from helpers import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baselines.config import CompareConfig, TrainWithBaselines
from mnad.experiment import check_models
from mnad.latent.config import LatentConfig
from mnad.run import UserError
from mnad.run.cli import parse

DEEP = "model: " + "[" * 3000 + "]" * 3000
BAD = {
    "group is a list": ("model: [1]", "model: expected options of its own"),
    "group is null": ("optim: null", "optim: expected options of its own"),
    "choice is null": ("model: {variant: null}", "model.variant: expected a value, got null"),
    "table is null": ("optim: {loss_weights: null}", "optim.loss_weights: expected a value, got null"),
    "group is a number": ("images: 5", "images: expected options of its own"),
    "group is a truth": ("threshold: true", "threshold: expected options of its own"),
    "group is a word": ("model: text", "text"),
    "group inside": ("layout_options: []", "layout_options: expected options of its own"),
    "latin-1": (b"primary: caf\xe9\n", "bad.yaml: is no UTF-8"),
    "UTF-16": ("seed: 3".encode("utf-16"), "bad.yaml: is no UTF-8"),
    "zero bytes": (b"\x00\x01\x02", "bad.yaml: Problems parsing config"),
    "nothing": ("", "bad.yaml: Unexpected config"),
    "a list": ("[1, 2]", "bad.yaml: Unexpected config"),
    "a word": ("wells", "bad.yaml"),
    "two documents": ("--- 1\n--- 2", "single document"),
    "tab": ("model:\n\twidth: 3", "bad.yaml: Problems parsing config"),
    "nested without measure": (DEEP, "nesting depth"),
    "an unhashable key": ("? [1, 2]\n: 3", "unhashable key"),
    "a key of nothing": ("? ~\n: 3", "Key must be a string"),
    "a key of a number": ("model: {1: 2}", "Key must be a string"),
    "an unknown key": ("wideness: 3", "wideness"),
    "an object of Python": ("model: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    "a class": ("model: {class_path: os.system, init_args: {}}", "os.system"),
    "circle": ("model: &m\n  width: 8\n  more: *m", "more than 100000 values"),
    "itself": ("config: bad.yaml", "Config file loop"),
    "5,000 digits": ("seed: " + "9" * 5000, "digits"),
    "30 digits": ("seed: " + "9" * 30, "seed: expected at most 4294967295"),
    "seed below 0": ("seed: -1", "seed: expected 0 or more"),
    "seed of a layout": ("layout_options: {seed: -1}", "layout_options.seed: expected 0 or more"),
    "threads": ("optim: {threads: 100000}", "optim.threads: expected at most"),
    "members": ("members: 1000000", "members: expected at most 100, got 1000000"),
    "size": ("images: {height: 8000000, width: 8000000}", "expected at most 16,777,216 pixels"),
    "size below 0": ("images: {height: -8}", "images.height: expected a positive multiple of 8"),
    "memory below 0": ("images: {memory_gb: -1}", "images.memory_gb: expected 0 or more"),
    "memory that is none": ("images: {memory_gb: .nan}", "images.memory_gb: expected 0 or more, got nan"),
    "a rate that is none": ("optim: {learning_rate: .nan}", "optim.learning_rate: expected a number above 0"),
    "an infinite rate": ("optim: {learning_rate: .inf}", "optim.learning_rate: expected a number above 0"),
    "a weight that is none": ("optim: {loss_weights: {compactness: .nan}}", "expected a finite number, got nan"),
    "a float for an int": ("optim: {epochs: 1.5}", "optim.epochs"),
    "a truth for an int": ("optim: {epochs: true}", "optim.epochs"),
    "width that is none": ("model: {width: .nan}", "model.width"),
    "width below 1": ("model: {width: 0}", "model.width: expected at least 1"),
    "temperature 0": ("model: {temperature: 0}", "model.temperature: expected a number above 0"),
    "quantile": ("threshold: {normal_quantile: 2}", "threshold.normal_quantile: expected a number from 0 to 1"),
    "rule": ("threshold: {rule: best}", "threshold.rule"),
    "no terms": ("scores: {mine: {terms: []}}\nprimary: mine", "score: no terms; expected at least one"),
    "scores of numbers": ("scores: {mine: 3}\nprimary: mine", "scores"),
    "scores that are a list": ("scores: []", "scores"),
    "primary that is not there": ("primary: best", "primary: expected one of"),
    "a term's quantile": ("scores: {a: {terms: [{name: psnr, high: 0.1}]}}\nprimary: a", "high 0.1; expected"),
    "families": ("calibration: {changes: [rain]}", "calibration.changes: expected some of"),
    "no path": ("data: [1]", "data"),
}


@pytest.mark.parametrize("case", some(BAD))
def test_a_bad_configuration_is_one_line(tmp_path, monkeypatch, case):
    text, words = BAD[case]
    path = tmp_path / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        parse(TrainWithBaselines, ["--config", "bad.yaml"])
    assert words in str(error.value) and "\n" not in str(error.value)


# What only the model can refuse, and the other commands
OPTIONS = {
    "device": (("train_mnad", "--optim.device=meta"), "device: expected auto, cpu or cuda, got 'meta'"),
    "no device": (("train_mnad", "--optim.device=warp:9"), "device: 'warp:9' is not available"),
    "width of terabytes": (("train_mnad", "--model.width=99999"), "GB, and this machine has"),
    "width beyond 64 bits": (("train_mnad", "--model.width=99999999999"), "takes more than can be counted"),
    "items beyond 64 bits": (("train_mnad", f"--model.items={10**30}"), "takes more than can be counted"),
    "a term's option": (("train_mnad", "--config=term.yaml"), "score term psnr: options {'x': 1.0}"),
    "a term's name": (("train_mnad", "--config=name.yaml"), "score term 'magic': unknown"),
    "a score's name": (("train_mnad", "--config=dot.yaml"), "scores: expected a name of letters"),
    "a loss": (("train_mnad", "--optim.loss_weights={magic: 1}"), "'magic' is no loss term"),
    "a missing file": (("train_mnad", "--config=none.yaml"), "none.yaml"),
    "a folder": (("train_mnad", "--config=."), "is not a file"),
    "a device file": (("train_mnad", "--config=/dev/zero"), "is not a file"),
    "comparison": (("compare_baselines", "--config=latin.yaml"), "latin.yaml: is no UTF-8"),
    "comparison, seeds": (("compare_baselines", "--seeds=0"), "seeds: expected at least 1"),
    "ablation": (("ablate", "--configs=[latin.yaml]"), "latin.yaml: is no UTF-8"),
    "latent, threads": (("visualize_latent", "--threads=100000"), "threads: expected at most"),
    "latent, seed": (("visualize_latent", "--seed=4294967296"), "seed: expected at most 4294967295"),
    "video": (("train_mnad", "--model.variant=pred", "--members=3"), "members: expected 1 for variant pred"),
}


@pytest.mark.parametrize("case", some(OPTIONS))
def test_a_bad_option_is_one_line(sandbox, tmp_path, case):
    (tmp_path / "term.yaml").write_text("scores: {a: {terms: [{name: psnr, options: {x: 1}}]}}\nprimary: a")
    (tmp_path / "name.yaml").write_text("scores: {a: {terms: [{name: magic}]}}\nprimary: a")
    (tmp_path / "dot.yaml").write_text("scores: {a.b: {terms: [{name: psnr}]}}\nprimary: a.b")
    (tmp_path / "latin.yaml").write_bytes(b"primary: caf\xe9\n")
    (script, *words), message = OPTIONS[case]
    sandbox.run(script, *words, cwd=tmp_path).refused(message)
    assert not (tmp_path / "runs").exists()


def test_no_value_names_code_to_import(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('this code ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    texts = "model: {key}", "threshold: {key}", "scores: {{a: {key}}}", "scores: {{a: {{terms: [{key}]}}}}"
    for text in texts:
        for key in ("planted.Thing", "{class_path: planted.Thing}"):
            (tmp_path / "c.yaml").write_text(text.format(key=key))
            with pytest.raises(UserError):
                parse(TrainWithBaselines, ["--config", str(tmp_path / "c.yaml")])
    with pytest.raises(UserError):
        parse(TrainWithBaselines, ["--scores={a: planted.Thing}"])
    assert "planted" not in sys.modules


def test_a_refusal_names_a_file_given_in_either_form(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    for words in (["--config", str(tmp_path / "a.yaml")], [f"--config={tmp_path / 'a.yaml'}"]):
        with pytest.raises(UserError, match=r"a\.yaml: is no UTF-8"):
            parse(TrainWithBaselines, words)


# Any value at any key, any damage to any file

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 7, 8, 2**31, 2**63, 10**30, -0.0, 0.5, 1e308, math.inf, math.nan]),
    st.sampled_from(
        ["", "~", "mnad", "recon", "auto", "-", "\x00", "é", "null", "1e999", "[", "{a: 1}", "!!x", "../.."]
    ),
    st.text(max_size=8),
)
VALUE = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | ODD, inner, max_size=3),
    max_leaves=5,
)


def keys(config_class: type) -> list[str]:
    """Every option by its dotted name."""
    from mnad.run.cli import build_parser

    defaults = build_parser(config_class).get_defaults()
    return [name for name in defaults.keys() if name != "config"]  # noqa: SIM118 - not a dict


def nested(key: str, value: object) -> dict:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("config_class", [TrainWithBaselines, CompareConfig, LatentConfig])
def test_any_value_at_any_key(tmp_path_factory, config_class):
    import yaml

    path = tmp_path_factory.mktemp("fuzz") / "fuzz.yaml"

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(keys(config_class)), VALUE)
    def check(key: str, value: object) -> None:
        path.write_text(yaml.safe_dump(nested(key, value), allow_unicode=True), encoding="utf-8")
        try:
            config = parse(config_class, ["--config", str(path)])
            if config_class is TrainWithBaselines:
                check_models(config)
        except UserError as error:
            assert "\n" not in str(error)

    check()


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**6), st.binary(max_size=6), st.integers(0, 6))
def test_any_damage_to_a_shipped_configuration(tmp_path_factory, place, put, cut):
    text = (ROOT / "configs" / "wells.yaml").read_bytes()
    at = place % len(text)
    path = Path(tmp_path_factory.getbasetemp()) / "damaged.yaml"
    path.write_bytes(text[:at] + put + text[at + cut :])
    try:
        parse(TrainWithBaselines, ["--config", str(path)])
    except UserError as error:
        assert "\n" not in str(error)
