"""A wheel contains configs and tools, and works outside any checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mviper import cli
from mviper.config import default_work_dir, find_config, load_config
from mviper.errors import ConfigError


@pytest.fixture(scope="module")
def installed(repository, tmp_path_factory):
    """The wheel, built from a copy of the checkout and unpacked into an empty folder."""
    folder = tmp_path_factory.mktemp("wheel")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", ".", ":!tests", ":!docs"]
    for name in subprocess.run(listing, cwd=repository, capture_output=True, text=True, check=True).stdout.splitlines():
        copy = folder / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(repository / name, copy)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", folder / "site", folder / "source"], check=True)
    assert not (folder / "source" / "mviper" / ".mim").exists()  # nothing is left in the checkout
    return folder / "site"


@pytest.fixture(scope="module")
def mviper(installed, tmp_path_factory):
    """Runs the wheel's ``mviper`` in an empty folder, without the checkout on the path."""
    empty = tmp_path_factory.mktemp("empty")

    def run(*words):
        code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from mviper.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-P", "-c", code, installed, *map(str, words)], cwd=empty, capture_output=True, text=True,
            timeout=600, env={**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "2"},
        )  # fmt: skip

    run.folder = empty
    return run


def test_wheel_brings_what_is_beside_the_package(installed, repository):
    brought = installed / "mviper" / ".mim"
    for kind in ("configs", "tools"):
        own, its = (
            {path.relative_to(root) for path in (root / kind).rglob("*") if "__pycache__" not in path.parts}
            for root in (repository, brought)
        )
        assert its == own
    assert (brought / "model-index.yml").read_text() == (repository / "model-index.yml").read_text()
    assert (installed / "bin" / "mviper").is_file()


def test_wheel_generates_trains_and_tests_in_an_empty_folder(mviper):
    options = ["variants=1", "max_frames=8", "cameras.views=[south]", "cameras.resolution=128", "source.names=[walk]"]
    made = mviper("generate", "demo/painted", "--out", "data", "--limit", 1, "--cfg-options", *options)
    assert made.returncode == 0, made.stderr
    assert "Next: mviper browse dataset data --out work_dirs/browse" in made.stdout
    sets = [f"{loader}_dataloader.dataset.data_root=data" for loader in ("train", "val")]
    less = ["train_cfg.max_iters=1", "train_dataloader.batch_size=1", "val_dataloader=None", "val_cfg=None",
            "val_evaluator=None", "default_hooks.checkpoint.best=None", "train_dataloader.num_workers=0"]  # fmt: skip
    trained = mviper("train", "demo/frame", "--cfg-options", *sets, *less)
    assert trained.returncode == 0, trained.stderr
    next_one = "mviper test demo/frame work_dirs/demo/frame --cfg-options test_dataloader.dataset.data_root=data"
    assert f"Next: {next_one}\n" in trained.stdout
    assert list((mviper.folder / "work_dirs" / "demo" / "frame").glob("*.pth"))


def test_wheel_recovers_in_an_empty_folder(mviper, repository):
    photo = repository / "docs" / "images" / "recover_tfjs_pose_squats.jpg"
    done = mviper("recover", photo, "--out", "out", "--no-tta", "--people", 1, "--export", "glb")
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in (mviper.folder / "out").rglob("*.*")} == {".glb", ".json", ".png"}


def test_help_lists_every_tool(mviper, repository):
    shown = mviper("--help").stdout
    for tool in (repository / "tools").glob("*.py"):
        assert f"  {tool.stem.replace('_', '-')} " in shown


@pytest.mark.parametrize("name", ["train", "print-config", "print_config"])
def test_help_speaks_of_the_command(mviper, name):
    shown = mviper(name, "--help").stdout
    assert shown.startswith(f"usage: mviper {name} ") and "python tools" not in shown
    assert f"mviper {name.replace('_', '-')} configs/" in " ".join(shown.split())


def test_misspelt_subcommand_is_refused(mviper):
    done = mviper("trian")
    assert done.returncode == 1 and done.stderr == "Error: there is no subcommand 'trian'; did you mean train?\n"


def test_a_tool_cannot_be_named_by_a_path(mviper):
    done = mviper("../../cli")
    assert done.returncode == 1 and "there is no subcommand" in done.stderr


def test_missing_system_library_is_named_with_its_package(monkeypatch):
    error = ImportError("libgthread-2.0.so.0: cannot open shared object file: No such file or directory")
    message = cli.missing_library(error)
    assert "apt-get install libglib2.0-0;" in message and message.endswith("dnf install glib2")
    other = cli.missing_library(ImportError("libnobody.so.7: cannot open shared object file: No such file"))
    assert "libnobody.so.7 is missing" in other
    assert cli.missing_library(ImportError("No module named 'torch'")) is None


def test_configs_are_found_by_name_from_any_folder(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = repository / "configs" / "demo" / "frame.py"
    for name in ("configs/demo/frame.py", "demo/frame.py", "demo/frame", "frame", "frame.py"):
        assert find_config(name) == frame and default_work_dir(name) == Path("work_dirs/demo/frame")
    assert load_config("mviper_r50").filename == str(repository / "configs" / "mviper_r50.py")
    (tmp_path / "frame").write_text("")
    assert find_config("frame") == Path("frame")  # the user's file takes precedence


def test_name_of_several_configs_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="painted: several configs have that name: demo/painted, synthesis/painted"):
        find_config("painted")


def test_model_index_names_every_model(repository):
    index = yaml.safe_load((repository / "model-index.yml").read_text())
    collections = {collection["Name"] for collection in index["Collections"]}
    assert all(model["In Collection"] in collections for model in index["Models"])
    assert all((repository / collection["README"]).is_file() for collection in index["Collections"])
    named = {repository / model["Config"]: model["Name"] for model in index["Models"]}
    assert named == {path: path.stem for path in (repository / "configs").glob("*.py")}
