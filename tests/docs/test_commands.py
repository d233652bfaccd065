"""Every command and every Python block of README and docs names what there is.

Commands of tools go through the tool's own parser, and their configs are loaded and checked; the tutorials' ``bash``
and ``python`` blocks are also run (``test_tutorials.py``). A command that no test knows fails here.
"""

import argparse
import ast
import importlib
import re
import runpy
import shlex
import sys
import textwrap
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from mviper.config import find_config, load_config
from mviper.registry import ALL_REGISTRIES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "projects").rglob("*.md")),
]

#: Languages of blocks that hold commands; ``none`` is for drawings.
_SHELLS = ("", "bash", "text")
#: Programs that are not ours, whose commands are taken as they are.
_OTHERS = ("pip", "ray", "scontrol", "sleep", "srun")
#: Stand-ins in the docs whose place only certain words can take.
_STAND_INS = {"SET": "mpii"}


class Parsed(BaseException):
    """Carries the arguments that a tool has parsed, past everything that it would do with them."""


def tokens(page, *kinds):
    """Parts of a page of some kinds: ``fence`` (a block), ``code_block`` (an indented one), ``code_inline``."""
    found = MarkdownIt("commonmark").enable("table").parse(page.read_text())
    return [token for outer in found for token in (outer, *(outer.children or ())) if token.type in kinds]


def blocks(page, *languages):
    """The blocks in these languages; a directive of the site is none."""
    return [token.content for token in tokens(page, "fence", "code_block") if token.info.strip() in languages]


def commands_in(text):
    """The commands of a block: continued lines joined, comments left out."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words and not re.match(r"\w+=", words[0]):  # a shell's variable
                yield words


def commands_of(page):
    """All commands of a page: those of its blocks, and those in the text."""
    found = [words for block in blocks(page, *_SHELLS) for words in commands_in(block)]
    for token in tokens(page, "code_inline"):
        if re.match(r"(python tools/|mviper |make |tools/\w+\.sh)", token.content):
            words = shlex.split(token.content)
            named = len(words) == 2 or "..." in words  # the tool alone
            found.append([*words[:2], "--help"] if named and words[0] != "make" else words)
    return found


def files_of(page):
    """Configs that the page has its reader write."""
    return re.findall(r"^# (\w+\.py)$", page.read_text(), re.M)


def parse(tool, words, monkeypatch):
    """What a tool makes of its arguments; a usage error fails."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(self, *arguments, **options):
        raise Parsed(original(self, *arguments, **options))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(sys, "argv", [str(tool), *(_STAND_INS.get(word, word) for word in words)])
    try:
        runpy.run_path(str(tool), run_name="__main__")
    except Parsed as parsed:
        return parsed.args[0]
    except SystemExit as end:
        assert end.code == 0 and "--help" in words, "the tool does not take these arguments"
        return argparse.Namespace()
    pytest.fail("the tool parsed nothing")


def check(words, written, monkeypatch):
    """Fails if a command cannot be given."""
    program, *rest = words
    for word in words:
        if re.match(r"(configs|projects|requirements|tests|tools)/[\w/]+\.\w+$", word):
            assert (ROOT / word).is_file(), word
    if program in ("bash", "python") and rest and rest[0].startswith("tools/"):
        tool, rest = ROOT / rest[0], rest[1:]
    elif program == "mviper":
        tool, rest = ROOT / "tools" / f"{rest[0].replace('-', '_')}.py", rest[1:]
        if words[1] in ("--help", "NAME"):
            return
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert {word for word in rest if "=" not in word} <= set(targets)
        return
    elif (ROOT / program).is_file():
        return
    else:
        assert program in _OTHERS, "no test runs this"
        return
    arguments = parse(tool, rest, monkeypatch)
    configs = {word for word in words if re.match(r"(configs|projects)/.*\.py$", word)}
    configs |= {str(arguments.config)} if getattr(arguments, "config", None) else set()
    for config in configs:
        if not re.fullmatch(r"[A-Z_]+", config) and config not in written:
            assert find_config(config).is_file(), config
            load_config(config, getattr(arguments, "cfg_options", None))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_can_be_given(page, monkeypatch):
    written = files_of(page)
    wrong = {}
    for words in commands_of(page):
        try:
            with monkeypatch.context() as patch:
                check(words, written, patch)
        except Exception as problem:
            wrong[" ".join(words)] = str(problem).partition("\n")[0]
    assert not wrong


def test_commands_of_the_demo_can_be_given(monkeypatch):
    recipes = (ROOT / "Makefile").read_text().replace("\\\n", " ").replace("$(DEMO)", "work_dirs/demo")
    found = re.findall(r"^\t\$\(PY\) (tools/.*)$", recipes, re.M)
    assert len(found) > 5
    for line in found:
        with monkeypatch.context() as patch:
            check(["python", *shlex.split(line)], [], patch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_names_what_there_is(page):
    own = re.findall(r"^class (\w+)", page.read_text(), re.M)
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("mviper"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
                for keyword in node.keywords:
                    if keyword.arg == "imports":
                        for module in ast.literal_eval(keyword.value):
                            if module.startswith("projects."):
                                importlib.import_module(module)
                    if keyword.arg == "type" and isinstance(keyword.value, ast.Constant):
                        name = keyword.value.value
                        registered = any(registry.get(name) for registry in ALL_REGISTRIES.values())
                        assert registered or name in own or name.startswith("My"), name


def test_languages_of_blocks():
    """Text without a language would be neither run nor looked at."""
    known = {*_SHELLS, "python", "none"}
    for page in PAGES:
        languages = {token.info.strip() for token in tokens(page, "fence")}
        assert {language for language in languages if not language.startswith("{")} <= known, page
