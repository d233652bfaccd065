"""Testing a checkpoint: the model's metrics, compared with those of the mean pose and of the ground truth itself."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config, ConfigDict
from torch import nn

from mviper.datasets import AnnotatedDataset
from mviper.engine.checkpoints import resolve_checkpoint
from mviper.engine.runner import Runner, require_model
from mviper.errors import ConfigError
from mviper.evaluation import JointError, WorstFrames, break_down, mean_pose_figures
from mviper.files import atomic_path
from mviper.models import join_phi
from mviper.registry import METRICS

#: Labels of the printed table and their metrics. Other metrics follow under their own name.
FIGURE_COLUMNS = {
    "MPJPE [mm]": "MPJPE_mm",
    "PA-MPJPE [mm]": "PA-MPJPE_mm",
    "MPVPE sum [m]": "MPVPE_sum_m",
    "MPVPE mean [mm]": "MPVPE_mean_mm",
    "PVE-T [mm]": "PVE-T_mm",
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
#: Row of a recurrent model with the state mode opposite to its config's.
OTHER_STATE = {"carry": "model, state carried", "reset": "model, state reset"}
_TRUTH_SUFFIX = "_truth"
_ERRORS = ("MPJPE_mm", "PA-MPJPE_mm", "MPVPE_sum_m", "MPVPE_mean_mm", "PVE-T_mm")


@dataclass
class Evaluation:
    """Results of a test.

    Attributes:
        rows: Values by row (``model``, for a recurrent model also the other state mode, ``mean pose``, ``truth``) and
            metric. The mean pose is the constant phi_0 of the training split, stored in the checkpoint; the row
            ``truth`` holds the ground truth's own temporal variation.
        details: Results of :func:`~mviper.evaluation.details.break_down` for the same rows, except ``truth``.
        states: State mode of each row (``"carry"``, ``"reset 4"``).
        worst: Frames with the largest errors by metric, of the row ``model``.
        body: The model's body, to draw them.
        trained_on: The training data recorded in the checkpoint, or "": data sets with their shares, and those left out
            because they were missing.
    """

    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    details: dict[str, dict] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    worst: dict[str, list] = field(default_factory=dict, repr=False)
    body: nn.Module | None = field(default=None, repr=False)
    trained_on: str = ""

    @classmethod
    def run(cls, config: Config, checkpoint: str | Path | None = None, worst: int = 4) -> Evaluation:
        """Tests a model on the config's test split; a recurrent one both with its state carried and with it reset.

        Args:
            config: A loaded config with ``work_dir``.
            checkpoint: A checkpoint of exactly this model, or a work_dir for its newest; None for a model without
                weights (SMPLify).
            worst: Number of worst frames kept for each metric.

        Raises:
            ConfigError: No model in the config, or no checkpoint of a model that has weights.
            MissingDataError: The checkpoint does not exist.
        """
        require_model(config)
        checkpoint = None if checkpoint is None else resolve_checkpoint(checkpoint)
        runner = Runner.from_cfg(_without_training(config))
        learned: dict = {}
        if checkpoint is not None:
            learned = runner.load_checkpoint(str(checkpoint), strict=True).get("meta", {}).get("dataset_meta") or {}
        elif any(parameter.requires_grad for parameter in runner.bare_model.parameters()):
            raise ConfigError(f"{config.filename}: this model has weights, so testing it needs a checkpoint")
        found = cls(body=getattr(runner.bare_model, "body_model", None), trained_on=_described(learned))
        figures = found._measure_model(runner, worst)
        found._measure_other_state(runner, config)
        found._measure_mean_pose(runner, config)
        found.rows[TRUTH] = {name: 0.0 for name in _ERRORS if name in figures}
        for name, value in figures.items():
            if name.endswith(_TRUTH_SUFFIX):
                found.rows[TRUTH][name.removesuffix(_TRUTH_SUFFIX)] = value
        for part in (found.rows, found.details):
            for row in [row for row, values in part.items() if not values]:
                del part[row]
        return found

    def _measure_model(self, runner: Runner, worst: int) -> dict[str, float]:
        metrics = runner.test_loop.evaluator.metrics
        measure = next((metric for metric in metrics if isinstance(metric, JointError)), None)
        finders = {figure: WorstFrames(figure, worst, measure) for figure in ("MPJPE_mm", "PA-MPJPE_mm")}
        metrics += finders.values()
        figures = runner.test()
        del metrics[len(metrics) - len(finders) :]
        self.rows[MODEL], self.details[MODEL] = _without_truth(figures), break_down(metrics)
        self.worst = {figure: finder.worst for figure, finder in finders.items()}
        return figures

    def _measure_other_state(self, runner: Runner, config: Config) -> None:
        """Tests a recurrent model again with the other state mode."""
        model = runner.bare_model
        options = getattr(model, "test_cfg", None) or {}
        if "state" not in options or not model.neck.recurrent:
            return
        self.states[MODEL] = _state(options)
        other = {"carry": "reset", "reset": "carry"}[options["state"]]
        length = options["clip_length"] or _trained_clip_length(config)
        clip = config.test_dataloader.dataset.get("clip_length")
        if other == "carry" or (length and not (clip and clip <= length)):  # a short clip is never reset
            row = OTHER_STATE[other]
            model.test_cfg = {**options, "state": other, "clip_length": length}
            self.rows[row], self.states[row] = _without_truth(runner.test()), _state(model.test_cfg)
            self.details[row] = break_down(runner.test_loop.evaluator.metrics)
            model.test_cfg = options

    def _measure_mean_pose(self, runner: Runner, config: Config) -> None:
        """Tests the constant phi_0; nothing for a data set without separate annotation or a model without phi_0."""
        dataset, model = runner.test_dataloader.dataset, runner.bare_model
        if not isinstance(dataset, AnnotatedDataset) or not hasattr(getattr(model, "head", None), "mean_phi"):
            return
        configs = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
        metrics = [METRICS.build(metric) for metric in configs]
        phi = join_phi(*model.head.parameters_of(model.head.mean_phi))
        figures = mean_pose_figures(dataset.annotation_samples(), phi, model.body_model, metrics, dataset.metainfo)
        self.rows[MEAN_POSE], self.details[MEAN_POSE] = _without_truth(figures), break_down(metrics)

    def table(self) -> str:
        """A Markdown table with a line per metric and a column per row of :attr:`rows`; also readable in a terminal."""
        known = {name: label for label, name in FIGURE_COLUMNS.items()}
        names = [name for name in known if any(name in values for values in self.rows.values())]
        names += [name for values in self.rows.values() for name in values if name not in names]
        names = list(dict.fromkeys(names))
        width = max(len(known.get(name, name)) for name in names)
        sizes = [max(12, len(row)) for row in self.rows]
        lines = [f"| {'metric':{width}} | " + " | ".join(f"{row:>{n}}" for row, n in zip(self.rows, sizes)) + " |"]
        lines.append(f"|{'-' * (width + 2)}|" + "|".join("-" * (size + 1) + ":" for size in sizes) + "|")
        for name in names:
            cells = [
                f"{values[name]:{size}.4g}" if name in values else " " * size
                for values, size in zip(self.rows.values(), sizes)
            ]
            lines.append(f"| {known.get(name, name):{width}} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def write(self, folder: str | Path, **about: object) -> list[Path]:
        """Writes ``metrics.json`` (``rows``, ``states``, ``details``, ``trained_on`` and ``about``) and ``metrics.md``.

        Args:
            folder: Output folder.
            **about: Where the values come from (config, checkpoint), stored in the JSON.

        Returns:
            The two files.
        """
        folder = Path(folder)
        content = {**about, "trained_on": self.trained_on, "states": self.states, "rows": self.rows}
        content |= {"details": self.details} if self.details else {}
        texts = {"metrics.json": json.dumps(content, indent=1) + "\n", "metrics.md": f"{self.table()}\n"}
        for name, text in texts.items():
            with atomic_path(folder / name) as temporary:
                temporary.write_text(text)
        return [folder / name for name in texts]


def use_test_set(config: Config, other: Config) -> None:
    """Uses the test set and metrics of another config; pictures are still prepared as in the model's own config.

    So are those from which the test set's features are stored, if it is a ``FeatureStore``.

    Args:
        config: The model's; changed in place.
        other: With ``test_dataloader`` and ``test_evaluator``, e.g. ``configs/test_sets/h36m.py``.

    Raises:
        ConfigError: The other config has no test set.
    """
    if "test_dataloader" not in other or "test_evaluator" not in other:
        raise ConfigError(f"{other.filename}: it has no test_dataloader and test_evaluator to test on")
    pipeline = _of_pictures(config.test_dataloader.dataset).get("pipeline")
    config.test_dataloader, config.test_evaluator = other.test_dataloader, other.test_evaluator
    if pipeline is not None:
        _of_pictures(config.test_dataloader.dataset).pipeline = pipeline


def _of_pictures(dataset: ConfigDict) -> ConfigDict:
    """The pictures from which a data set's features are stored, or the data set itself."""
    return dataset.get("pictures", dataset)


def _described(learned: dict) -> str:
    """Describes a training set."""
    left_out = f", without {', '.join(learned['left_out'])}" if learned.get("left_out") else ""
    return f"{learned.get('dataset', '')}{left_out}"


def _without_training(config: Config) -> Config:
    """Builds nothing for training: testing needs no training data."""
    config = copy.deepcopy(config)
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "load_from"):
        config[key] = None
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[key] = None
    config.resume = False
    config.custom_hooks = [hook for hook in config.get("custom_hooks", []) if hook["type"] == "ProgressBarHook"]
    config.default_hooks.pop("checkpoint", None)
    return config


def _trained_clip_length(config: Config) -> int | None:
    """T of the training clips, the interval at which a state is reset."""
    dataset = (config.get("train_dataloader") or {}).get("dataset", {})
    return dataset.get("clip_length") or config.get("clip_length")


def _state(options: dict) -> str:
    return "carry" if options["state"] == "carry" else f"reset {options['clip_length']}"


def _without_truth(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if not name.endswith(_TRUTH_SUFFIX)}
