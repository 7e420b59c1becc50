"""Records of where a result comes from: without the folders of the machine that made it."""

import pytest

from mnad.run.provenance import neutral_command, neutral_record


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python a.py --data /home/me/wells --seed 0", "python a.py --data DIR --seed 0"),
        ("python a.py --data=/home/me/wells", "python a.py --data=DIR"),
        ("python a.py --out /scratch/me/runs/b/s0", "python a.py --out runs/b/s0"),
        ("python a.py --out /scratch/study", "python a.py --out runs/study"),
        ("python a.py --checkpoint /home/me/a.safetensors", "python a.py --checkpoint DIR/a.safetensors"),
        ("python a.py --runs '[/x/runs/a, /x/runs/b]'", "python a.py --runs '[runs/a, runs/b]'"),
        ("python a.py --data data/wells --rows '[a,b]'", "python a.py --data data/wells --rows '[a,b]'"),
    ],
)
def test_folders_of_a_machine_are_left_out_of_a_command(command: str, expected: str) -> None:
    assert neutral_command(command) == expected


def test_everything_else_of_a_record_stays() -> None:
    record = {"date": "2026-11-28", "command": "python a.py --data /x", "packages": {"numpy": "2"}}
    again = {"date": "2026-11-29", "command": "python a.py --data /x --resume"}
    assert neutral_record(record | {"resumed": [again]}) == record | {
        "command": "python a.py --data DIR",
        "resumed": [again | {"command": "python a.py --data DIR --resume"}],
    }
    assert neutral_record({"command": None}) == {"command": None}
