"""The example package: built and installed beside CityTwin it appears, keeps the contract, and its own tests pass."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "reopen_rate"
ID = "gov.case.reopen_rate"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed in it, built from a copy."""
    copy, target = tmp_path_factory.mktemp("copy") / "reopen_rate", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "-q")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return target


def run(site: Path, *command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A command with the package on the path."""
    env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_it_is_listed(site: Path, tmp_path: Path) -> None:
    done = run(site, "-m", "citytwin", "indicators", "list", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    mine = [r for r in json.loads(done.stdout) if r["id"] == ID]
    assert len(mine) == 1
    assert mine[0]["origin"] == "package citytwin-reopen-rate"
    shown = run(site, "-m", "citytwin", "indicators", "list", "--theme", "social_governance", cwd=tmp_path)
    assert ID in shown.stdout


def test_it_keeps_the_contract(site: Path, tmp_path: Path) -> None:
    code = f"from citytwin.plugins import base; from citytwin.conformance import check; print(check(base()[0]['{ID}']))"
    done = run(site, "-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_its_own_tests_pass(site: Path, tmp_path: Path) -> None:
    tests = shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    # named by hand, for the entry point of pytest is only there once CityTwin is installed
    given = ("-p", "citytwin.pytest_plugin", "-q", "-p", "no:cacheprovider")
    env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", *given, str(tests)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "2 passed" in done.stdout


def test_pytest_finds_the_fixtures_by_itself() -> None:
    """The entry point leads somewhere."""
    import tomllib

    facts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert facts["project"]["entry-points"]["pytest11"] == {"citytwin": "citytwin.pytest_plugin"}
