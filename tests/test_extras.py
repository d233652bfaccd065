"""Optional packages are found wherever they are needed."""

import multiprocessing

import pytest

from mviper.extras import import_extra


def blender_version(answers) -> None:
    answers.put(import_extra("bpy").app.version_string)


def test_processes_spawned_after_blender_was_imported_find_it() -> None:
    bpy = pytest.importorskip("bpy")
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=blender_version, args=(answers,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert answers.get(timeout=5) == bpy.app.version_string
