"""Which clothes survive which motions on which bodies, and at what cost: a stratified random sample."""

from __future__ import annotations

import argparse
import hashlib
import json
import textwrap
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls

from benchmarks import Result
from mviper.config import load_config
from mviper.errors import ConfigError, SequenceRejected
from mviper.files import atomic_path, save_npz
from mviper.graphics import contact_sheet, save_image
from mviper.motion import Clip, heading
from mviper.registry import GARMENTS
from mviper.reports import dressed_views, labelled
from mviper.structures import MeshSequence
from mviper.synthesis import Factory, TryOn, complete_config, try_on
from mviper.synthesis.garments import ParametricGarment
from mviper.synthesis.simulation import QualityLimits, SurfaceProbe, upper_limits

_CONFIG = "configs/synthesis/wardrobe.py"

#: Runs, kicks and flips, with lower requirements.
HARD_MOTIONS = ("run", "spinkick", "cartwheel")

#: Bodies by name: index and value of the nonzero beta.
BODIES = {f"beta{index + 1}{value:+}": (index, value) for index in range(3) for value in (2.5, -2.5)}

#: Every n-th outfit is layered: a top over something worn below.
_LAYERED = 3

#: The body's self-contact is measured in every n-th frame.
_CONTACT_EVERY = 4

_WORST = 10

#: Targets of docs/benchmarks.md: shares in percent, a garment of 3,000 vertices, 10 solver steps.
TARGETS = {
    "accepted": [">=", 93.0],
    "accepted_but_run_kick_flip": [">=", 97.0],
    "cpu_s_per_frame_of_3000_vertices": ["<=", 0.45],
}


@dataclass(frozen=True)
class Cell:
    """One draw: a garment's registered type, a body and a motion, by name."""

    garment: str
    body: str
    motion: str


def choose_cell(
    done: Iterable[Cell], garments: list[str], bodies: list[str], motions: list[str], rng: np.random.Generator
) -> Cell:
    """Chooses the next draw at random among the least drawn so far.

    No cell is repeated before all have been drawn. Counts are kept even for garments first, then for motions, bodies
    and pairs of garment and motion, so that after three times as many draws as there are garments or motions each was
    drawn three times.

    Args:
        done: The draws so far.
        garments: All garments.
        bodies: All bodies.
        motions: All motions.
        rng: Breaks ties.
    """
    done = list(done)
    cells = [Cell(g, b, m) for g in garments for b in bodies for m in motions]
    times = Counter(done)
    seldom = min(times[cell] for cell in cells)
    cells = [cell for cell in cells if times[cell] == seldom]
    for key in (
        lambda cell: cell.garment, lambda cell: cell.motion, lambda cell: (cell.garment, cell.motion),
        lambda cell: cell.body, lambda cell: (cell.garment, cell.body),
    ):  # fmt: skip
        count = Counter(key(cell) for cell in done)
        least = min(count[key(cell)] for cell in cells)
        cells = [cell for cell in cells if count[key(cell)] == least]
    return cells[int(rng.integers(len(cells)))]


def measure(arguments: argparse.Namespace) -> Result:
    """Draws until the time is up, or the wanted number is made; includes earlier results in the folder."""
    torch.set_num_threads(1)
    if arguments.draws is not None and arguments.draws < 1:
        raise ConfigError(f"--draws takes a number of 1 or more, got {arguments.draws}")
    deadline = time.monotonic() + 60 * arguments.minutes
    out = Path(arguments.out or "work_dirs/wardrobe")
    config = complete_config(load_config(arguments.config or _CONFIG, {"seed": arguments.seed}).to_dict())
    shop = Factory(config)
    clips = {clip.name: clip for clip in shop.source.clips()}
    GARMENTS.import_from_location()
    known = sorted(GARMENTS.module_dict)
    if unknown := sorted(set(arguments.garments or ()) - set(known)):
        raise ConfigError(f"no garment {', '.join(unknown)}; there are {', '.join(known)}")
    kinds = {name: GARMENTS.get(name).kind for name in arguments.garments or known}
    mesh = {} if arguments.edge_length is None else {"edge_length": arguments.edge_length}
    records = _kept(out, {**config, **mesh})
    begun = len(records)
    while (
        len(records) < arguments.draws
        if arguments.draws is not None
        else len(records) == begun or time.monotonic() < deadline
    ):
        number = len(records)
        rng = np.random.default_rng([arguments.seed, number])
        done = [Cell(**record["cell"]) for record in records]
        cell = choose_cell(done, list(kinds), list(BODIES), list(clips), rng)
        outfit = [cell.garment]
        partners = [name for name, kind in kinds.items() if {kind, kinds[cell.garment]} in _LAYERS]
        if number % _LAYERED == _LAYERED - 1 and partners:
            outfit.append(str(rng.choice(partners)))
        outfit.sort(key=lambda name: kinds[name] == "top")  # tops are the outer layer
        garments = [GARMENTS.build(dict(type=name, **mesh)) for name in outfit]
        drawn = _draw(shop, clips[cell.motion], garments, cell, rng, out, number)
        record = {"cell": vars(cell), "outfit": outfit, **drawn}
        with atomic_path(out / f"draw_{number:04d}.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
        records.append(record)
        steps = f" at {record['steps']} steps" if record["steps"] else ""
        verdict = f"rejected: {record['reason']}" if record["reason"] else f"accepted{steps}"
        print(f"{number}: {' + '.join(outfit)}, {cell.body}, {cell.motion}: {verdict}, {record['seconds']:.0f} CPU-s")
        for breach in record["breaches"][: None if not record["reason"] else -1]:
            print(f"    {breach}")
    print()
    _print_table("garment", list(kinds), records)
    _print_table("motion", list(clips), records)
    for record in records:
        if record["reason"]:
            print(f"Rejected {_title(record)}: {'; '.join(record['breaches']) or record['reason']}")
    _draw_sheets(out, records, shop.body.faces)
    return _summary(records), _figures(records), TARGETS


#: Kinds that can be layered.
_LAYERS = ({"top", "bottom"}, {"top", "skirt"})


def _kept(out: Path, config: dict) -> list[dict]:
    """Earlier results in a folder, in the order of the draws.

    Raises:
        ConfigError: They were made with other settings.
    """
    kept = (
        "seed", "source", "fps", "max_frames", "clip_part", "arm_room", "lead_in", "simulator", "body_model",
        "edge_length",
    )  # fmt: skip
    settings = json.loads(json.dumps({key: config[key] for key in kept if key in config}))
    path = out / "settings.json"
    if path.is_file() and json.loads(path.read_text()) != settings:
        raise ConfigError(f"{out} contains draws with another seed or other settings; give another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")
    records = []
    while (path := out / f"draw_{len(records):04d}.json").is_file():
        records.append(json.loads(path.read_text()))
    return records


def _draw(
    shop: Factory, clip: Clip, outfit: list[ParametricGarment], cell: Cell, rng: np.random.Generator, out: Path,
    number: int,
) -> dict:  # fmt: skip
    """One draw's result as plain data; two of its frames are saved with it for pictures."""
    index, value = BODIES[cell.body]
    betas = np.zeros(shop.body.num_betas)
    betas[index] = value
    start = time.process_time()
    try:
        tried = try_on(shop, clip, betas, rng, outfit)
    except SequenceRejected as error:
        return dict(
            reason=error.reason, steps=None, breaches=[], figures={}, seconds=time.process_time() - start, attempts=[],
            contact=0.0, score=0.0, sew_and_drape=None,
        )  # fmt: skip
    seconds = time.process_time() - start
    kinds = {garment.name: garment.kind for garment in tried.garments}
    body, lead_in, result = tried.performance.body, tried.performance.lead_in, tried.result
    figures = {name: result.quality[name] for name in kinds if name in result.quality}
    limits = getattr(shop.simulator, "limits", QualityLimits())
    scores = [
        own[name] / bound
        for garment, own in figures.items()
        for name, bound in upper_limits(kinds[garment], limits).items()
        if name in own
    ]
    _keep_frames(tried, out / f"draw_{number:04d}.npz")
    sewing = result.timings.get("baste", 0.0) + result.timings.get("sew", 0.0)
    draping = 0.0
    if result.attempts:
        last = result.attempts[-1]
        draping = last.seconds * (last.frames - len(body)) / last.frames
    return dict(
        reason=tried.reason,
        steps=result.quality.get("solver_steps"),
        breaches=result.quality.get("breaches", []),
        figures=figures,
        seconds=seconds,
        attempts=[vars(attempt) for attempt in result.attempts],
        contact=_self_contact(body, lead_in),
        score=max(scores, default=0.0),
        sew_and_drape=None if tried.reason else sewing + draping,
    )


def _self_contact(body: MeshSequence, first: int) -> float:
    """Share of the body in self-contact, mean over the captured frames [%]."""
    probe = SurfaceProbe(body)
    return float(100 * np.mean([probe.contact(frame).mean() for frame in range(first, len(body), _CONTACT_EVERY)]))


def _keep_frames(tried: TryOn, path: Path) -> None:
    """Saves the frame with the most stretched cloth, and the middle captured frame."""
    body, cloth, first = tried.performance.body, tried.result.meshes, tried.performance.lead_in
    if not cloth:
        return
    stretch = np.max([np.nan_to_num(_stretch_by_frame(mesh), nan=np.inf) for mesh in cloth], axis=0)
    count = len(body)
    frames = [first + int(stretch[first:].argmax()), (first + count) // 2]
    arrays = {"frames": np.array(frames), "heading": heading(tried.performance.leading.poses[frames, 0])}
    arrays["body"] = body.vertices[frames].astype(np.float32)
    for index, mesh in enumerate(cloth):
        arrays |= {f"cloth{index}": mesh.vertices[frames].astype(np.float32), f"faces{index}": mesh.faces}
    save_npz(path, **arrays)


def _stretch_by_frame(cloth: MeshSequence) -> np.ndarray:
    """99th percentile of the ratio of triangle sides to their length in the pattern, per frame, (T,)."""
    sides = [np.linalg.norm(cloth.uv[:, k] - cloth.uv[:, k - 1], axis=1) for k in range(3)]
    shares = []
    for vertices in cloth.vertices:
        corners = vertices[cloth.faces]
        now = [np.linalg.norm(corners[:, k] - corners[:, k - 1], axis=1) for k in range(3)]
        shares.append(np.percentile(np.concatenate(now) / np.concatenate(sides), 99))
    return np.array(shares)


def _draw_sheets(out: Path, records: list[dict], body_faces: np.ndarray) -> None:
    """Contact sheets of the worst accepted draws and of the rejected ones: both saved frames from three sides."""
    numbered = list(enumerate(records))
    accepted = sorted((pair for pair in numbered if not pair[1]["reason"]), key=lambda pair: -pair[1]["score"])
    rejected = [pair for pair in numbered if pair[1]["reason"]]
    for name, chosen in (("worst_accepted", accepted[:_WORST]), ("rejected", rejected[:30])):
        pictures = []
        for number, record in chosen:
            path = out / f"draw_{number:04d}.npz"
            if not path.is_file():
                continue
            with np.load(path) as kept:
                body = MeshSequence(kept["body"], body_faces)
                count = sum(key.startswith("cloth") for key in kept)
                cloth = [MeshSequence(kept[f"cloth{k}"], kept[f"faces{k}"]) for k in range(count)]
                row = [view for f in (0, 1) for view in dressed_views(body, cloth, f, kept["heading"][f])]
            row[0] = labelled(row[0], f"{number}: {_title(record)}")
            told = record["reason"] or f"{record['steps']} steps, {record['score']:.0%} of a limit"
            for place, line in enumerate(textwrap.wrap(told, 32)[:3], 3):
                row[place] = labelled(row[place], line)
            pictures += row
        if pictures:
            path = out / f"{name}.png"
            save_image(path, contact_sheet(pictures, 6))
            print(f"Wrote {path}")


def _title(record: dict) -> str:
    return f"{' + '.join(record['outfit'])}, {record['cell']['body']}, {record['cell']['motion']}"


def _print_table(key: str, names: list[str], records: list[dict]) -> None:
    """Prints a table by garment or motion; the worst figures are those of the accepted draws' own garment."""
    rows = [(
        key, "draws", "accepted", "at steps", "inside mean, worst [%], deepest [mm]", "after projection",
        "stretch p99", "bare [%]", "layers [%]", "seams closed [%]", "body touches itself [%]", "CPU-s a frame",
        "sew + drape [CPU-s]",
    )]  # fmt: skip
    for name in names:
        mine = [record for record in records if record["cell"][key] == name]
        good = [record for record in mine if not record["reason"]]
        steps = Counter(record["steps"] for record in good if record["steps"])
        figures = [own for record in good for own in _own_figures(record, key)]

        def worst(figure: str, figures: list[dict] = figures, form: str = "{:.2f}") -> str:
            values = [own[figure] for own in figures if figure in own]
            return form.format(max(values)) if values else "-"

        before, after = (
            ", ".join(worst(prefix + figure) for figure in ("inside_mean", "inside_worst", "deepest"))
            for prefix in ("", "projected_")
        )
        seams = [own["seams_closed"] for own in figures if "seams_closed" in own]  # painted cloth has none
        alone = [record for record in mine if len(record["outfit"]) == 1]
        cost = [attempt["seconds"] / attempt["frames"] for record in alone for attempt in record["attempts"][:1]]
        sewing = [record["sew_and_drape"] for record in alone if record["sew_and_drape"] is not None]
        rows.append((
            name, str(len(mine)), f"{len(good) / len(mine):.0%}" if mine else "-",
            ", ".join(f"{count}: {steps[count]}" for count in sorted(steps)) or "-", before, after,
            worst("stretch_p99"), worst("bare_worst"), f"{worst('layers_mean')} -> {worst('projected_layers_mean')}",
            f"{min(seams):.1f}" if seams else "-",
            f"{np.mean([record['contact'] for record in mine]):.1f}" if mine else "-",
            f"{np.mean(cost):.2f}" if cost else "-", f"{np.mean(sewing):.1f}" if sewing else "-",
        ))  # fmt: skip
    print("\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ("---",) * len(rows[0]), *rows[1:]]) + "\n")


def _own_figures(record: dict, key: str) -> list[dict]:
    """Figures of the garments in a table's row: the drawn one, or the whole outfit."""
    if key != "garment":
        return list(record["figures"].values())
    name = GARMENTS.get(record["cell"]["garment"]).name
    return [record["figures"][name]] if name in record["figures"] else []


def _cost_of_3000(records: list[dict]) -> float:
    """CPU seconds per frame of one garment of 3,000 vertices at 10 solver steps.

    Part of the cost is the body's, independent of clothes: cost = a + b vertices, by non-negative least squares.
    """
    sizes, costs = [], []
    for record in records:
        vertices = [own["vertices"] for own in record["figures"].values() if "vertices" in own]
        for attempt in record["attempts"]:
            if attempt["steps"] == 10 and len(vertices) == 1:
                sizes.append(vertices[0] / 3000)
                costs.append(attempt["seconds"] / attempt["frames"])
    return float(nnls(np.stack([np.ones(len(sizes)), sizes], axis=1), np.array(costs))[0].sum()) if sizes else np.nan


def _share(records: list[dict]) -> float:
    return 100 * float(np.mean([not record["reason"] for record in records])) if records else 0.0


def _summary(records: list[dict]) -> list[tuple[str, ...]]:
    groups = {
        "all": records,
        "all but run, kick, flip": [r for r in records if r["cell"]["motion"] not in HARD_MOTIONS],
        "one garment": [r for r in records if len(r["outfit"]) == 1],
        "layered": [r for r in records if len(r["outfit"]) > 1],
        **{body: [r for r in records if r["cell"]["body"] == body] for body in BODIES},
    }
    rows = [("draws", "number", "accepted [%]")]
    return rows + [(name, str(len(some)), f"{_share(some):.1f}") for name, some in groups.items()]


def _figures(records: list[dict]) -> dict[str, float]:
    calm = [record for record in records if record["cell"]["motion"] not in HARD_MOTIONS]
    figures = {
        "draws": len(records),
        "accepted": _share(records),
        "accepted_but_run_kick_flip": _share(calm),
        "cpu_s_per_draw": float(np.mean([record["seconds"] for record in records])),
    }
    for count, times in sorted(Counter(r["steps"] for r in records if not r["reason"] and r["steps"]).items()):
        figures[f"accepted_at_{count}_steps"] = times
    figures["cpu_s_per_frame_of_3000_vertices"] = _cost_of_3000(records)
    sewing = [record["sew_and_drape"] for record in records if record["sew_and_drape"] is not None]
    figures["sew_and_drape_cpu_s"] = float(np.mean(sewing)) if sewing else float("nan")
    digest = hashlib.sha256(json.dumps([record["cell"] for record in records]).encode()).hexdigest()
    print(f"Draws' digest {digest[:12]}: the same for the same seed and garments")
    return figures
