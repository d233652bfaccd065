"""Testing a checkpoint: the model's figures beside those of the mean pose and of the truth itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from torch import nn

from mviper.engine.checkpoints import require_checkpoint
from mviper.engine.runner import Runner, require_model
from mviper.errors import ConfigError
from mviper.files import atomic_path
from mviper.registry import METRICS

#: Columns of the printed table: label and the metric's name. Metrics that are not here follow under their own name.
COLUMNS = {
    "MPJPE [mm]": "MPJPE_mm",
    "PA-MPJPE [mm]": "PA-MPJPE_mm",
    "MPVPE sum [m]": "MPVPE_sum_m",
    "MPVPE mean [mm]": "MPVPE_mean_mm",
    "MRVPV1 sum [m]": "MRVPV1_sum_m",
    "MRVPV1 mean [mm]": "MRVPV1_mean_mm",
    "MRVPV2 sum [m]": "MRVPV2_sum_m",
    "MRVPV2 mean [mm]": "MRVPV2_mean_mm",
    "MRVPV2 frame sum [m]": "MRVPV2_frame_sum_m",
    "MRVPV2 frame mean [mm]": "MRVPV2_frame_mean_mm",
    "MRSV1": "MRSV1",
    "MRSV2": "MRSV2",
    "accel. error [mm/frame²]": "acceleration_error_mm",
    "3DPCK at 150 mm [%]": "3DPCK_150mm",
    "3DPCK AUC [%]": "3DAUC",
}
MODEL, MEAN_POSE, TRUTH = "model", "mean pose", "truth"
#: Row of a recurrent model whose state is treated the other way than its config says.
OTHER_STATE = {"carry": "model, state carried", "reset": "model, state reset"}
_TRUTH_SUFFIX = "_truth"
_ERRORS = ("MPJPE_mm", "PA-MPJPE_mm", "MPVPE_sum_m", "MPVPE_mean_mm")


@dataclass
class TestResult:
    """What a test found.

    Attributes:
        rows: Figures by row (``model``, for a recurrent model also the other treatment of its state, ``mean pose``,
            ``truth``) and metric. The mean pose is the constant phi_0 of the training split, which the checkpoint
            holds; the truth's row has its own temporal variation.
        details: For the same rows but the truth's what :func:`~mviper.evaluation.details.break_down` makes of them.
        states: Which row's state was carried and which one's reset (``"carry"``, ``"reset 4"``).
        worst: Frames with the largest errors by figure, of the row ``model``.
        body: The model's body, to draw them.
    """

    rows: dict[str, dict[str, float]]
    details: dict[str, dict] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    worst: dict[str, list] = field(default_factory=dict, repr=False)
    body: nn.Module | None = field(default=None, repr=False)

    __test__ = False  # for pytest


def test_checkpoint(config: Config, checkpoint: str | Path) -> dict[str, dict[str, float]]:
    """The rows of :func:`run_test`."""
    return run_test(config, checkpoint).rows


test_checkpoint.__test__ = False


def run_test(config: Config, checkpoint: str | Path | None, worst: int = 4) -> TestResult:
    """Runs the test split; a recurrent model with its state carried and once more with it reset.

    Args:
        config: A loaded config with ``work_dir``.
        checkpoint: A checkpoint of exactly this model; None for one without weights (SMPLify).
        worst: How many of the worst frames are kept for each figure.

    Raises:
        ConfigError: No model in the config, or no checkpoint of a model that has weights.
        MissingDataError: The checkpoint does not exist.
    """
    from mviper.evaluation.details import WorstFrames, break_down
    from mviper.evaluation.metrics import JointError

    require_model(config)
    if checkpoint is not None:
        require_checkpoint(checkpoint)
    config = config.copy()
    # Nothing of training is built: a machine that tests needs no training data.
    clip_length = _trained_clip_length(config)
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "load_from"):
        config[key] = None
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[key] = None
    config.resume = False
    config.custom_hooks = [hook for hook in config.get("custom_hooks", []) if hook["type"] == "ProgressBarHook"]
    config.default_hooks.pop("checkpoint", None)
    runner = Runner.from_cfg(config)
    if checkpoint is not None:
        runner.load_checkpoint(str(checkpoint), strict=True)
    elif any(parameter.requires_grad for parameter in runner.bare_model.parameters()):
        raise ConfigError(f"{config.filename}: its model has weights, so testing it needs a checkpoint")
    runner._test_loop = runner.build_test_loop(runner._test_loop)
    metrics = runner.test_loop.evaluator.metrics
    measure = next((metric for metric in metrics if isinstance(metric, JointError)), None)
    finders = {figure: WorstFrames(figure, worst, measure) for figure in ("MPJPE_mm", "PA-MPJPE_mm")}
    metrics += finders.values()
    figures = runner.test()
    rows, states = {MODEL: _without_truth(figures)}, {}
    details = {MODEL: break_down(metrics)}
    del metrics[len(metrics) - len(finders) :]

    model = runner.bare_model
    options = getattr(model, "test_cfg", None) or {}
    if "state" in options and model.neck.recurrent:
        states[MODEL] = _state(options)
        other = {"carry": "reset", "reset": "carry"}[options["state"]]
        length = options["clip_length"] or clip_length
        clip = config.test_dataloader.dataset.get("clip_length")
        differs = other == "carry" or (length and not (clip and clip <= length))  # a short clip is never reset
        if differs:
            model.test_cfg = {**options, "state": other, "clip_length": length}
            rows[OTHER_STATE[other]] = _without_truth(runner.test())
            details[OTHER_STATE[other]], states[OTHER_STATE[other]] = break_down(metrics), _state(model.test_cfg)
            model.test_cfg = options

    rows[MEAN_POSE], details[MEAN_POSE] = _mean_pose(runner, config)
    rows[TRUTH] = {name: 0.0 for name in _ERRORS if name in figures}
    for name, value in figures.items():
        if name.endswith(_TRUTH_SUFFIX):
            rows[TRUTH][name.removesuffix(_TRUTH_SUFFIX)] = value
    return TestResult(
        {row: values for row, values in rows.items() if values},
        {row: values for row, values in details.items() if values},
        states,
        {figure: finder.worst for figure, finder in finders.items()},
        getattr(model, "body_model", None),
    )


run_test.__test__ = False


def test_on(config: Config, other: Config) -> None:
    """Takes test set and metrics of another config; pictures are still prepared as the model's own config says.

    Args:
        config: The model's; changed in place.
        other: With ``test_dataloader`` and ``test_evaluator``, e.g. ``configs/_base_/h36m_test.py``.

    Raises:
        ConfigError: The other config has no test set.
    """
    if "test_dataloader" not in other or "test_evaluator" not in other:
        raise ConfigError(f"{other.filename}: it has no test_dataloader and test_evaluator to test on")
    pipeline = config.test_dataloader.dataset.get("pipeline")
    config.test_dataloader, config.test_evaluator = other.test_dataloader, other.test_evaluator
    if pipeline is not None:
        config.test_dataloader.dataset.pipeline = pipeline


test_on.__test__ = False


def _trained_clip_length(config: Config) -> int | None:
    """T of the training clips, after which a state that is reset is reset."""
    dataset = (config.get("train_dataloader") or {}).get("dataset", {})
    return dataset.get("clip_length") or config.get("clip_length")


def _state(options: dict) -> str:
    return "carry" if options["state"] == "carry" else f"reset {options['clip_length']}"


def _without_truth(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if not name.endswith(_TRUTH_SUFFIX)}


def _mean_pose(runner: Runner, config: Config) -> tuple[dict[str, float], dict]:
    """Figures and details of the constant phi_0; both empty without bare annotation or without a phi_0."""
    dataset = runner.test_dataloader.dataset
    model = runner.bare_model
    if not hasattr(dataset, "annotation_samples") or not hasattr(getattr(model, "head", None), "mean_phi"):
        return {}, {}
    from mviper.evaluation import mean_pose_figures
    from mviper.evaluation.details import break_down
    from mviper.models.parameters import join_phi

    configs = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
    metrics = [METRICS.build(metric) for metric in configs]
    mean_phi = join_phi(*model.head.parameters_of(model.head.mean_phi))
    figures = mean_pose_figures(dataset.annotation_samples(), mean_phi, model.body_model, metrics, dataset.metainfo)
    return _without_truth(figures), break_down(metrics)


def metrics_table(rows: dict[str, dict[str, float]]) -> str:
    """A Markdown table, one line a metric and one column a row of ``rows``, which reads well in a terminal, too."""
    known = {name: label for label, name in COLUMNS.items()}
    names = [name for name in known if any(name in values for values in rows.values())]
    names += [name for values in rows.values() for name in values if name not in names]
    names = list(dict.fromkeys(names))
    width = max(len(known.get(name, name)) for name in names)
    columns = [max(12, len(row)) for row in rows]
    lines = [f"| {'metric':{width}} | " + " | ".join(f"{row:>{size}}" for row, size in zip(rows, columns)) + " |"]
    lines.append(f"|{'-' * (width + 2)}|" + "|".join("-" * (size + 1) + ":" for size in columns) + "|")
    for name in names:
        cells = [
            f"{values[name]:{size}.4g}" if name in values else " " * size
            for values, size in zip(rows.values(), columns)
        ]
        lines.append(f"| {known.get(name, name):{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_metrics(
    rows: dict[str, dict[str, float]], folder: str | Path, details: dict[str, dict] | None = None, **about: object
) -> list[Path]:
    """Writes ``metrics.json`` (``rows``, ``details`` and ``about``) and ``metrics.md``.

    Args:
        rows: Figures by row and metric, as in :class:`TestResult`.
        folder: Where to.
        details: What the figures are made of, as in :class:`TestResult`.
        **about: Where the figures come from (config, checkpoint), kept in the JSON.

    Returns:
        The two files.
    """
    folder = Path(folder)
    content = {**about, "rows": rows, **({"details": details} if details else {})}
    texts = {"metrics.json": json.dumps(content, indent=1) + "\n", "metrics.md": f"{metrics_table(rows)}\n"}
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text)
    return [folder / name for name in texts]
