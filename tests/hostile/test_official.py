"""Files of the official code that hold something else than they should."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import some
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from official_names import small_official
from safetensors.torch import save_file

from mnad.model.official import load_official, read_items, read_state
from mnad.run import UserError

FIRST, LAST = "encoder.moduleConv1.0.weight", "encoder.moduleConv4.3.weight"
STATE, KEYS = small_official("recon")


def changed(**tensors: object) -> dict:
    """The state with the first weight replaced."""
    return STATE | {FIRST: tensors["first"]}


def saved(content: object) -> Callable[[Path], object]:
    """A torch file that holds ``content``."""
    return lambda path: torch.save(content, path)


WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("weights"), "state.pth"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "state.pth"),
    "an empty zip": (lambda path: zipfile.ZipFile(path, "w").close(), "state.pth"),
    "a folder": (lambda path: path.mkdir(), "missing; expected a torch file"),
    "a text inside": (saved("weights"), "is no state dict"),
    "null": (saved(None), "is no state dict"),
    "a number": (saved(3), "is no state dict"),
    "a list": (saved([torch.zeros(2)]), "is no state dict"),
    "an empty dict": (saved({}), f"{FIRST} is missing"),
    "integer keys": (saved({1: torch.zeros(2)}), "is no state dict"),
    "numbers for tensors": (saved({FIRST: 3}), "is no state dict"),
    "a dict in a dict": (saved({"state_dict": STATE}), "is no state dict"),
    "sparse": (saved(changed(first=STATE[FIRST].to_sparse())), "is no state dict"),
    "0-dimensional": (saved(changed(first=torch.tensor(1.0))), "expected four dimensions"),
    "one dimension": (saved(changed(first=torch.zeros(5))), "expected four dimensions"),
    "empty weight": (saved(changed(first=STATE[FIRST][:0])), "is empty"),
    "NaN": (saved(changed(first=STATE[FIRST] * float("nan"))), "not finite"),
    "infinite": (saved(changed(first=STATE[FIRST] / 0.0)), "not finite"),
    "complex": (saved(changed(first=STATE[FIRST].to(torch.complex64))), "not finite and real"),
    "another shape": (saved(changed(first=STATE[FIRST][:, :1])), "has shape"),
    "one missing": (saved({k: v for k, v in STATE.items() if k != LAST}), "is missing"),
    "one too many": (saved(STATE | {"head.weight": torch.zeros(1)}), "surplus head.weight"),
    "of the other variant": (saved(small_official("pred")[0]), "official state dict"),
    "wider than memory": (saved(STATE | {LAST: torch.zeros(1, 1, 1, 1).expand(10**9, 1, 1, 1)}), "official"),
}
ITEMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("keys"), "keys.pt"),
    "a text inside": (saved("keys"), "expected one tensor of items"),
    "a list": (saved([1, 2]), "expected one tensor of items"),
    "two tensors": (saved({"a": KEYS, "b": KEYS}), "holds 2 entries"),
    "an empty dict": (saved({}), "holds 0 entries"),
    "a number": (saved(3), "expected one tensor of items"),
    "0-dimensional": (saved(torch.tensor(1.0)), "shape (); expected M x"),
    "one dimension": (saved(KEYS[0]), "expected M x"),
    "three dimensions": (saved(KEYS[None]), "expected M x"),
    "no items": (saved(KEYS[:0]), "expected M x"),
    "items of no length": (saved(KEYS[:, :0]), "expected M x"),
    "another length": (saved(KEYS[:, :1]), "expected M x"),
    "NaN": (saved(KEYS * float("nan")), "official items: holds numbers that are not finite"),
    "infinite": (saved(KEYS + float("inf")), "official items: holds numbers that are not finite"),
    "sparse": (saved(KEYS.to_sparse()), "expected one tensor of items"),
}


def imported(weights: Path, items: Path) -> object:
    return load_official(read_state(weights), read_items(items), "recon")


@pytest.mark.parametrize("case", some(WEIGHTS))
def test_weights_that_are_none(tmp_path, case):
    write, words = WEIGHTS[case]
    write(tmp_path / "state.pth")
    torch.save(KEYS, tmp_path / "keys.pt")
    with pytest.raises(UserError) as error:
        imported(tmp_path / "state.pth", tmp_path / "keys.pt")
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("case", some(ITEMS))
def test_items_that_are_none(tmp_path, case):
    write, words = ITEMS[case]
    torch.save(STATE, tmp_path / "state.pth")
    write(tmp_path / "keys.pt")
    with pytest.raises(UserError) as error:
        imported(tmp_path / "state.pth", tmp_path / "keys.pt")
    assert words in str(error.value) and "\n" not in str(error.value)


class Opener:
    """Makes a file when its pickle is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_no_pickle_runs(sandbox, tmp_path):
    torch.save(Opener(tmp_path / "opened"), tmp_path / "state.pth")
    torch.save(KEYS, tmp_path / "keys.pt")
    words = ("--weights=state.pth", "--items=keys.pt", "--out=o.safetensors", "--variant=recon")
    sandbox.run("import_official", *words, cwd=tmp_path).refused("holds more than tensors")
    assert not (tmp_path / "opened").exists() and not (tmp_path / "o.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--height=7",), "images.height: expected a positive multiple of 8"),
        (("--height=80000000", "--width=80000000"), "expected at most 16,777,216 pixels"),
        (("--variant=both",), "variant"),
        (("--out=o.pth",), "expected a file ending in .safetensors"),
        (("--out=state.safetensors",), "exists already"),
        (("--out=keys.safetensors/o.safetensors",), "cannot be written"),
    ],
)
def test_options_of_the_import(sandbox, tmp_path, words, message):
    save_file(STATE, tmp_path / "state.safetensors")
    save_file({"keys": KEYS}, tmp_path / "keys.safetensors")
    given = ("--weights=state.safetensors", "--items=keys.safetensors", "--out=o.safetensors", "--variant=recon")
    sandbox.run("import_official", *given, *words, cwd=tmp_path).refused(message)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9), st.binary(max_size=8), st.integers(0, 8), st.booleans())
def test_any_damage(tmp_path_factory, place, put, cut, tensors):
    folder = Path(tmp_path_factory.getbasetemp())
    name = "fuzz.safetensors" if tensors else "fuzz.pth"
    if tensors:
        save_file(STATE, folder / name)
    else:
        torch.save(STATE, folder / name)
    torch.save(KEYS, folder / "keys.pt")
    data = (folder / name).read_bytes()
    at = place % len(data)
    (folder / name).write_bytes(data[:at] + put + data[at + cut :])
    try:
        model = imported(folder / name, folder / "keys.pt")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(torch.isfinite(value).all() for value in model.state_dict().values())
