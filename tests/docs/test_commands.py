"""Every command and every Python block of README and docs names what there is.

Commands of tools go through the tool's own parser, and their configs are loaded and checked; those of pip, Ray and make
go through these programs' parsers. The tutorials' ``bash`` and ``python`` blocks are also run (``test_tutorials.py``),
and so are other pages' commands that take seconds (``test_running.py``). A command that no test knows fails here.
"""

import argparse
import ast
import importlib
import re
import runpy
import shlex
import subprocess
import sys
import textwrap

import pytest
from doc_pages import PAGES, SHELLS, blocks, commands_of, tokens
from places import REPOSITORY

from mviper.config import find_config, load_config
from mviper.registry import ALL_REGISTRIES

#: A batch script's values, which only Slurm knows.
_VARIABLE = re.compile(r"\$\(\(.*?\)\)|\$\w+")
#: Stand-ins in the docs whose place only certain words can take.
_STAND_INS = {"SET": "mpii"}


class Parsed(BaseException):
    """Carries the arguments that a tool has parsed, past everything that it would do with them."""


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
            assert (REPOSITORY / word).is_file(), word
    if program in ("bash", "python") and rest and rest[0].startswith("tools/"):
        tool, rest = REPOSITORY / rest[0], rest[1:]
    elif program == "mviper":
        tool, rest = REPOSITORY / "tools" / f"{rest[0].replace('-', '_')}.py", rest[1:]
        if words[1] in ("--help", "NAME"):
            return
    elif (REPOSITORY / program).is_file():
        return
    else:
        check_other(program, rest)
        return
    arguments = parse(tool, rest, monkeypatch)
    configs = {word for word in words if re.match(r"(configs|projects)/.*\.py$", word)}
    configs |= {str(arguments.config)} if getattr(arguments, "config", None) else set()
    for config in configs:
        if not re.fullmatch(r"[A-Z_]+", config) and config not in written:
            assert find_config(config).is_file(), config
            load_config(config, getattr(arguments, "cfg_options", None))


def check_other(program, words):
    """Fails if another program's parser refuses these arguments; Slurm's own parser needs a cluster."""
    words = _VARIABLE.sub("1", "\0".join(word for word in words if word != "&")).split("\0")
    if program == "make":
        done = subprocess.run(["make", "-n", *words], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif program == "pip":
        done = subprocess.run([sys.executable, "-c", _PIP, *words], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif program == "ray":
        ray = pytest.importorskip("ray.scripts.scripts")
        ray.cli.commands[words[0]].make_context(words[0], words[1:])
    elif program == "srun":  # its options, then what it starts
        started = next(place for place, word in enumerate(words) if not word.startswith("--"))
        check_other(words[started], words[started + 1 :])
    else:
        assert program == "sleep" and float(words[0]), "no test runs this"


#: Parses pip's arguments and does nothing with them.
_PIP = "import sys; from pip._internal import commands as c; c.create_command(sys.argv[1]).parse_args(sys.argv[2:])"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_blocks_are_shell(page):
    for block in blocks(page, *SHELLS):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
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
    recipes = (REPOSITORY / "Makefile").read_text().replace("\\\n", " ").replace("$(DEMO)", "work_dirs/demo")
    found = re.findall(r"^\t\$\(PY\) (tools/.*)$", recipes, re.M)
    assert len(found) > 5
    for line in found:
        with monkeypatch.context() as patch:
            check(["python", *shlex.split(line)], [], patch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
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
    known = {*SHELLS, "python", "none"}
    for page in PAGES:
        languages = {token.info.strip() for token in tokens(page, "fence")}
        assert {language for language in languages if not language.startswith("{")} <= known, page
