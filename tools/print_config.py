#!/usr/bin/env python
"""Checks a config and prints it with all its bases merged."""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import DictAction, command, load_config, run_tool


def main() -> None:
    """Checks and prints the config."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"Example: {command('print_config')} configs/mviper_r50.py"
    )
    parser.add_argument("config", type=Path, help="any config")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE", help="change config values")
    arguments = parser.parse_args()
    print(load_config(arguments.config, arguments.cfg_options).pretty_text)


if __name__ == "__main__":
    run_tool(main)
