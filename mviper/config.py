"""Loads and checks configs; every mistake raises one :class:`ConfigError` that names the file and the place."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import inspect
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import mmengine.config
import mmengine.registry as mmengine_registries
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry, init_default_scope

from mviper import registry as registries
from mviper.errors import ConfigError, MviperError
from mviper.shipped import FROM_WHEEL, SHIPPED

#: The registry in which a key's ``type`` is looked up. It applies to everything below the key, down to the next known
#: key.
REGISTRY_OF_KEY: dict[str, Registry | None] = {
    **dict.fromkeys(("model", "body_model", "body", "data_preprocessor", "encoder"), registries.MODELS),
    **dict.fromkeys(("dataset", "datasets", "pictures"), registries.DATASETS),
    **dict.fromkeys(("pipeline", "transforms"), registries.TRANSFORMS),
    "sampler": registries.DATA_SAMPLERS,
    "batch_sampler": registries.DATA_SAMPLERS,
    "collate_fn": mmengine_registries.FUNCTIONS,
    **dict.fromkeys(("val_evaluator", "test_evaluator"), registries.METRICS),
    **dict.fromkeys(("default_hooks", "custom_hooks"), registries.HOOKS),
    **dict.fromkeys(("train_cfg", "val_cfg"), registries.LOOPS),
    "optim_wrapper": registries.OPTIM_WRAPPERS,
    "optimizer": mmengine_registries.OPTIMIZERS,
    "param_scheduler": mmengine_registries.PARAM_SCHEDULERS,
    "model_wrapper_cfg": registries.MODEL_WRAPPERS,
    "visualizer": mmengine_registries.VISUALIZERS,
    "vis_backends": mmengine_registries.VISBACKENDS,
    "log_processor": mmengine_registries.LOG_PROCESSORS,
    "init_cfg": mmengine_registries.WEIGHT_INITIALIZERS,
    "source": registries.MOTION_SOURCES,
    **dict.fromkeys(("garment", "garments", "tops", "bottoms", "whole"), registries.GARMENTS),
    "outfit": registries.OUTFITS,
    "simulator": registries.SIMULATORS,
    **dict.fromkeys(("background", "backgrounds"), registries.BACKGROUNDS),
    **dict.fromkeys(("light", "lights"), registries.LIGHTS),
    **dict.fromkeys(("camera", "cameras"), registries.CAMERAS),
    **dict.fromkeys(("fabric", "fabrics"), registries.FABRICS),
    **dict.fromkeys(("appearance", "appearances"), registries.APPEARANCES),
    "renderer": registries.RENDERERS,
    "recording": registries.RECORDINGS,
}

#: Keys of a training config that hold no component; any other key is the config's own variable.
RUNNER_KEYS = frozenset({
    "work_dir", "train_dataloader", "val_dataloader", "test_dataloader", "auto_scale_lr", "test_cfg", "load_from",
    "resume", "launcher", "env_cfg", "log_level", "default_scope", "randomness", "experiment_name", "custom_imports",
    "find_unused_parameters", "compile",
})  # fmt: skip

#: Components at the top level of a training config.
_COMPONENTS_OF_RUNNER = frozenset({
    "model", "model_wrapper_cfg", "data_preprocessor", "train_cfg", "val_cfg", "val_evaluator", "test_evaluator",
    "default_hooks", "custom_hooks", "optim_wrapper", "param_scheduler", "visualizer", "log_processor",
})  # fmt: skip

#: Names at least this similar (:mod:`difflib`'s ratio) count as misspellings of each other: ``varients``, 0.88.
_MISSPELT = 0.85

#: The module whose ``CONFIG_KEYS`` are the keys of synthesis configs; imported on demand, like the registries'
#: locations.
_SCHEMA_LOCATION = "mviper.synthesis.schema"


#: Arguments of PyTorch's data loaders that concern its worker processes.
_OF_WORKERS = {"persistent_workers", "prefetch_factor", "multiprocessing_context", "timeout"}

#: Arguments of the runner that are strings.
_TEXTS = dict.fromkeys(("work_dir", "load_from", "experiment_name", "log_level"), "str")


class Options(dict):
    """Config values by dotted key, with their original spelling on the command line.

    Attributes:
        texts: Each value's original text, used where the key expects a string.
    """

    def __init__(self, values: dict | None = None, texts: dict[str, str] | None = None) -> None:
        super().__init__(values or {})
        self.texts = texts or {}

    def select(self, keep: Callable[[str], bool]) -> Options:
        """The options whose keys satisfy ``keep``."""
        return Options({key: value for key, value in self.items() if keep(key)}, self.texts)


class DictAction(argparse.Action):
    """Argparse action that collects ``KEY=VALUE ...`` in :class:`Options`.

    Values are parsed as in mmengine's action (numbers, ``True``, ``None``, comma-separated lists, ``[...]``,
    ``(...)``), except that blanks are kept. :func:`load_config` takes them literally where the key expects a string.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: list[str],
        option_string: str | None = None,
    ) -> None:
        """Adds the pairs to the options in ``namespace``; anything that is not a pair is a usage error."""
        before = getattr(namespace, self.dest, None)
        options = Options(before, getattr(before, "texts", None))
        for pair in values:
            key, equals, text = pair.partition("=")
            try:
                if not (key.strip() and equals):
                    raise ValueError
                options[key.strip()], options.texts[key.strip()] = _value(text), _unquoted(text)
            except ValueError:  # no "=", brackets that are not closed
                parser.error(f"{option_string}: expected KEY=VALUE, got {pair!r}")
        setattr(namespace, self.dest, options)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _value(text: str, leaf: Callable[[str], object] = mmengine.config.DictAction._parse_int_float_bool) -> object:
    """Parses a value from the command line; ``leaf`` parses anything that is not a list."""
    text = _unquoted(text)
    if text[:1] + text[-1:] in ("[]", "()"):
        with contextlib.suppress(ValueError):  # (1, 2), (3, 4): the first bracket does not close at the end
            items = [_value(part, leaf) for part in _parts(text[1:-1])]
            return tuple(items) if text[0] == "(" else items
    if "," not in text:
        return leaf(text)
    try:
        return [_value(part, leaf) for part in _parts(text)]
    except ValueError:
        if text[0] in "[(":
            raise
        return text  # a bracket in a name


def _parts(text: str) -> list[str]:
    """Splits at the commas outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if depth < 0:
            break
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise ValueError(f"brackets that are not closed in {text}")
    return parts if parts[-1].strip() else parts[:-1]


def load_config(path: str | Path, cfg_options: dict | None = None) -> Config:
    """Reads a config, applies overrides, and checks every ``type`` and every argument of MVIPER's components.

    Args:
        path: A Python config file, or the name of one that ships with MVIPER (:func:`find_config`).
        cfg_options: Overrides by dotted key, e.g. ``{"train_cfg.max_iters": 100}``.

    Returns:
        The config, with ``default_scope`` set.

    Raises:
        ConfigError: Missing file, error in the file (with its line), unknown ``type`` or argument (with similar names),
            a key that nothing reads and that looks like a misspelling, or an override without effect.
    """
    path = find_config(path)
    config = _read(path)
    if cfg_options:
        for key in cfg_options:
            _check_option(key, config, path)
        texts = getattr(cfg_options, "texts", {})
        cfg_options = {
            key: _as_declared(value, texts[key], _declared(key, config, cfg_options)) if key in texts else value
            for key, value in cfg_options.items()
        }
        try:
            config.merge_from_dict(cfg_options)
        except (KeyError, IndexError, TypeError, AssertionError) as error:
            raise ConfigError(f"{path}: --cfg-options {cfg_options}: {_one_line(error)}") from error
    config.setdefault("default_scope", registries.SCOPE)
    scope = DefaultScope.get_current_instance()
    if scope is None or scope.scope_name != registries.SCOPE:
        init_default_scope(registries.SCOPE)
    for problem in (*_misspelt_keys(config), *_problems(config)):
        raise ConfigError(f"{path}: {problem}")
    for key in list(config):
        config[key] = _at_home(config[key])
        if key.endswith("_dataloader") and isinstance(config[key], dict) and not config[key].get("num_workers"):
            for option in [option for option in _OF_WORKERS if config[key].get(option)]:
                del config[key][option]  # PyTorch refuses them without worker processes
    return config


def _at_home(value: object) -> object:
    """Expands ``~/`` in a part of a config; lists and dicts are changed in place."""
    if isinstance(value, str):
        return os.path.expanduser(value) if value.startswith("~/") else value
    if isinstance(value, tuple):
        return tuple(map(_at_home, value))
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        value[key] = _at_home(value[key])
    return value


def _declared(option: str, config: Config, options: dict) -> str:
    """The type that an option's component declares by annotation, or else that of the config's current value."""
    place, _, name = option.rpartition(".")
    if not place and name in _TEXTS:
        return _TEXTS[name]
    value, registry = config, None
    for part in place.split(".") if place else ():
        registry = REGISTRY_OF_KEY.get(part, registry)
        try:
            value = value[int(part) if isinstance(value, list | tuple) else part]
        except (KeyError, IndexError, TypeError, ValueError):
            return ""  # merging reports the error
    if not isinstance(value, dict | Config):
        return ""
    kind = options.get(f"{place}.type", value.get("type")) if place else None
    component = registry.get(kind) if registry is not None and isinstance(kind, str) else None
    if inspect.isclass(component) and component.__module__.partition(".")[0] == "mviper":
        for cls in component.__mro__:
            parameter = inspect.signature(cls.__init__).parameters.get(name) if "__init__" in vars(cls) else None
            if parameter is not None and parameter.annotation is not parameter.empty:
                return str(parameter.annotation)
    current = value.get(name)
    if isinstance(current, list | tuple):
        return "Sequence[str]" if current and all(isinstance(item, str) for item in current) else "Sequence"
    return type(current).__name__


def _as_declared(value: object, text: str, declared: str) -> object:
    """An option's value as declared: the literal text, or a list of texts, where the component expects strings."""
    outside = re.sub(r"\[.*?\]", "", declared)
    a_text = re.search(r"\b(str|Path)\b", outside)
    of_texts = re.search(r"(Sequence|list|tuple|Iterable)\[(str|Path)\b", declared)
    if isinstance(value, list | tuple):
        if of_texts:
            return _value(text, str)
        return value if not a_text or re.search(r"Sequence|list|tuple|Iterable|dict", declared) else text
    if value is None or re.search(r"\b(int|float|bool)\b", outside):
        return value
    return text if a_text else [text] if of_texts else value


def find_config(path: str | Path) -> Path:
    """Finds a config's file.

    Args:
        path: Its path; or, from any folder, ``configs/demo/frame.py``, ``demo/frame`` or, if the file name is unique,
            ``frame``.

    Returns:
        The file; a path that names no config is returned unchanged.

    Example:
        >>> find_config("demo/frame").relative_to(SHIPPED).as_posix()
        'configs/demo/frame.py'

    Raises:
        ConfigError: Several configs have that file name.
    """
    path = Path(path).expanduser()
    if path.exists() or path.is_absolute():
        return path
    configs = SHIPPED / "configs"
    for place in (SHIPPED / path, configs / path, configs / f"{path}.py"):
        if place.is_file():
            return place
    if len(path.parts) != 1:
        return path
    named = [found for found in sorted(configs.rglob(f"{path.stem}.py")) if found.parent.name != "_base_"]
    if len(named) > 1:
        names = (found.relative_to(configs).with_suffix("").as_posix() for found in named)
        raise ConfigError(f"{path}: several configs have that name: {', '.join(names)}")
    return named[0] if named else path


def default_work_dir(path: str | Path) -> Path:
    """The folder for a config's runs.

    Args:
        path: The config, in any form that :func:`find_config` accepts.

    Example:
        >>> default_work_dir("configs/demo/frame.py").as_posix()
        'work_dirs/demo/frame'
    """
    parts = find_config(path).with_suffix("").parts
    return Path("work_dirs", *(parts[parts.index("configs") + 1 :] if "configs" in parts else parts[-1:]))


def command(tool: str, *arguments: object) -> str:
    """A command for messages and "Next:" lines: quoted where needed, and valid in any folder.

    ``mviper train ...`` with an installed wheel or if the running command is an ``mviper`` one, else ``python
    tools/train.py ...``.

    Args:
        tool: ``train`` for ``tools/train.py``.
        *arguments: Its arguments.
    """
    path = SHIPPED / "tools" / f"{tool}.py"
    shown = path if path.is_file() and Path.cwd() != SHIPPED else Path("tools", path.name)
    by_name = FROM_WHEEL or sys.argv[0].startswith("mviper ")  # as mviper/cli.py sets it
    words = ["mviper", tool.replace("_", "-")] if by_name else ["python", str(shown)]
    return shlex.join([*words, *map(str, arguments)])


def run_tool(main: Callable[[], int | None]) -> None:
    """Runs a command-line tool; a user's mistake ends in one message on stderr and exit code 1, without a traceback.

    Args:
        main: The tool; its return value is the exit code (``None``: 0).
    """
    try:
        code = main() or 0
    except MviperError as error:
        code = _fail(str(error))
    except KeyError as error:
        if "is not in the" not in str(error):  # mmengine's wording for an unknown registry name
            raise
        code = _fail(_one_line(error))
    except OSError as error:
        if error.filename is None:
            raise
        code = _fail(f"{error.filename}: {error.strerror}")  # a full disk, a folder without write permission
    except KeyboardInterrupt:
        code = _fail("stopped", 130)
    sys.exit(code)


def _fail(message: str, code: int = 1) -> int:
    sys.stdout.flush()
    print(f"Error: {message}", file=sys.stderr)
    return code


def _one_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    return " ".join(text.split())


def _read(path: Path) -> Config:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; expected a config, e.g. {next(path.glob('*.py'), path / 'NAME.py')}")
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")]) if path.name else []
        hint = f"; there is {', '.join(str(path.parent / name) for name in near)}" if near else ""
        raise ConfigError(f"{path}: no such config{hint}")
    if path.resolve().parent.name == "_base_":
        raise ConfigError(
            f"{path}: a piece for configs to inherit, not one to run; write _base_ = ['_base_/{path.name}'] in a "
            f"config, or take one in {path.parent.parent}"
        )
    for folder in (os.getcwd(), str(SHIPPED)):  # so that custom_imports finds projects.NAME
        if folder not in sys.path:
            sys.path.append(folder)
    try:
        return Config.fromfile(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: {_one_line(error) if error.filename is None else error}") from error
    except ImportError as error:
        raise ConfigError(f"{path}: custom_imports: {_one_line(error)}") from error
    except Exception as error:  # a config is a program and can raise anything
        place = _place_of(error) or path
        what = error.msg if isinstance(error, SyntaxError) else f"{type(error).__name__}: {_one_line(error)}"
        raise ConfigError(f"{place}: {what}") from error


def _place_of(error: BaseException) -> str | None:
    """``file:line`` of an exception in a config or one of its bases, from the mmengine frames that read it."""
    file, line = None, getattr(error, "lineno", None)
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == file:
            line = number
        elif frame.f_globals.get("__name__") == Config.__module__:
            file = frame.f_locals.get("filename", file)
    return f"{file}:{line}" if line is not None else file


def _check_option(option: str, config: Config, path: Path) -> None:
    """Refuses an override without effect: a misspelt key, or a variable that the file has already used."""
    name = option.partition(".")[0]
    if name in RUNNER_KEYS or name in REGISTRY_OF_KEY:
        return
    schema = importlib.import_module(_SCHEMA_LOCATION).CONFIG_KEYS
    if name in schema:
        return
    if name in config:
        places = [place for place in _places(config.to_dict(), "") if place.endswith(f".{name}")]
        instead = ", ".join(places) or "what is made from it"
        raise ConfigError(
            f"{path}: --cfg-options {option}: {name} is a variable of the config file, and what was made from it does "
            f"not follow; change {instead} instead ({command('print_config', path)} shows all)"
        )
    near = difflib.get_close_matches(name, sorted({*RUNNER_KEYS, *REGISTRY_OF_KEY, *schema}))
    hint = f"did you mean {' or '.join(near)}?" if near else f"{command('print_config', path)} shows all"
    raise ConfigError(f"{path}: --cfg-options {option}: there is no key {name!r}; {hint}")


def _places(value: object, place: str) -> Iterator[str]:
    """Dotted keys of everything in a config."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        yield f"{place}{key}"
        yield from _places(item, f"{place}{key}.")


def _misspelt_keys(config: Config) -> Iterator[str]:
    """A config's variables whose names look like misspelt keys.

    Names that begin with ``_`` or that are keys further down are surely variables.
    """
    read = RUNNER_KEYS | _COMPONENTS_OF_RUNNER
    if "source" in config:  # a synthesis config
        read = {*importlib.import_module(_SCHEMA_LOCATION).CONFIG_KEYS, "custom_imports", "default_scope"}
    known = {*read, *REGISTRY_OF_KEY}
    below = {place.rpartition(".")[2] for place in _places(config.to_dict(), "") if "." in place}
    for name in config:
        if name in known or name in below or name.startswith("_"):
            continue
        near = difflib.get_close_matches(name, sorted(read), n=1, cutoff=_MISSPELT)
        if near:
            yield (
                f"{name}: there is no such key; did you mean {near[0]}? (if it is a variable of the config file, give "
                f"it a less similar name, or _{name})"
            )


def _problems(config: Config) -> Iterator[str]:
    # A config's test_cfg is a loop; a model's test_cfg belongs to the model.
    for key, value in config.items():
        registry = registries.LOOPS if key == "test_cfg" else None
        yield from _problems_below(value, key, REGISTRY_OF_KEY.get(key, registry))


def _problems_below(value: object, place: str, registry: Registry | None) -> Iterator[str]:
    if isinstance(value, dict):
        if registry is not None and isinstance(value.get("type"), str):
            yield from _check(value, place, registry)
        for key, item in value.items():
            yield from _problems_below(item, f"{place}.{key}", REGISTRY_OF_KEY.get(key, registry))
    elif isinstance(value, (list, tuple)):
        if registry is registries.OUTFITS:  # written out, not drawn
            registry = registries.GARMENTS
        for number, item in enumerate(value):
            yield from _problems_below(item, f"{place}[{number}]", registry)


def _check(value: dict, place: str, registry: Registry) -> Iterator[str]:
    name = value["type"]
    component = registry.get(name)
    if component is None:
        known = sorted({known for level in _levels(registry) for known in level.module_dict})
        near = difflib.get_close_matches(name, known, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
        yield f"{place}.type: there is no {registry.name} {name!r}; {hint}"
    elif inspect.isclass(component) and component.__module__.partition(".")[0] == "mviper":
        yield from _check_arguments(value, place, component)


def _check_arguments(value: dict, place: str, component: type) -> Iterator[str]:
    known = _arguments(component)
    for key in value if known is not None else ():
        if key not in known and key not in _OF_ANY_COMPONENT:
            near = difflib.get_close_matches(key, known, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(known)}"
            yield f"{place}.{key}: {component.__name__} has no such argument; {hint}"


#: Keys of a component's dict that are not arguments; mviper/synthesis/substitutes.py reads the last.
_OF_ANY_COMPONENT = ("type", "_scope_", "if_missing")

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _arguments(component: type) -> list[str] | None:
    """A class's arguments; ``**kwargs`` stands for those of the next class in the MRO. None: it accepts anything."""
    known: list[str] = []
    for cls in component.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        known += [parameter.name for parameter in parameters if parameter.kind not in _VARIABLE]
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return known
    return None


def _levels(registry: Registry) -> Iterator[Registry]:
    while registry is not None:
        yield registry
        registry = registry.parent
