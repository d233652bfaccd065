"""Rooms face one way: what ``make lint`` cannot see of the imports, read from the source without importing it."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

#: Where Blender may be imported.
BLENDER = ("mviper.synthesis.simulation", "mviper.synthesis.rendering", "mviper.export")


class Sources:
    """The modules of some folders and what they import, wherever in a file it stands."""

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
        """Line, module and name of each import of these sources; the name is None where a module itself is imported."""
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

    def reaching_past(self) -> list[str]:
        """Imports from another room that are not of its public names.

        A room is a package; its own modules, and those of the packages in it, may import from each of its modules.
        The files beside the rooms are as they are.
        """
        found = []
        for module in self.trees:
            for line, target, name in self.imports(module):
                room = target if target in self.public else target.rpartition(".")[0]
                if not room.startswith("mviper.") or f"{module}.".startswith(f"{room}."):
                    continue
                if target != room or name not in self.public[room]:
                    found.append(f"{module}:{line} imports {name or 'the module'} from {target}, not public in {room}")
        return found

    def asking_for_blender(self) -> list[str]:
        """Where Blender is imported, as it is or through ``import_extra``, outside its rooms."""
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
        """Modules that import each other in a circle, in order; none is an empty list."""
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
    """What a module imports as soon as it is imported itself: modules, and names in them."""
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
    """Two rooms that do all that is forbidden."""
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


def test_code_outside_a_room_imports_its_public_names(sources):
    assert sources.reaching_past() == []


def test_every_room_names_what_is_public(sources):
    assert [room for room, names in sources.public.items() if room.startswith("mviper.") and not names] == []


def test_blender_is_asked_for_where_it_simulates_renders_and_exports(sources):
    package = [place for place in sources.asking_for_blender() if place.startswith("mviper.")]
    assert package == []


def test_no_modules_import_each_other_in_a_circle(sources):
    assert sources.circle() == []


def test_numba_is_loaded_by_what_draws_alone(sources):
    at_once = {name: imported_at_once(tree) for name, tree in sources.trees.items() if name.startswith("mviper.")}
    compiled = {name for name, found in at_once.items() if "numba" in found}
    assert "mviper.graphics.kernels" in compiled
    assert [name for name, found in at_once.items() if found & compiled] == []


def test_what_is_forbidden_is_found(broken):
    assert broken.reaching_past() == [
        "mviper.body.smpl:3 imports read from mviper.motion.sources.bvh, not public in mviper.motion.sources",
        "mviper.motion.target:1 imports the module from mviper.body.smpl, not public in mviper.body",
    ]
    assert broken.asking_for_blender() == ["mviper.motion.sources.bvh:3", "mviper.motion.target:2"]
    assert set(broken.circle()) >= {"mviper.body.smpl", "mviper.motion.sources.bvh", "mviper.motion.target"}


def test_ruff_has_one_version(repository):
    pinned = re.search(r"^ruff==(\S+)$", (repository / "requirements/lint.txt").read_text(), re.M)
    hook = re.search(r"ruff-pre-commit\n\s+rev: v(\S+)", (repository / ".pre-commit-config.yaml").read_text())
    assert pinned and hook and pinned[1] == hook[1]
