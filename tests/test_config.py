import pytest

from mviper.config import default_work_dir, load_config, run_tool
from mviper.errors import ConfigError, MissingDataError

GOOD = """
model = dict(type="ImageBodyModelEstimator", backbone=dict(type="ResNetEncoder"), head=dict(type="IEFHead"),
             body_model=dict(type="SMPL"), losses=dict(p=dict(type="ProjectionLoss")))
"""


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
        ({"scene": {"lights": {"type": "Lamp0"}}}, r"scene\.lights\.type: "),
    ],
)
def test_unknown_names_have_file_place_and_near_names(tmp_path, options, message):
    with pytest.raises(ConfigError, match=r"x\.py: " + message):
        load_config(write(tmp_path, GOOD), options)


def test_type_in_a_section_that_is_not_known_is_left_alone(tmp_path):
    assert load_config(write(tmp_path, GOOD + 'notes = dict(type="anything")\n')).notes.type == "anything"


def test_option_that_does_not_fit(tmp_path):
    with pytest.raises(ConfigError, match="--cfg-options"):
        load_config(write(tmp_path, GOOD + "hooks = [1, 2]\n"), {"hooks.7": 3})


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


def test_run_tool_lets_bugs_show():
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: 1 / 0)
    with pytest.raises(KeyError):
        run_tool(lambda: {}["x"])
