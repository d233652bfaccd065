"""The paper's tables and ours: its figures, the runs that correspond to its rows, and their results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mviper.config import default_work_dir, load_config
from mviper.engine import find_checkpoint, steps_done
from mviper.errors import ConfigError, FileFormatError
from mviper.shipped import FROM_WHEEL

#: Configs of the paper's methods in each setting, relative to the configs folder.
CONFIGS = {
    "paper": {
        "smplify": "smplify_detected.py",
        "smplify_annotated": "smplify.py",
        "hmr": "hmr_r50.py",
        "hmr_dagger": "hmr_dagger_r50.py",
        "frame": "frame_r50.py",
        "mviper": "mviper_r50.py",
    },
    "demo": {
        "smplify": "demo/smplify_detected.py",
        "smplify_annotated": "demo/smplify.py",
        **{method: f"demo/{method}.py" for method in ("hmr", "hmr_dagger", "frame", "mviper")},
    },
    "volume": {
        "smplify": "smplify_detected.py",
        "smplify_annotated": "smplify.py",
        **{method: f"{method}_blazepose.py" for method in ("hmr", "hmr_dagger", "frame", "mviper")},
    },
}
#: The settings' test sets, if not those of the configs: of pictures, and of the features that trained methods read.
TEST_SETS = {"volume": ("test_sets/volume.py", "test_sets/volume_features.py")}
#: Figures of which intervals are given: label -> name by clip in a test's JSON.
BY_CLIP = {"MPJPE": "MPJPE_mm", "PA-MPJPE": "PA-MPJPE_mm", "MPVPE": "MPVPE_mean_mm"}
#: Draws of the bootstrap.
_DRAWS = 5_000
#: The method whose run each method loads (``load_from``), and which is run first.
STARTS_FROM = {"mviper": "frame", "hmr_dagger": "hmr"}
#: Methods fitted to each frame, without training.
UNTRAINED = ("smplify", "smplify_annotated")
#: The ablation's combinations: label -> types of losses left out (in both stages; L_shape always stays).
COMBINATIONS = {
    "L_proj": ("Joint3DLoss", "SMPLParameterLoss"),
    "L_proj + L_3Djoint": ("SMPLParameterLoss",),
    "L_proj + L_smpl": ("Joint3DLoss",),
    "L_3Djoint + L_smpl": ("ProjectionLoss",),
    "L_proj + L_3Djoint + L_smpl": (),
}


@dataclass(frozen=True)
class Part:
    """How the video model is trained without one of its parts.

    Attributes:
        painted: Both stages learn from HMR's data, people in painted clothes.
        without: Patterns of sequences that both stages do not learn from.
        clip_length: T in training, with as many frames in a step; None: the config's.
        options: Other ``--cfg-options`` of the video model.
    """

    painted: bool = False
    without: Sequence[str] = ()
    clip_length: int | None = None
    options: Sequence[str] = ()


#: What the video model is without or with another of its parts: label -> how.
PARTS = {
    "painted clothes": Part(painted=True),
    "painted clothes, no interpolated motions": Part(painted=True, without=["*_to_*"]),
    "without attention": Part(options=["model.neck.attention=False"]),
    "attention without h (eq. 11)": Part(options=["model.neck.condition_on_state=False"]),
    "without recurrence": Part(clip_length=1, options=["model.test_cfg.state=reset", "model.test_cfg.clip_length=1"]),
    "without L_shape": Part(options=["model.losses.shape=None"]),
    "T = 4": Part(clip_length=4),
    "T = 16": Part(clip_length=16),
}
HUMAN36M_TEST = "test_sets/h36m.py"
#: Table 1's columns and their names in Human3.6M's files.
ACTIONS = {
    "Direc.": ("Directions",), "Discu.": ("Discussion",), "Eat": ("Eating",), "Greet": ("Greeting",),
    "Phone": ("Phoning",), "Photo": ("Photo", "TakingPhoto"), "Pose": ("Posing",), "Purchase": ("Purchases",),
    "Sit": ("Sitting",), "SitD.": ("SittingDown",), "Smoke": ("Smoking",), "Wait": ("Waiting",),
    "WalkD.": ("WalkDog", "WalkingDog"), "Walk": ("Walking",), "WalkT.": ("WalkTogether",),
}  # fmt: skip
_NAMES = {
    "smplify": "SMPLify",
    "smplify_annotated": "SMPLify, annotated joints",
    "hmr": "HMR",
    "hmr_dagger": "HMR†",
    "frame": "frame model",
    "mviper": "MVIPER",
}


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        title: What it shows.
        columns: Heading -> place of the figure in a test's JSON: a name in ``rows.model``, or ``(protocol, actions'
            names)`` in ``details.model.protocols``.
        rows: Method -> the paper's figures, one per column (None: the paper has none).
        base: The reference row of the ratios.
        also: Another row, of whose ratios intervals are given too.
        human36m: Whether it is measured on Human3.6M rather than on the synthetic test split.
    """

    title: str
    columns: Mapping[str, object]
    rows: Mapping[str, Sequence[float | None]]
    base: str = "hmr"
    also: str = ""
    human36m: bool = False


def _table_1() -> Table:
    columns = {
        f"{protocol} {label}": (protocol, names) for protocol in ("P1", "P2") for label, names in ACTIONS.items()
    }
    order = []
    for protocol in ("P1", "P2"):
        order += [name for name in columns if name.startswith(protocol)] + [f"{protocol} mean"]
    columns |= {f"{protocol} mean": f"{protocol}/PA-MPJPE_mm" for protocol in ("P1", "P2")}
    nothing = [None] * 16
    rows = {
        "smplify": [
            *nothing,
            62.0, 60.2, 67.8, 76.5, 92.1, 77.0, 73.0, 75.3, 100.3, 137.3, 83.4, 77.3, 79.7, 86.8, 81.7, 82.3,
        ],
        "smplify_annotated": nothing * 2,
        "hmr": [
            52.3, 54.7, 54.3, 57.1, 60.9, 70.4, 51.6, 49.9, 65.7, 76.0, 58.6, 52.5, 60.2, 45.2, 53.6, 57.5,
            53.2, 56.8, 50.4, 62.4, 54.0, 72.9, 49.4, 51.4, 57.8, 73.7, 54.4, 50.0, 62.6, 47.1, 55.0, 56.7,
        ],
        "hmr_dagger": [
            51.2, 52.4, 53.8, 56.9, 59.9, 65.0, 50.4, 49.2, 66.3, 73.1, 59.2, 52.6, 60.0, 46.6, 53.9, 56.7,
            52.1, 53.9, 51.4, 61.1, 54.4, 66.1, 49.6, 48.7, 58.3, 69.9, 54.6, 50.0, 60.6, 49.3, 55.5, 55.7,
        ],
        "mviper": [
            48.1, 48.8, 49.6, 55.3, 53.8, 63.4, 49.4, 48.0, 58.5, 67.4, 54.4, 52.2, 59.3, 47.3, 54.3, 54.0,
            48.0, 46.0, 46.0, 57.1, 48.6, 61.3, 47.7, 46.8, 54.1, 67.1, 48.9, 50.1, 59.1, 47.8, 56.1, 52.3,
        ],
    }  # fmt: skip
    return Table("PA-MPJPE on Human3.6M by action [mm]", {name: columns[name] for name in order}, rows, human36m=True)


_LOSSES_PAPER = {
    "L_proj": (139.0, 72.6, 117.3, 67.2),
    "L_proj + L_3Djoint": (82.6, 56.4, 83.7, 55.7),
    "L_proj + L_smpl": (110.7, 58.2, 105.3, 57.6),
    "L_3Djoint + L_smpl": (83.8, 58.0, 88.9, 58.3),
    "L_proj + L_3Djoint + L_smpl": (82.2, 54.0, 81.5, 52.3),
}
_ALL_LOSSES = "L_proj + L_3Djoint + L_smpl"
TABLES = {
    "1": _table_1(),
    "2": Table(
        "Joints on the proposed data [mm]",
        {"MPJPE": "MPJPE_mm", "PA-MPJPE": "PA-MPJPE_mm"},
        {"smplify": (152.1, 109.3), "smplify_annotated": (None,) * 2, "hmr": (133.2, 81.3),
         "hmr_dagger": (125.6, 77.6), "mviper": (93.2, 60.5)},
        also="hmr_dagger",
    ),
    "3": Table(
        "Mesh on the proposed data; MPVPE and MRVPV are sums over vertices [m], MRVPV2 one norm per frame",
        {"MPVPE": "MPVPE_sum_m", "MRSV1": "MRSV1", "MRSV2": "MRSV2", "MRVPV1": "MRVPV1_sum_m",
         "MRVPV2": "MRVPV2_frame_sum_m"},
        {"smplify": (1426.9, 0.85, 0.41, 257.9, 4.64), "smplify_annotated": (None,) * 5,
         "hmr": (1056.5, 0.82, 0.36, 194.0, 4.31),
         "hmr_dagger": (923.7, 0.76, 0.32, 191.2, 4.25), "mviper": (692.7, 0.51, 0.29, 178.7, 4.02)},
        also="hmr_dagger",
    ),
    "4": Table(
        "Losses, on Human3.6M [mm]",
        {"P1 MPJPE": "P1/MPJPE_mm", "P1 PA-MPJPE": "P1/PA-MPJPE_mm", "P2 MPJPE": "P2/MPJPE_mm",
         "P2 PA-MPJPE": "P2/PA-MPJPE_mm"},
        _LOSSES_PAPER, base=_ALL_LOSSES, human36m=True,
    ),
    "ablation": Table(
        "Losses, on the synthetic test split [mm]; the paper's figures are those of Human3.6M, protocol 1",
        {"MPJPE": "MPJPE_mm", "PA-MPJPE": "PA-MPJPE_mm"},
        {name: figures[:2] for name, figures in _LOSSES_PAPER.items()}, base=_ALL_LOSSES,
    ),
    "parts": Table(
        "MVIPER's parts, on the synthetic test split; MRVPV1 is a mean over vertices",
        {"MPJPE": "MPJPE_mm", "PA-MPJPE": "PA-MPJPE_mm", "MRVPV1": "MRVPV1_mean_mm", "MRSV1": "MRSV1"},
        {"mviper": (None,) * 4, "frame": (None,) * 4, **{name: (None,) * 4 for name in PARTS}}, base="mviper",
    ),
}  # fmt: skip


class Command(NamedTuple):
    """A training or test command.

    Attributes:
        words: The arguments after ``python``.
        leaves: Output: the file of a test, the work_dir of a training.
        steps: Steps after which a training is done, by its newest checkpoint.
    """

    words: list[str]
    leaves: Path
    steps: int | None = None

    def done(self) -> bool:
        """Whether the command has finished; an interrupted training has not."""
        if self.steps is None:
            return self.leaves.is_file()
        checkpoint = find_checkpoint(self.leaves)
        if checkpoint is None:
            return False
        steps = steps_done(checkpoint)
        return steps is None or steps >= self.steps  # unknown for weights from elsewhere


@dataclass
class Run:
    """One model to train and test.

    Attributes:
        config: Its config; None if it does not exist.
        folder: Its work_dir.
        commands: Commands that produce its figures, in order.
        metrics: The JSON that the last command writes.
        missing: Why it cannot be run, or "".
    """

    config: Path | None
    folder: Path
    commands: list[Command] = field(default_factory=list)
    metrics: Path = Path()
    missing: str = ""

    def left(self) -> list[Command]:
        """Commands still to be run; figures older than their weights are measured again."""
        if not self.commands:
            return []
        checkpoint = find_checkpoint(self.folder)
        if self.metrics.is_file() and checkpoint is None:
            return []  # comes from elsewhere
        found = [command for command in self.commands if not command.done()]
        if not found and checkpoint and self.metrics.stat().st_mtime < checkpoint.stat().st_mtime:
            return self.commands[-1:]
        return found if not found or found[-1] is self.commands[-1] else [*found, self.commands[-1]]


def plan(
    table: Table,
    setting: str = "paper",
    *,
    config_root: Path,
    root: Path | None = None,
    seed: int | None = None,
    configs: Mapping[str, Path] | None = None,
    train_options: Sequence[str] = (),
    test_options: Sequence[str] = (),
) -> dict[str, Run]:
    """Plans the runs for a table's rows.

    Args:
        table: One of ``TABLES``.
        setting: ``'paper'``, ``'demo'`` or ``'volume'``, see ``CONFIGS``.
        config_root: Folder of the configs in ``CONFIGS``.
        root: Folder for the runs; None: each config's own work_dir (rows of losses and parts:
            ``work_dirs/ablation/<setting>``; with a seed: ``work_dirs/tables/<setting>``).
        seed: Random seed of every training, whose runs go to ``seed_<N>`` in their folder; None: the configs'.
        configs: Other configs by method.
        train_options: ``--cfg-options`` of every training.
        test_options: ``--cfg-options`` of every test.
    """
    if seed is not None:
        root = root or Path("work_dirs/tables") / setting
        train_options = [*train_options, f"randomness.seed={seed}"]
    trained = root if root is None or seed is None else root / f"seed_{seed}"
    known = {}
    for method, name in CONFIGS[setting].items():
        given = (configs or {}).get(method)
        known[method] = Path(given or config_root / name), given is not None or (config_root / name).is_file()
    unknown = set(configs or {}) - set(known)
    if unknown:
        raise ConfigError(f"unknown methods {sorted(unknown)}; known are {', '.join(known)}")

    def run(method: str, folder: Path | None = None, left_out: Sequence[str] | None = None, part: Part = Part()) -> Run:
        config, exists = known[method]
        if not exists:
            return Run(None, Path(), missing=f"{config} does not exist yet")
        data = load_config(config).train_dataloader.dataset if part != Part() else {}
        if (part.painted or part.clip_length) and "datasets" in data:
            return Run(None, Path(), missing=f"{config} learns from several data sets; use --setting demo or volume")
        if part.without and data["type"] != "FeatureStore":
            return Run(None, Path(), missing=f"{config} does not learn from stored features; use --setting volume")
        beside = folder.parent if folder else root if method in UNTRAINED else trained  # where it finds its start
        folder = folder or (beside / method if beside else default_work_dir(config))
        commands, options, own = [], [*train_options], []
        if method in STARTS_FROM:
            first = STARTS_FROM[method]
            if left_out is not None or part.painted or part.without:
                of_both = Part(painted=part.painted, without=part.without)
                start = run(first, beside / first if beside else None, left_out, of_both)
            else:
                start = run(first)
            if start.missing:
                return start
            commands += [command for command in start.commands if command.steps is not None]
            options.append(f"load_from={start.folder}")
        if left_out:
            options += [f"model.losses.{name}=None" for name in _losses_of(config, left_out)]
        if part.painted:
            options += _painted(config, known["hmr"][0])
        if part.without:
            options.append(f"train_dataloader.dataset.exclude={list(part.without)}")
        if part.clip_length:
            own += _clips_of(config, part.clip_length)
        own += part.options
        if method not in UNTRAINED:
            words = ["tools/train.py", str(config), "--work-dir", str(folder), "--resume", *_options([*options, *own])]
            commands.append(Command(words, folder, _steps(config, options)))
        out = folder / "h36m" if table.human36m else folder
        words = ["tools/test.py", str(config), *([str(folder)] if method not in UNTRAINED else [])]
        of_setting = TEST_SETS.get(setting, (None, None))[method not in UNTRAINED]
        test_set = HUMAN36M_TEST if table.human36m else of_setting
        words += ["--out", str(out)] + (["--on", str(config_root / test_set)] if test_set else [])
        commands.append(Command([*words, *_options([*own, *test_options])], out / "metrics.json"))
        return Run(config, folder, commands, out / "metrics.json")

    runs = {}
    for row in table.rows:
        parent = (trained or Path("work_dirs/ablation") / setting) / _folder_name(row)
        if row in COMBINATIONS:
            runs[row] = run("mviper", parent / "mviper", left_out=COMBINATIONS[row])
        elif row in PARTS:
            runs[row] = run("mviper", parent / "mviper", part=PARTS[row])
        else:
            runs[row] = run(row)
    return runs


def _folder_name(row: str) -> str:
    return re.sub(r"\W+", "_", row.replace("L_", "").lower()).strip("_")


def _painted(config: Path, hmr: Path) -> list[str]:
    """Options that give a config HMR's training data, which an adversarial data set wraps."""
    data, own = load_config(hmr).train_dataloader.dataset, load_config(config).train_dataloader.dataset
    data = data.get("dataset", data)
    changed = [f"{key}={data[key]}" for key in ("data_root", "synthesis_config") if key in data and key in own]
    changed += [
        f"pictures.{key}={data.pictures[key]}" for key in ("data_root", "synthesis_config") if "pictures" in own
    ]
    return [f"train_dataloader.dataset.{option}" for option in changed]


def _clips_of(config: Path, length: int) -> list[str]:
    """Options for clips of another length, with as many frames in a step."""
    loader = load_config(config).train_dataloader
    frames = loader.batch_size * loader.dataset.clip_length
    return [f"train_dataloader.dataset.clip_length={length}", f"train_dataloader.batch_size={max(1, frames // length)}"]


def _options(options: Sequence[str]) -> list[str]:
    return ["--cfg-options", *options] if options else []


def _steps(config: Path, options: Sequence[str]) -> int:
    """Number of steps of a training."""
    given = [option.partition("=")[2] for option in options if option.startswith("train_cfg.max_iters=")]
    return int(given[-1]) if given else load_config(config).train_cfg.max_iters


def _losses_of(config: Path, types: Sequence[str]) -> list[str]:
    """Names of a config's losses of the given types."""
    return [name for name, loss in (load_config(config).model.losses or {}).items() if loss and loss["type"] in types]


def shell(command: Sequence[str]) -> str:
    """Formats a command for the shell."""
    tool, *words = command
    start = ["mviper", Path(tool).stem] if FROM_WHEEL else ["python", tool]
    return " ".join([*start, *(f"'{part}'" if " " in part else part for part in words)])


def execute(runs: Mapping[str, Run], launch: Callable[[Sequence[str]], int]) -> None:
    """Runs all unfinished commands in order, until one fails. Interrupted trainings are resumed.

    Args:
        runs: Runs from :func:`plan`.
        launch: Runs a command's words and returns its exit code.

    Raises:
        ConfigError: A command failed.
    """
    for name, run in runs.items():
        for command in run.left():
            print(f"\n[{label(name)}] {shell(command.words)}", flush=True)
            if launch(command.words):
                raise ConfigError(
                    f"the command for the row '{label(name)}' failed: {shell(command.words)}\n"
                    "Run the same table again to resume."
                )


def measured(run: Run, table: Table) -> list[float | None] | None:
    """A run's figures, one per column; None without its JSON.

    Raises:
        FileFormatError: Not a JSON file from ``tools/test.py``.
    """
    found = _read(run)
    if found is None:
        return None
    rows, details = found
    protocols, figures = details.get("protocols", {}), []
    for place in table.columns.values():
        if isinstance(place, str):
            figures.append(rows.get(place))
        else:
            actions = protocols.get(place[0], {})
            figures.append(next((actions[name]["PA-MPJPE_mm"] for name in place[1] if name in actions), None))
    return figures


def _read(run: Run) -> tuple[dict, dict] | None:
    """The model's figures and their details; None without the JSON."""
    if not run.metrics.is_file():
        return None
    try:
        content = json.loads(run.metrics.read_text())
        rows, details = content["rows"]["model"], content.get("details", {}).get("model", {})
        details.get("protocols")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(run.metrics, f"not written by tools/test.py: {error!r}") from error
    return rows, details


def label(row: str) -> str:
    """A row's printed name."""
    return _NAMES.get(row, row)


def compare(table: Table, *runs: Mapping[str, Run]) -> tuple[list[str], dict[str, list[float | None]]]:
    """Tabulates the paper's figures, ours, and the ratios of both to the base row.

    Args:
        table: One of ``TABLES``.
        runs: From :func:`plan`, once for each seed; our figures are means over the seeds that have been measured.

    Returns:
        Headings, the first for the rows' names; and by row, four cells per column.
    """
    ours = {row: _mean([measured(seed[row], table) for seed in runs]) for row in runs[0]}
    ratio_to = label(table.base).replace(_ALL_LOSSES, "all")
    headings = ["method"]
    for column in table.columns:
        headings += [f"{column} paper", "ours", f"paper / {ratio_to}", f"ours / {ratio_to}"]
    cells = {}
    for row, paper in table.rows.items():
        cells[label(row)] = []
        for number in range(len(table.columns)):
            of_paper, of_base = paper[number], table.rows[table.base][number]
            mine = ours[row][number] if ours[row] else None
            my_base = ours[table.base][number] if ours[table.base] else None
            cells[label(row)] += [of_paper, mine, _ratio(of_paper, of_base), _ratio(mine, my_base)]
    return headings, cells


def _mean(seeds: Sequence[list[float | None] | None]) -> list[float | None] | None:
    """Column by column the mean over seeds, without those not measured."""
    found = [figures for figures in seeds if figures is not None]
    if not found:
        return None
    return [None if None in column else sum(column) / len(column) for column in zip(*found)]


def intervals(
    table: Table, runs: Sequence[Mapping[str, Run]]
) -> dict[tuple[str, str], dict[str, tuple[float, float, float]]]:
    """Ratios to the base row, and to the table's other one, with the uncertainty from the choice of clips and seeds.

    Bootstrap (Efron and Tibshirani 1993): clips are drawn with replacement, the same ones for both rows, and for either
    row seeds. Errors are means over the drawn clips' frames.

    Args:
        table: One of ``TABLES``.
        runs: From :func:`plan`, once for each seed.

    Returns:
        Row and the row that it is divided by -> label in ``BY_CLIP`` -> ratio and the ends of its 95 % interval. Rows
        and figures that were not measured on the same clips as the latter are left out.
    """
    by_row = {row: [found for seed in runs if (found := _by_clip(seed[row]))] for row in runs[0]}
    result: dict[tuple[str, str], dict[str, tuple[float, float, float]]] = {}
    for divisor in (table.base, table.also):
        base = by_row.get(divisor)
        for row, mine in by_row.items():
            if row in (table.base, divisor) or not mine or not base:
                continue
            ratios = {}
            for name, figure in BY_CLIP.items():
                tables = [_clip_table(seeds, figure, list(base[0])) for seeds in (mine, base)]
                if all(each is not None for each in tables):
                    ratios[name] = _bootstrap(*tables, np.array([clip["frames"] for clip in base[0].values()], float))
            if ratios:
                result[row, divisor] = ratios
    return result


def _by_clip(run: Run) -> dict[str, dict]:
    found = _read(run)
    return dict(sorted(found[1].get("actions", {}).items())) if found else {}


def _clip_table(seeds: Sequence[dict[str, dict]], figure: str, clips: list[str]) -> np.ndarray | None:
    """Errors by seed and clip, (S, C); None if a seed lacks a clip or the figure."""
    if any(list(seed) != clips or any(clip.get(figure) is None for clip in seed.values()) for seed in seeds):
        return None
    return np.array([[clip[figure] for clip in seed.values()] for seed in seeds])


def _bootstrap(mine: np.ndarray, base: np.ndarray, frames: np.ndarray) -> tuple[float, float, float]:
    """Ratio of two tables' errors (S, C) and the ends of its 95 % interval."""
    rng = np.random.default_rng(0)
    clips = rng.integers(len(frames), size=(_DRAWS, len(frames)))
    weights = frames[clips] / frames[clips].sum(1, keepdims=True)

    def drawn(table: np.ndarray) -> np.ndarray:
        seeds = rng.integers(len(table), size=(_DRAWS, len(table)))
        return (table[seeds[:, :, None], clips[:, None]].mean(1) * weights).sum(1)

    whole = [np.average(table.mean(0), weights=frames) for table in (mine, base)]
    low, high = np.quantile(drawn(mine) / drawn(base), [0.025, 0.975])
    return float(whole[0] / whole[1]), float(low), float(high)


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def still_to_do(runs: Mapping[str, Run]) -> list[str]:
    """What is missing, one line per row: a config that does not exist, or the commands that produce the figures."""
    lines = []
    for row, run in runs.items():
        if run.missing:
            lines.append(f"{label(row)}: {run.missing}")
        elif run.left():
            lines.append(f"{label(row)}: " + " && ".join(shell(command.words) for command in run.left()))
    return lines
