"""Configuration files: bombs and circles are refused, old words are read."""

import pytest

from mnad.config import TrainConfig
from mnad.run import UserError
from mnad.run.cli import parse


def bomb() -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize("text", [bomb(), "model: &m\n  width: 8\n  more: *m\n"], ids=["bomb", "circle"])
def test_alias_bombs_are_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="configuration: more than 100000 values"):
        parse(TrainConfig, ["--config", str(path)])


def test_inherited_options_have_their_help():
    from mnad.run.cli import build_parser

    text = build_parser(TrainConfig).format_help()
    assert "folder of photographs or of videos" in text and "the network" in text


def test_hyphens_in_options_are_read():
    assert parse(TrainConfig, ["--skip-bad"]).skip_bad
    assert parse(TrainConfig, ["--optim.batch-size=3"]).optim.batch_size == 3
