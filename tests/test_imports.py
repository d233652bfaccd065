"""Import rules that ``make lint`` does not check, tested on the source without importing it."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

#: Where Blender may be imported.
BLENDER = ("mviper.synthesis.simulation", "mviper.synthesis.rendering", "mviper.export")


class Sources:
    """The modules of some folders and their imports, anywhere in a file."""

    def __init__(self, root: Path, *folders: str) -> None:
        paths = [path.relative_to(root) for folder in folders for path in sorted((root / folder).rglob("*.py"))]
        names = {
            path: ".".join(path.with_suffix("").parts).removesuffix(".__init__")
            for path in paths
            if "tests" not in path.parts
        }
        self.trees = {name: ast.parse((root / path).read_text()) for path, name in names.items()}
        self.public = {name: self._public_names(name) for path, name in names.items() if path.name == "__init__.py"}

    def _public_names(self, package: str) -> set[str]:
        for node in self.trees[package].body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return set(ast.literal_eval(node.value))
        return set()

    def imports(self, module: str) -> Iterator[tuple[int, str, str | None]]:
        """Line, module and name of each import of these sources; the name is None if a module itself is imported."""
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.Import):
                found = [(alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):  # absolute: ruff allows no other (TID252)
                found = [(node.module, alias.name) for alias in node.names]
            else:
                continue
            for target, name in found:
                if f"{target}.{name}" in self.trees and name not in self.public.get(target, ()):
                    target, name = f"{target}.{name}", None
                for known in (target, f"tools.{target}"):  # tools' packages are imported from their own folder
                    if known in self.trees:
                        yield node.lineno, known, name

    def private_imports(self) -> list[str]:
        """Imports from another package that are not of its public names.

        A package's own modules, and those of its subpackages, may import from all its modules. Modules outside
        packages are not restricted.
        """
        found = []
        for module in self.trees:
            for line, target, name in self.imports(module):
                package = target if target in self.public else target.rpartition(".")[0]
                if not package.startswith("mviper.") or f"{module}.".startswith(f"{package}."):
                    continue
                if target != package or name not in self.public[package]:
                    found.append(
                        f"{module}:{line} imports {name or 'the module'} from {target}, not public in {package}"
                    )
        return found

    def blender_imports(self) -> list[str]:
        """Where Blender is imported, directly or through ``import_extra``, outside of :data:`BLENDER`."""
        found = []
        for module, tree in self.trees.items():
            if module.startswith(BLENDER):
                continue
            for node in ast.walk(tree):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_extra":
                    names = [ast.literal_eval(node.args[0])]
                if any(name.partition(".")[0] in ("bpy", "bmesh", "mathutils") for name in names):
                    found.append(f"{module}:{node.lineno}")
        return found

    def circle(self) -> list[str]:
        """Modules of a circular import, in order; empty if there is none."""
        graph: dict[str, set[str]] = {module: set() for module in self.trees}
        for module, known in graph.items():
            for _, target, name in self.imports(module):
                known.add(f"{target}.{name}" if f"{target}.{name}" in self.trees else target)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            return error.args[1]
        return []


def imported_at_once(tree: ast.Module) -> set[str]:
    """What a module imports at import time: modules, and names in them."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.fixture(scope="module")
def sources(repository):
    return Sources(repository, "mviper", "tools", "projects")


@pytest.fixture
def broken(tmp_path):
    """Two packages that break all rules."""
    files = {
        "mviper/__init__.py": "",
        "mviper/files.py": "",
        "mviper/body/__init__.py": "from mviper.body.smpl import SMPL\n__all__ = ['SMPL']",
        "mviper/body/smpl.py": "import mviper.files\ndef f():\n    from mviper.motion.sources.bvh import read",
        "mviper/motion/__init__.py": "__all__ = []",
        "mviper/motion/target.py": "from mviper.body import SMPL, smpl\nimport_extra('bpy')",
        "mviper/motion/sources/__init__.py": "",
        "mviper/motion/sources/bvh.py": "from mviper.motion.target import x\ndef f():\n    import mathutils.bvhtree",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return Sources(tmp_path, "mviper")


def test_code_outside_a_package_imports_its_public_names(sources):
    assert sources.private_imports() == []


def test_every_package_declares_its_public_names(sources):
    assert [name for name, public in sources.public.items() if name.startswith("mviper.") and not public] == []


def test_blender_is_imported_only_for_simulation_rendering_and_export(sources):
    package = [place for place in sources.blender_imports() if place.startswith("mviper.")]
    assert package == []


def test_no_modules_import_each_other_in_a_circle(sources):
    assert sources.circle() == []


def test_numba_is_loaded_only_for_drawing(sources):
    at_once = {name: imported_at_once(tree) for name, tree in sources.trees.items() if name.startswith("mviper.")}
    compiled = {name for name, found in at_once.items() if "numba" in found}
    assert "mviper.graphics.kernels" in compiled
    assert [name for name, found in at_once.items() if found & compiled] == []


def test_forbidden_imports_are_found(broken):
    assert broken.private_imports() == [
        "mviper.body.smpl:3 imports read from mviper.motion.sources.bvh, not public in mviper.motion.sources",
        "mviper.motion.target:1 imports the module from mviper.body.smpl, not public in mviper.body",
    ]
    assert broken.blender_imports() == ["mviper.motion.sources.bvh:3", "mviper.motion.target:2"]
    assert set(broken.circle()) >= {"mviper.body.smpl", "mviper.motion.sources.bvh", "mviper.motion.target"}


def test_ruff_has_one_version(repository):
    pinned = re.search(r"^ruff==(\S+)$", (repository / "requirements/lint.txt").read_text(), re.M)
    hook = re.search(r"ruff-pre-commit\n\s+rev: v(\S+)", (repository / ".pre-commit-config.yaml").read_text())
    assert pinned and hook and pinned[1] == hook[1]
