"""Where indicators come from: built in, installed packages, and the operator's own folder (`city.plugins`)."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from citytwin.config import ConfigError
from citytwin.indicators.api import Spec
from citytwin.indicators.lineage import aggregate_text
from citytwin.indicators.loading import FILE_BYTES, NotAnIndicator, Plugin, load_text
from citytwin.indicators.registry import GROUP, Registry, builtin

#: So many files of a folder are looked at; more are named, not read.
FILES_MAX = 200
TOO_MANY = f"a folder has at most {FILES_MAX} files of indicators; take some out, or put several into one file"
BUILTIN = "builtin"


def base() -> tuple[Registry, dict[str, str]]:
    """Built-in indicators and those of installed packages, and the origin of each: "builtin" or "package <name>".

    Raises ConfigError for a package that cannot be used: a city that ran with it must not quietly run without.
    """
    registry = builtin()
    origins = {s.id: BUILTIN for s in registry}
    for point in entry_points(group=GROUP):
        name = point.dist.name if point.dist is not None else point.value
        try:
            registry.add(point.load())
        except Exception as error:  # another package's code may raise anything
            raise ConfigError(
                f"the package {name} has indicators that cannot be used ({type(error).__name__}: {error}); "
                f"install another version of it, or take it out with `pip uninstall {name}`"
            ) from error
        origins |= {s.id: f"package {name}" for s in registry if s.id not in origins}
    return registry, origins


def plugin_files(folder: Path) -> list[Path]:
    """Files of indicators in a folder, by name: *.py and *.toml, not tests and not those that begin with _.

    Raises ConfigError for a folder that is not there.
    """
    if not folder.is_dir():
        raise ConfigError(f"city.plugins: {folder} is no folder; make it, or take the setting out")
    found = [p for p in sorted(folder.iterdir()) if p.suffix in (".py", ".toml") and p.is_file()]
    return [p for p in found if not p.name.startswith(("_", ".", "test_", "conftest"))]


def read(path: Path) -> str:
    """The text of a file. Raises NotAnIndicator."""
    try:
        if path.stat().st_size > FILE_BYTES:
            raise NotAnIndicator(f"{path}: larger than {FILE_BYTES >> 10} KiB; an indicator needs a few lines")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotAnIndicator(f"{path}: is no UTF-8 text; save it as UTF-8") from error
    except FileNotFoundError as error:
        raise NotAnIndicator(f"{path}: no such file") from error
    except OSError as error:
        raise NotAnIndicator(f"{path}: cannot be read: {error.strerror}") from error


def load_file(path: Path) -> Plugin:
    """The plugin of a file. Raises NotAnIndicator."""
    return load_text(path.name, read(path))


def clashes(plugin: Plugin, known: Registry, origins: dict[str, str]) -> list[str]:
    """Sentences about ids of a plugin that are taken."""
    taken = {i: origins.get(i, "another file") for i in plugin.ids if i in known}
    words = {i: "a built-in indicator" if o == BUILTIN else f"the {o}" for i, o in taken.items()}
    return [f"the id {i} is taken by {by}; choose another" for i, by in words.items()]


def catalogue(folder: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Everything that is known of all indicators, as JSON has it, and sentences about files that cannot be used."""
    registry, origins = base()
    problems: list[str] = []
    files = plugin_files(Path(folder)) if folder else []
    problems += [f"{p}: {TOO_MANY}" for p in files[FILES_MAX:]]
    for path in files[:FILES_MAX]:
        try:
            plugin = load_file(path)
        except NotAnIndicator as error:
            problems.append(str(error))
            continue
        taken = clashes(plugin, registry, origins)
        problems += [f"{path}: {t}" for t in taken]
        if not taken:
            registry.add(plugin.specs)
            origins |= dict.fromkeys(plugin.ids, f"file {path.name}")
    return [described(s, origins[s.id]) for s in registry], problems


def described(spec: Spec, origin: str) -> dict[str, Any]:
    """What is declared of an indicator, as JSON has it."""
    params = {n: aggregate_text(a, spec.window) for n, a in spec.params.items()}
    return {
        "id": spec.id, "origin": origin, "theme": spec.theme, "name": dict(spec.name), "meaning": dict(spec.meaning),
        "unit": spec.unit, "window": spec.window_text, "better": spec.better, "levels": list(spec.levels),
        "decimals": spec.decimals, "bands": dict(spec.bands), "source": spec.source, "status": spec.status,
        "owner": spec.owner, "feeds": [list(f) for f in spec.feeds], "parameters": params,
        "form": "class" if spec.cls is not None else "function", "examples": [dict(e) for e in spec.examples],
    }  # fmt: skip
