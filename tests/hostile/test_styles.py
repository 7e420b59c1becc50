"""The generators of styles and avatars: files of people and numbers that make no sense."""

import json
from pathlib import Path

import pytest
from odd_files import encoded, picture
from sandbox import Result, Sandbox, some_quick

GOOD = "styles = {'hair': ['long', 'short'], 'hat': ['yes', 'no']}\nstyles_count = {'hair': [3, 1], 'hat': [2, 2]}\n"
PEOPLE = {
    "empty": ("", "styles is None"),
    "syntax_error": ("styles = {\n", "styles.py, line"),
    "indentation": ("  styles = {}\n", "styles.py, line"),
    "zero_byte": ("styles = '\0'\n", "styles.py"),
    "error": ("1 / 0\n", "ZeroDivisionError"),
    "missing_module": ("import nowhere_at_all\n", "ModuleNotFoundError"),
    "none": ("styles = None\nstyles_count = None\n", "styles is None"),
    "none_for_counts": (GOOD + "styles_count = None\n", "styles_count is None"),
    "none_for_values": (GOOD + "styles['hair'] = None\n", "styles['hair'] is None"),
    "none_among_values": (GOOD + "styles['hair'] = ['long', None]\n", "holds None"),
    "none_among_counts": (GOOD + "styles_count['hair'] = [1, None]\n", "None"),
    "list": (GOOD + "styles = ['hair']\n", "styles is ['hair']"),
    "text_for_list": (GOOD + "styles['hair'] = 'long'\n", "styles['hair'] is 'long'"),
    "number_for_category": (GOOD + "styles = {1: ['a']}\n", "styles[1]"),
    "empty_mappings": ("styles = {}\nstyles_count = {}\n", "expected the categories"),
    "empty_values": (GOOD + "styles['hair'] = []\n", "one or more different values"),
    "value_twice": (GOOD + "styles['hair'] = ['long', 'long']\n", "different values"),
    "other_length": (GOOD + "styles_count['hair'] = [1]\n", "expected one for each of 2 values"),
    "other_categories": (GOOD + "del styles_count['hat']\n", "expected the categories"),
    "negative": (GOOD + "styles_count['hair'] = [1, -1]\n", "expected a finite number"),
    "infinite": (GOOD + "styles_count['hair'] = [1, float('inf')]\n", "expected a finite number"),
    "nan": (GOOD + "styles_count['hair'] = [1, float('nan')]\n", "expected a finite number"),
    "words": (GOOD + "styles_count['hair'] = ['a', 'b']\n", "expected numbers"),
    "all_zero": (GOOD + "styles_count['hair'] = [0, 0]\n", "all counts are zero"),
    "lists_of_lists": (GOOD + "styles_count['hair'] = [[1], [2]]\n", "expected"),
    "huge": (GOOD + "styles_count['hair'] = [10**400, 1]\n", "expected"),
    "sum_is_infinite": (GOOD + "styles_count['hair'] = [1e308, 1e308]\n", "expected"),
    "exit": ("raise SystemExit(0)\n", "SystemExit"),
}


def generate(sandbox: Sandbox, folder: Path, *words: object) -> Result:
    environment = {"PYTHONPATH": str(folder)} if (folder / "styles.py").exists() else {}
    words = ("--draw=false", "--out", "out", *words)
    return sandbox.run("generate_styles", *words, cwd=folder, environment=environment)


@pytest.mark.parametrize("name", some_quick(PEOPLE, 7))
def test_people(sandbox, tmp_path, name):
    content, reason = PEOPLE[name]
    (tmp_path / "styles.py").write_text(content)
    generate(sandbox, tmp_path).refused(reason)
    assert not (tmp_path / "out").exists()


def test_people_of_others(sandbox, tmp_path):
    (tmp_path / "styles.py").write_text(GOOD)
    generate(sandbox, tmp_path, "--n", 3, "--seed", 1).done("hair: ", "hat: ")


@pytest.mark.parametrize("name", some_quick(["syntax_error", "none", "none_for_counts", "negative"], 4))
@pytest.mark.parametrize("script", ["draw_avatars", "generate_avatars"])
def test_people_of_the_other_scripts(sandbox, tmp_path, name, script):
    (tmp_path / "styles.py").write_text(PEOPLE[name][0])
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(encoded("png", picture()))
    words = ["--avatars", "a", "--by", "hair"] if script == "generate_avatars" else []
    environment = {"PYTHONPATH": str(tmp_path)}
    sandbox.run(script, "--out", "out", *words, cwd=tmp_path, environment=environment).refused()


NUMBERS = {
    "alpha": ["1e308", "1e101", "inf", "nan", "-1", "-1e-300", "1e999", "x"],
    "n": ["1000000000", "1e9", "100001", "0", "-1", "1.5", "nan", "x", "9" * 400],
    "seed": ["-1", "1.5", "x"],
}


@pytest.mark.parametrize("number", some_quick([(k, value) for k, values in NUMBERS.items() for value in values], 9))
@pytest.mark.parametrize("script", ["generate_styles", "generate_avatars"])
def test_numbers(sandbox, tmp_path, script, number):
    key, value = number
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(encoded("png", picture()))
    words = ["--draw=false"] if script == "generate_styles" else ["--avatars", "a"]
    result = sandbox.run(script, *words, "--out", "out", f"--{key}={value}", cwd=tmp_path)
    assert len(result.refused(key)) < 600
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("alpha", some_quick(["0", "1e-320", "1e-12", "1e15", "1e100"], 3))
def test_any_alpha_gives_numbers(sandbox, tmp_path, alpha):
    def strict(text: str) -> list:
        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(text, parse_constant=refuse)

    result = generate(sandbox, tmp_path, "--json", f"--alpha={alpha}").within_limits()
    assert all(row["log_probability"] <= 0 for row in strict(result.out))
    (tmp_path / "a").mkdir()
    for i in range(3):
        (tmp_path / f"a/{i}.png").write_bytes(encoded("png", picture(i)))
    for share in ("channel", "block"):
        words = ["--avatars", "a", "--share", share, "--json", f"--alpha={alpha}", "--n", 2, "--out", share]
        result = sandbox.run("generate_avatars", *words, cwd=tmp_path).within_limits()
        assert all(row["log_probability"] <= 0 for row in strict(result.out))


@pytest.mark.parametrize(
    "size", some_quick(["0x0", "1x0", "-1x2", "1e3x2", "99999x99999", "9999x9999", "x", "1", "1x1x1", "١x١"], 5)
)
def test_sizes(sandbox, tmp_path, size):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(encoded("png", picture()))
    words = ["--avatars", "a", f"--size={size}", "--out", "out"]
    sandbox.run("generate_avatars", *words, cwd=tmp_path).refused("size: expected WIDTHxHEIGHT")


@pytest.mark.parametrize("block", some_quick(["0", "-1", "1.5", "9" * 30], 2))
def test_blocks(sandbox, tmp_path, block):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(encoded("png", picture()))
    words = ["--avatars", "a", "--share", "block", f"--block={block}", "--n", 1, "--out", "out"]
    sandbox.run("generate_avatars", *words, cwd=tmp_path).judged()


ATTRIBUTES = {
    "empty": "",
    "header_alone": "file,прическа,цвет волос,аксесуар,одежда,цвет одежды\n",
    "other_columns": "a,b\n1,2\n",
    "other_file": "file,прическа,цвет волос,аксесуар,одежда,цвет одежды\nx.png,a,b,c,d,e\n",
    "other_values": "file,прическа,цвет волос,аксесуар,одежда,цвет одежды\n1.png,a,b,c,d,e\n",
}


@pytest.mark.parametrize("name", some_quick(ATTRIBUTES, 3))
def test_attributes(sandbox, tmp_path, name):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(encoded("png", picture()))
    (tmp_path / "a/avatars.csv").write_text(ATTRIBUTES[name])
    words = ["--avatars", "a", "--share", "part", "--out", "out"]
    sandbox.run("generate_avatars", *words, cwd=tmp_path).refused("avatars.csv")
