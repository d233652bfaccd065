#!/usr/bin/env python
"""Drafts a garment's sewing pattern to a body's measurements and writes it as SVG (true scale, in mm) or JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mviper.config import command, load_config, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Examples: {command('draft_pattern')} TShirt --out shirt.svg; {command('draft_pattern')} Trousers "
        "--betas 1.5 -0.5 --set length=0.95 --out trousers.json. To use an edited file, set "
        'outfit = [dict(type="TShirt", pattern="shirt.json")] in a config.',
    )
    parser.add_argument("garment", help="registered type, e.g. TShirt; an unknown type prints the known ones")
    parser.add_argument("--out", type=Path, required=True, help="file to write: .svg or .json")
    parser.add_argument(
        "--config",
        type=Path,
        help="a config whose custom_imports register the garment, if it is not part of the package",
    )
    parser.add_argument(
        "--betas", type=float, nargs="+", default=[], metavar="B", help="shape of the body (default: the mean body)"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", dest="fixed",
        help="values of design parameters (default: the middle of each range)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="draw the other parameters at random")
    parser.add_argument("--body-model", help="body file (default: the open body)")
    parser.add_argument("--measurements", action="store_true", help="also print the body's measurements")
    return parser.parse_args()


def main() -> None:
    """Drafts, checks and writes the pattern, and describes it."""
    arguments = parse_arguments()
    from mviper.body import SMPL, BodyShape
    from mviper.errors import ConfigError
    from mviper.registry import GARMENTS
    from mviper.synthesis.garments import Measurements, write_pattern

    if arguments.config:
        load_config(arguments.config)
    if GARMENTS.get(arguments.garment) is None:
        known = ", ".join(sorted(GARMENTS.module_dict))
        raise ConfigError(f"there is no garment {arguments.garment!r}; known are {known}")
    garment = GARMENTS.build(dict(type=arguments.garment))
    body = SMPL(arguments.body_model)
    if len(arguments.betas) > body.num_betas:
        raise ConfigError(f"--betas: the body model has {body.num_betas}, got {len(arguments.betas)}")
    betas = np.zeros(body.num_betas)
    betas[: len(arguments.betas)] = arguments.betas
    design = garment.design(None if arguments.seed is None else np.random.default_rng(arguments.seed))
    for item in arguments.fixed:
        name, _, value = item.partition("=")
        if name not in design:
            raise ConfigError(f"--set {item}: {arguments.garment} has the parameters {', '.join(design)}")
        try:
            design[name] = float(value)
        except ValueError as error:
            raise ConfigError(f"--set {item}: expected NAME=NUMBER") from error
    measures = Measurements(BodyShape.from_body(body, betas))
    draft = garment.draft(measures, design)
    draft.check()
    write_pattern(draft.pattern, arguments.out)
    print(f"Wrote {arguments.out}: {', '.join(panel.name for panel in draft.pattern.panels)}")
    print("  ".join(f"{name} {value:.3f}" for name, value in design.items()))
    if arguments.measurements:
        for name, value in measures.as_dict().items():
            print(f"{name:15s} {100 * value:6.1f} cm")


if __name__ == "__main__":
    run_tool(main)
