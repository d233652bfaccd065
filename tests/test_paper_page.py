"""docs/paper.md covers every statement of the paper, and everything that it names exists and builds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from places import REPOSITORY

from mviper.config import load_config
from mviper.registry import METRICS, MODELS
from mviper.synthesis import Factory, complete_config, list_jobs

PAGE = (REPOSITORY / "docs" / "paper.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.splitlines()
    if re.match(r"\| \d+ \|", line)
]
CONFIGS = sorted(set(re.findall(r"configs/[\w/]+\.py", PAGE)))


def named(row: list[str], column: int) -> str:
    found = re.fullmatch(r"`([^`]+)`", row[column])
    assert found, f"statement {row[0]}: {row[column]!r} is not one name in backquotes"
    return found[1]


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_statement_has_its_row() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 83)) and all(len(row) == 6 and row[1] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_names_in_rows_exist(row: list[str]) -> None:
    assert (REPOSITORY / named(row, 2)).is_file() and (REPOSITORY / named(row, 3)).is_file()
    path, _, name = named(row, 4).partition("::")
    assert name in functions_of(REPOSITORY / path)


def test_files_and_switches_in_the_text_exist() -> None:
    for path in re.findall(r"\]\(([\w/]+\.md)\)", PAGE):
        assert (REPOSITORY / "docs" / path).is_file(), path
    for path in re.findall(r"\b(?:tools|tests|projects)/[\w/]+(?:\.py)?", PAGE):
        assert (REPOSITORY / path).exists(), path


@pytest.mark.parametrize("path", CONFIGS)
def test_every_config_builds(path: str) -> None:
    if "/_base_/" in path:  # inherited by another config that is built
        assert any(Path(path).name in (REPOSITORY / other).read_text() for other in CONFIGS)
        return
    config = load_config(REPOSITORY / path)
    if "model" in config:
        config.model.get("backbone", {}).pop("init_cfg", None)  # nothing is downloaded to build
        assert MODELS.build(config.model) is not None
    elif "test_evaluator" in config:
        assert all(METRICS.build(metric) for metric in config.test_evaluator)
    else:
        completed = complete_config(config.to_dict())
        assert Factory(completed).outfit
        if completed.get("substitutes"):  # even without the data there are sequences to make
            assert {job.split for job in list_jobs({**completed, "source": dict(type="DeepMimicMotion")})} == {
                "train", "val", "test",
            }  # fmt: skip
