import argparse
import ast
import inspect
import subprocess
import sys

import pytest
from mmengine.runner import Runner
from places import REPOSITORY

from mviper.config import REGISTRY_OF_KEY, RUNNER_KEYS, DictAction, command, default_work_dir, load_config, run_tool
from mviper.errors import ConfigError, MissingDataError
from mviper.synthesis import CONFIG_KEYS

GOOD = """
model = dict(type="ImageBodyModelEstimator", backbone=dict(type="ResNetEncoder"), head=dict(type="IEFHead"),
             body_model=dict(type="SMPL"), losses=dict(p=dict(type="ProjectionLoss")))
"""

SYNTHESIS = 'source = dict(type="KeyPoseMotion")\n'


def write(folder, text, name="x.py"):
    path = folder / name
    path.write_text(text)
    return path


def test_good_config_gets_the_scope(tmp_path):
    config = load_config(write(tmp_path, GOOD), {"model.head.hidden": 7})
    assert config.default_scope == "mviper" and config.model.head.hidden == 7


def test_missing_config_names_near_ones(tmp_path):
    write(tmp_path, GOOD, "frame.py")
    with pytest.raises(ConfigError, match=r"fame\.py: no such config; there is .*frame\.py"):
        load_config(tmp_path / "fame.py")


def test_syntax_error_has_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"x\.py:3: "):
        load_config(write(tmp_path, "a = 1\nb = 2\nc = = 3\n"))


def test_syntax_error_in_a_base_names_the_base(tmp_path):
    write(tmp_path, "a = 1\nb = (\n", "base.py")
    with pytest.raises(ConfigError, match=r"base\.py:2: "):
        load_config(write(tmp_path, '_base_ = ["base.py"]\n'))


def test_error_while_running_has_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"x\.py:2: NameError: name 'unknown'"):
        load_config(write(tmp_path, "a = 1\nb = unknown + 1\n"))


def test_missing_base_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.py"):
        load_config(write(tmp_path, '_base_ = ["nowhere.py"]\n'))


def test_missing_custom_import_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no_such_module"):
        load_config(write(tmp_path, 'custom_imports = dict(imports=["no_such_module"])\n'))


def test_keys_that_options_may_change_are_those_that_something_reads():
    runner = set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}
    assert runner <= RUNNER_KEYS | set(REGISTRY_OF_KEY)


def test_every_key_of_synthesis_may_be_changed(tmp_path):
    """Even in a config that leaves them at their defaults."""
    path = write(tmp_path, 'source = dict(type="KeyPoseMotion")\nwhich_part = 1\n')
    for key in CONFIG_KEYS:
        assert load_config(path, {key: None})[key] is None
    with pytest.raises(ConfigError, match=r"clip_parts: there is no key 'clip_parts'; did you mean clip_part"):
        load_config(path, {"clip_parts": "busiest"})
    with pytest.raises(ConfigError, match=r"which_part is a variable of the config file"):
        load_config(path, {"which_part": 2})


@pytest.mark.parametrize(
    ("text", "wrong", "meant"),
    [
        (SYNTHESIS, "max_frame", "max_frames"),
        (SYNTHESIS, "varients", "variants"),
        (SYNTHESIS, "clip_prat", "clip_part"),
        (SYNTHESIS, "motion_qualitiy", "motion_quality"),
        (SYNTHESIS, "custom_import", "custom_imports"),
        (GOOD, "loadfrom", "load_from"),
        (GOOD, "train_dataloder", "train_dataloader"),
        (GOOD, "optim_wraper", "optim_wrapper"),
        (GOOD, "custom_hook", "custom_hooks"),
    ],
)
def test_misspelt_keys_are_refused(tmp_path, text, wrong, meant):
    path = write(tmp_path, f"{text}{wrong} = 10\n")
    with pytest.raises(ConfigError, match=rf"x\.py: {wrong}: there is no such key; did you mean {meant}\?"):
        load_config(path)
    write(tmp_path, '_base_ = ["x.py"]\n', "y.py")
    with pytest.raises(ConfigError, match=rf"y\.py: {wrong}: .* {meant}\?"):
        load_config(tmp_path / "y.py")
    assert load_config(write(tmp_path, f"{text}_{wrong} = 10\n")).get(f"_{wrong}", 10) == 10


@pytest.mark.parametrize("text", [SYNTHESIS, GOOD])
def test_variables_of_a_config_are_its_own(tmp_path, text):
    names = ["data_root", "mocap", "clip_length", "image_size", "held_out", "dataset", "stage", "cameraman"]
    config = load_config(write(tmp_path, text + "".join(f"{name} = 10\n" for name in names)))
    assert all(config[name] == 10 for name in names)
    mixed = 'sources = [dict(type="KeyPoseMotion")]\nsource = dict(type="MixedMotion", sources=sources)\n'
    assert len(load_config(write(tmp_path, mixed)).sources) == 1


def test_reading_configs_imports_no_factory():
    """Training options are checked without it."""
    code = (
        "import sys; from mviper.config import load_config; "
        "load_config('configs/demo/mviper.py', {'work_dir': 'x', 'train_cfg.max_iters': 1}); "
        "assert not [name for name in sys.modules if name.startswith('mviper.synthesis')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.type": "ImageBodyModelEstimater"}, r"model\.type: .*did you mean ImageBodyModelEstimator"),
        ({"model.backbone.type": "ResnetEncoder"}, r"model\.backbone\.type: .*did you mean ResNetEncoder"),
        ({"model.losses.p.type": "ProjectLoss"}, r"model\.losses\.p\.type: .*ProjectionLoss"),
        ({"model.head.hiden": 3}, r"model\.head\.hiden: IEFHead has no such argument; did you mean hidden"),
        ({"custom_hooks": [{"type": "MeanPhiHok"}]}, r"custom_hooks\[0\]\.type: .*MeanPhiHook"),
        ({"train_dataloader": {"dataset": {"type": "SyntheticVideo"}}}, r"train_dataloader\.dataset\.type: "),
        (
            {"val_dataloader": {"dataset": {"type": "SyntheticHumanVideo", "pipeline": [{"type": "CropClips"}]}}},
            r"val_dataloader\.dataset\.pipeline\[0\]\.type: .*CropClip",
        ),
        (
            {"train_dataloader": {"sampler": {"type": "ResumeSampler"}}},
            r"train_dataloader\.sampler\.type: .*ResumableSampler",
        ),
        ({"train_cfg": {"type": "ResumableTrainLop"}}, r"train_cfg\.type: .*ResumableTrainLoop"),
        ({"test_cfg": {"type": "TestLop"}}, r"test_cfg\.type: .*TestLoop"),
        (
            {"optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "Adamm"}}},
            r"optim_wrapper\.optimizer\.type: .*Adam",
        ),
        ({"param_scheduler": [{"type": "CosineLR"}]}, r"param_scheduler\[0\]\.type: "),
        ({"test_evaluator": [{"type": "JointErrors"}]}, r"test_evaluator\[0\]\.type: .*JointError"),
        ({"source": {"type": "AcclaimMoton"}}, r"source\.type: "),
        ({"garments": [{"type": "TShrt"}]}, r"garments\[0\]\.type: "),
        ({"simulator": {"type": "BlenderCloht"}}, r"simulator\.type: "),
        ({"lights": {"type": "Lamp0"}}, r"lights\.type: "),
        ({"model.proection.type": "Perspective"}, r"model\.proection: ImageBody.* no such argument; did you mean proj"),
        (
            {"test_evaluator": [{"type": "JointError", "prefx": "P1"}]},
            r"test_evaluator\[0\]\.prefx: .*did you mean prefix",
        ),
        ({"trian_cfg.max_iters": 5}, r"--cfg-options trian_cfg\.max_iters: .*'trian_cfg'; did you mean train_cfg"),
        ({"max_frame": 5}, r"--cfg-options max_frame: .*did you mean max_frames"),
        ({"batch": 5}, r"--cfg-options batch: batch is a variable .*change test_dataloader\.batch instead"),
    ],
)
def test_unknown_names_have_file_place_and_near_names(tmp_path, options, message):
    with pytest.raises(ConfigError, match=r"x\.py: " + message):
        load_config(write(tmp_path, GOOD + "batch = 3\ntest_dataloader = dict(batch=batch)\n"), options)


def test_type_in_a_section_that_is_not_known_is_left_alone(tmp_path):
    assert load_config(write(tmp_path, GOOD + 'notes = dict(type="anything")\n')).notes.type == "anything"


def test_option_that_does_not_fit(tmp_path):
    with pytest.raises(ConfigError, match="--cfg-options"):
        load_config(write(tmp_path, GOOD + "custom_hooks = [1, 2]\n"), {"custom_hooks.7": 3})


def test_an_option_that_is_no_pair_is_a_usage_error(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    assert parser.parse_args(["--cfg-options", "a=1", "b=[x,2]"]).cfg_options == {"a": 1, "b": ["x", 2]}
    for wrong in ("a", "=1", "a=[(1,2]"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--cfg-options", wrong])
        assert f"--cfg-options: expected KEY=VALUE, got '{wrong}'" in capsys.readouterr().err


def test_brackets_that_do_not_enclose_the_value():
    """Regression: a RecursionError, also for a path such as ``take (1),(2).npz``."""
    assert parsed("a=(1,2),(3,4)")["a"] == [(1, 2), (3, 4)]
    options = parsed("a=x),y(", "b=take (1),(2).npz", "c=[1,(2,3)]")
    assert options["a"] == options.texts["a"] == "x),y(" and options.texts["b"] == "take (1),(2).npz"
    assert options["c"] == [1, (2, 3)]


def parsed(*pairs):
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    return parser.parse_args(["--cfg-options", *pairs]).cfg_options


LOADER = """
train_dataloader = dict(batch_size=2, num_workers=2, persistent_workers=True, prefetch_factor=2, timeout=9,
    dataset=dict(type="SyntheticHumanVideo", data_root="data/mviper", pipeline=[]))
source = dict(type="AMASSMotion", root="data/amass")
load_from = None
"""


@pytest.mark.parametrize(
    "name",
    ["my data, v1", "my data", "a,b", "[2024] walk, run", "[2024]", "(old)", "/data/(old, broken", "x=1,y=2", "2024",
     "1e5", "007", "true", "it's", "a 'quoted' b", "b]", "naïve, été"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["train_dataloader.dataset.data_root", "source.root", "load_from", "work_dir"])
def test_a_path_is_taken_literally(tmp_path, key, name):
    """Whatever it contains, if the key's component, the runner or the config expects text."""
    config = load_config(write(tmp_path, GOOD + LOADER), parsed(f"{key}={name}"))
    for part in key.split("."):
        config = config[part]
    assert config == name


def test_quotes_and_home_in_values(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    path = write(tmp_path, GOOD + LOADER + 'notes = ["~/a", ("~/b", "~")]\n')
    config = load_config(path, parsed("load_from='my run, 2.pth'", "source.root=~/cap, 1", 'work_dir="007"'))
    assert (config.load_from, config.work_dir) == ("my run, 2.pth", "007")
    assert config.source.root == "/home/somebody/cap, 1"
    assert config.notes == ["/home/somebody/a", ("/home/somebody/b", "~")]


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("source.names=07_01,2e3", ["07_01", "2e3"]), ("source.names=[07, 08]", ["07", "08"]),
        ("source.names=07", "07"), ("source.names=*walk", "*walk"),
        ("source.names=None", None), ("source.seconds=(1, None)", (1, None)),
        ("fps=60", 60), ("train_dataloader.batch_size=8", 8), ("train_dataloader.batch_size='8'", 8),
        ("passes='[\"depth\",\"flow\"]'", ["depth", "flow"]), ("lead_in=1,2,", [1, 2]),
        ("betas=[(1,2),(a b,[c,d])]", [(1, 2), ("a b", ["c", "d"])]), ("passes=[]", []),
    ],
)  # fmt: skip
def test_values_other_than_strings_are_parsed(tmp_path, pair, value):
    config = load_config(write(tmp_path, GOOD + LOADER), parsed(pair))
    for part in pair.partition("=")[0].split("."):
        config = config[part]
    assert config == value and type(config) is type(value)


def test_options_keep_their_texts_when_some_are_selected():
    options = parsed("test_dataloader.dataset.data_root=a, b", "work_dir=1").select(lambda key: key != "work_dir")
    assert list(options) == ["test_dataloader.dataset.data_root"]
    assert options.texts["test_dataloader.dataset.data_root"] == "a, b"


def test_a_loader_without_processes_has_no_options_of_processes(tmp_path):
    """PyTorch refuses each of them with a traceback."""
    from torch.utils.data import DataLoader

    path = write(tmp_path, GOOD + LOADER)
    loader = load_config(path, {"train_dataloader.num_workers": 0}).train_dataloader
    loader.pop("dataset")
    assert len(DataLoader([1, 2, 3], **loader)) == 2
    assert load_config(path).train_dataloader.prefetch_factor == 2


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(ConfigError, match=r"is a folder; expected a config, e\.g\. .*x\.py"):
        load_config(write(tmp_path, GOOD).parent)


def test_default_work_dir():
    assert str(default_work_dir("configs/demo/frame.py")) == "work_dirs/demo/frame"
    assert str(default_work_dir("/somewhere/configs/mviper_r50.py")) == "work_dirs/mviper_r50"
    assert str(default_work_dir("mine.py")) == "work_dirs/mine"


def test_run_tool_turns_mistakes_into_one_message(capsys):
    def fail():
        raise MissingDataError("no data; make them with: x")

    with pytest.raises(SystemExit) as stopped:
        run_tool(fail)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "Error: no data; make them with: x\n"


def test_run_tool_catches_what_registries_raise(capsys):
    from mviper.registry import MODELS

    with pytest.raises(SystemExit) as stopped:
        run_tool(lambda: MODELS.build(dict(type="mviper.Nothing")))
    assert stopped.value.code == 1
    assert "Nothing is not in the" in capsys.readouterr().err


def test_run_tool_names_what_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stopped:
        run_tool((tmp_path / "file" / "out").mkdir)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == f"Error: {tmp_path}/file/out: Not a directory\n"


def test_run_tool_lets_bugs_show():
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: 1 / 0)
    with pytest.raises(KeyError):
        run_tool(lambda: {}["x"])


def test_commands_can_be_pasted(tmp_path, monkeypatch, repository):
    """Spaces are quoted, and the tool is found from any folder."""
    assert command("test", "my runs/a.py", "x'.pth") == """python tools/test.py 'my runs/a.py' 'x'"'"'.pth'"""
    monkeypatch.chdir(tmp_path)
    shown = command("train", "configs/demo/frame.py")
    assert shown == f"python {repository}/tools/train.py configs/demo/frame.py"
    assert load_config("configs/demo/frame.py").model.type == "ImageBodyModelEstimator"  # the checkout's
    write(tmp_path, GOOD, "mine.py")
    assert load_config("mine.py").filename == "mine.py"
    monkeypatch.setattr("sys.argv", ["mviper generate", "mine.py"])  # who types mviper is answered in kind
    assert command("train", "mine.py") == "mviper train mine.py"


def test_no_command_is_put_together_by_hand(repository):
    """A path in an f-string would not be quoted: ``command`` makes commands for pasting."""
    for path in [*(repository / "mviper").rglob("*.py"), *(repository / "tools").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            texts = [part.value for part in getattr(node, "values", []) if isinstance(part, ast.Constant)]
            by_hand = isinstance(node, ast.JoinedStr) and any("python tools/" in str(text) for text in texts)
            assert not by_hand, f"{path}:{node.lineno}"


TOOLS = sorted(path.name for path in (REPOSITORY / "tools").glob("*.py"))


def test_tools_work_from_any_folder(tmp_path, repository):
    """Every --help, in one process, and two short real calls with names from the help."""
    tools = repository / "tools"
    lines = ["import runpy, sys", f"sys.path.insert(0, {str(tools)!r})"]
    for name in TOOLS:
        lines += [
            f"sys.argv = [{name!r}, '--help']",
            f"try: runpy.run_path({str(tools / name)!r}, run_name='__main__')",
            f"except SystemExit as end: assert end.code == 0, {name!r}",
        ]
    code = "\n".join(lines)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage:") == len(TOOLS) > 12
    call = [sys.executable, repository / "tools/print_config.py", "configs/mviper_r50.py"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "VideoBodyModelEstimator" in done.stdout
    call = [sys.executable, repository / "tools/train.py", "configs/demo/frame.py", "--cfg-options"]
    call += ["train_dataloader.dataset.data_root=my data, v1"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{repository}/tools/generate.py configs/demo/data.py --out 'my data, v1'" in done.stderr


def test_dist_train_finds_its_interpreter(tmp_path, repository):
    """Outside the environment; a python without the package is skipped, an invalid count is refused."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/python").chmod(0o755)
    script = repository / "tools/dist_train.sh"

    def run(*arguments, **environment):
        path = f"{tmp_path}/bin:/usr/bin:/bin"
        call = ["bash", script, *arguments]
        return subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env={"PATH": path, **environment})

    own = {"PYTHON": sys.executable, "PYTHONPATH": str(repository)}
    done = run("configs/none.py", "1", **own)
    assert done.returncode != 0 and "configs/none.py: no such config" in done.stderr
    done = run("configs/none.py", "1", PYTHON=str(tmp_path / "bin/python"))
    assert done.returncode == 1 and "has no mviper: run make install" in done.stderr
    for count in ("two", "0", "--resume"):
        done = run("configs/demo/frame.py", count, **own)
        assert done.returncode == 2 and "tools/dist_train.sh CONFIG PROCESSES" in done.stderr
    done = run("configs/none.py", "1", PYTHONPATH=str(repository))
    environment = repository / ".venv/bin/python"
    wanted = "no such config" if environment.exists() else "has no mviper"
    assert wanted in done.stderr
