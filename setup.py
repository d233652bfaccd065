"""Wheels bring configs, tools and ``model-index.yml`` in ``mviper/.mim``, as OpenMMLab's packages do."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigsAndTools(build_py):
    """Copies them into the build, not into the checkout, where a copy would become outdated."""

    def run(self) -> None:
        """Builds the package, then adds the folder unless the install is editable: that one uses the checkout's."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "mviper", ".mim")
        shutil.rmtree(target, ignore_errors=True)
        for name in ("configs", "tools"):
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(ROOT / "model-index.yml", target)


setup(cmdclass={"build_py": BuildWithConfigsAndTools})
