"""Indicators of the operator's own folder (`city.plugins`), beside built-in ones and those of installed packages."""

from __future__ import annotations

from pathlib import Path

from citytwin.config import ConfigError
from citytwin.indicators.registry import Registry, installed


def registry_of(folder: str) -> Registry:
    """All indicators there are; each file of the folder is held to the contract first.

    Raises ConfigError for a folder that is not there and for the first file that does not keep the contract.
    """
    registry = installed()
    if not folder:
        return registry
    if not Path(folder).is_dir():
        raise ConfigError(f"city.plugins: {folder} is no folder; make it, or take the setting out")
    from citytwin.conformance import NotAnIndicator, check_file, load_file

    for file in sorted(Path(folder).glob("*.py")):
        try:
            problems = check_file(file)
        except NotAnIndicator as error:
            raise ConfigError(f"city.plugins: {error}") from error
        if problems:
            said = f"{problems[0].indicator} {problems[0].message}"
            raise ConfigError(f"city.plugins: {file}: {said}; `citytwin check {file}` tells all")
        registry.add(load_file(file))
    return registry
