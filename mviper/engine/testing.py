"""Testing a checkpoint: the model's figures beside those of the mean pose and of the truth itself."""

from __future__ import annotations

import json
from pathlib import Path

from mmengine.config import Config

from mviper.engine.checkpoints import require_checkpoint
from mviper.engine.runner import Runner
from mviper.files import atomic_path

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
}
MODEL, MEAN_POSE, TRUTH = "model", "mean pose", "truth"
_TRUTH_SUFFIX = "_truth"
_ERRORS = ("MPJPE_mm", "PA-MPJPE_mm", "MPVPE_sum_m", "MPVPE_mean_mm")


def test_checkpoint(config: Config, checkpoint: str | Path) -> dict[str, dict[str, float]]:
    """Runs the test split.

    Args:
        config: A loaded config with ``work_dir``.
        checkpoint: A checkpoint of exactly this model.

    Returns:
        Figures by row (``model``, ``mean pose``, ``truth``) and metric. The mean pose is the constant phi_0 of the
        training split, which the checkpoint holds; the truth's row has its own temporal variation.
    """
    require_checkpoint(checkpoint)
    config = config.copy()
    # Nothing of training is built: a machine that tests needs no training data.
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "load_from"):
        config[key] = None
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[key] = None
    config.resume = False
    config.custom_hooks = [hook for hook in config.get("custom_hooks", []) if hook["type"] == "ProgressBarHook"]
    config.default_hooks.pop("checkpoint", None)
    runner = Runner.from_cfg(config)
    runner.load_checkpoint(str(checkpoint), strict=True)
    figures = runner.test()
    rows = {
        MODEL: {name: value for name, value in figures.items() if not name.endswith(_TRUTH_SUFFIX)},
        MEAN_POSE: _mean_pose(runner, config),
        TRUTH: {name: 0.0 for name in _ERRORS if name in figures},
    }
    for name, value in figures.items():
        if name.endswith(_TRUTH_SUFFIX):
            rows[TRUTH][name.removesuffix(_TRUTH_SUFFIX)] = value
    return {row: values for row, values in rows.items() if values}


def _mean_pose(runner: Runner, config: Config) -> dict[str, float]:
    dataset = runner.test_dataloader.dataset
    if not hasattr(dataset, "annotation_samples"):
        return {}
    from mviper.evaluation import mean_pose_figures

    metrics = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
    model = runner.bare_model
    figures = mean_pose_figures(
        dataset.annotation_samples(), model.head.mean_phi, model.body_model, metrics, dataset.metainfo
    )
    return {name: value for name, value in figures.items() if not name.endswith(_TRUTH_SUFFIX)}


def metrics_table(rows: dict[str, dict[str, float]]) -> str:
    """A Markdown table, one line a metric and one column a row of ``rows``, which reads well in a terminal, too."""
    known = {name: label for label, name in COLUMNS.items()}
    names = [name for name in known if any(name in values for values in rows.values())]
    names += [name for values in rows.values() for name in values if name not in names]
    names = list(dict.fromkeys(names))
    width = max(len(known.get(name, name)) for name in names)
    lines = [f"| {'metric':{width}} | " + " | ".join(f"{row:>12}" for row in rows) + " |"]
    lines.append(f"|{'-' * (width + 2)}|" + "|".join("-" * 13 + ":" for _ in rows) + "|")
    for name in names:
        cells = [f"{values[name]:12.4g}" if name in values else " " * 12 for values in rows.values()]
        lines.append(f"| {known.get(name, name):{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_metrics(rows: dict[str, dict[str, float]], folder: str | Path, **about: str) -> list[Path]:
    """Writes ``metrics.json`` (``rows`` and ``about``) and ``metrics.md``.

    Args:
        rows: What :func:`test_checkpoint` returned.
        folder: Where to.
        **about: Where the figures come from (config, checkpoint), kept in the JSON.

    Returns:
        The two files.
    """
    folder = Path(folder)
    texts = {
        "metrics.json": json.dumps({**about, "rows": rows}, indent=2) + "\n",
        "metrics.md": f"{metrics_table(rows)}\n",
    }
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text)
    return [folder / name for name in texts]
