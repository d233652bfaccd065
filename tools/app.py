#!/usr/bin/env python
"""Serves a web page that recovers bodies from videos and photos, on this machine only unless --public is given."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mviper.config import command, run_tool
from mviper.shipped import NETWORK


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Example: {command('app')} --data data/demo. With --public the token is read from the environment "
        "variable MVIPER_TOKEN, or else generated and printed.",
    )
    parser.add_argument(
        "--config", type=Path, default=NETWORK,
        help=f"config of a network (default: {NETWORK}, whose weights are included)",
    )  # fmt: skip
    parser.add_argument("--checkpoint", type=Path, help="its weights")
    parser.add_argument("--no-network", dest="config", action="store_const", const=None, help="only fit")
    parser.add_argument("--data", type=Path, metavar="DIR", help="generated data set to browse in a second tab")
    parser.add_argument("--port", type=int, default=7860, help="TCP port (default: 7860)")
    parser.add_argument("--public", action="store_true", help="let other machines connect, with a token")
    parser.add_argument(
        "--max-megabytes", type=float, default=200.0, metavar="MB", help="maximum size of an upload (default: 200)"
    )
    parser.add_argument(
        "--max-seconds", type=float, default=30.0, metavar="S", help="maximum length of a video (default: 30)"
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: also detect in mirrored and rotated images; better, but slower",
    )
    arguments = parser.parse_args()
    if min(arguments.max_megabytes, arguments.max_seconds) <= 0:
        parser.error("--max-megabytes and --max-seconds must be above 0")
    if not 0 < arguments.port < 65536:
        parser.error("--port must be 1 to 65535")
    return arguments


def main() -> None:
    """Serves the page until it is interrupted."""
    arguments = parse_arguments()

    from mviper.app import Limits, serve
    from mviper.inference import MeshRecoverer

    serve(
        MeshRecoverer(arguments.config, arguments.checkpoint, tta=arguments.tta),
        data_root=arguments.data,
        limits=Limits(arguments.max_megabytes, arguments.max_seconds),
        port=arguments.port,
        public=arguments.public,
        token=os.environ.get("MVIPER_TOKEN") if arguments.public else None,
    )


if __name__ == "__main__":
    run_tool(main)
