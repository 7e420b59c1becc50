"""Standard streams of a command."""

import warnings

import pytest

from mnad.run.streams import plain_streams, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("wells/прическа é.jpg", "wells/прическа é.jpg"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("a\u202egpj.b", r"a\u202egpj.b"),
        ("caf\udce9.jpg", r"caf\xe9.jpg"),
    ],
)
def test_nothing_printed_moves_the_cursor(text, shown):
    assert printable(text) == shown


def test_warnings_are_one_line():
    before = warnings.formatwarning
    with plain_streams():
        assert warnings.formatwarning("two\nlines", UserWarning, "a.py", 1) == "warning: two lines\n"
        assert "a.py:1: RuntimeWarning: a bug" in warnings.formatwarning("a bug", RuntimeWarning, "a.py", 1)
    assert warnings.formatwarning is before
