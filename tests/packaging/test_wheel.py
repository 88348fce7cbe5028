"""What is built: the sdist, and the wheel made of it, opened and used outside the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import Figure

ROOT = Path(__file__).resolve().parents[2]
STATIC = "citytwin/dashboards/static/"


def tracked() -> list[str]:
    """Files that git knows, links left out."""
    said = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [n for n in said.split("\0") if n and (ROOT / n).is_file() and not (ROOT / n).is_symlink()]


def copy_of_sources(target: Path, *, pages: bool) -> Path:
    """What a clone would hold, with the built pages or with nothing of the pages at all."""
    for name in tracked():
        if pages or not name.startswith("dashboards/web/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    if pages:
        shutil.copytree(ROOT / "dashboards" / "static", target / "dashboards" / "static")
    return target


def build(source: Path, out: Path, *options: str) -> str:
    """Build with the tools of this environment; returns what was said."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *options, str(source)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-3000:]
    return said.stdout + said.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was made of it."""
    if not (ROOT / "dashboards" / "static" / "licences.txt").exists():
        subprocess.run([sys.executable, "scripts/pages.py", "build"], cwd=ROOT, check=True)
    out = tmp_path_factory.mktemp("dist")
    build(copy_of_sources(tmp_path_factory.mktemp("clone"), pages=True), out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    """The wheel, open."""
    return zipfile.ZipFile(next(built.glob("*.whl")))


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed in it, without its dependencies."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*command, str(next(built.glob("*.whl")))], check=True)
    return target


def run_installed(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the installed wheel in front of everything, away from the checkout."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=installed.parent, env=env, capture_output=True, text=True, check=False
    )


def test_pages_are_in_the_wheel(wheel: zipfile.ZipFile, figure: Figure) -> None:
    names = [n.removeprefix(STATIC) for n in wheel.namelist() if n.startswith(STATIC)]
    assert "index.html" in names
    assert any(re.fullmatch(r"assets/index-[\w-]{8,}\.js", n) for n in names), "hashed names, so that caches are safe"
    assert any("worker" in n and n.endswith((".js", ".mjs")) for n in names)
    assert any(n.endswith(".woff2") for n in names)
    assert any("OFL" in n for n in names)
    assert "licences.txt" in names
    assert not [n for n in names if n.endswith(".map")]
    size = sum(i.compress_size for i in wheel.infolist() if i.filename.startswith(STATIC))
    figure("pages in the wheel", size / 1e6, "MB")
    assert size < 3_000_000


def test_licences_of_the_pages_are_complete(wheel: zipfile.ZipFile) -> None:
    text = wheel.read(STATIC + "licences.txt").decode()
    for name in ("maplibre-gl", "preact", "@preact/signals", "uplot"):
        assert re.search(rf"^{name} \d", text, re.M)


def test_every_module_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    rooms = ("geo", "models", "twin", "indicators", "streams", "dashboards")
    mine = [n for n in tracked() if n.endswith(".py") and not n.startswith("dashboards/web/")]
    wanted = {f"citytwin/{n}" for n in mine if n.split("/")[0] in rooms} | {
        n for n in mine if n.startswith("citytwin/")
    }
    assert wanted - set(wheel.namelist()) == set()


def test_city_packs_are_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    wanted = {f"citytwin/{n}" for n in tracked() if n.startswith("twin/cities/") and "/source/" not in n}
    assert wanted - set(wheel.namelist()) == set()


def test_tables_and_plans_of_the_desk_are_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    wanted = {f"citytwin/{n}" for n in tracked() if n.startswith("models/desk/") and n.endswith((".csv", ".toml"))}
    assert {"citytwin/models/desk/categories.csv", "citytwin/models/desk/plans/waterlogging.toml"} <= wanted
    assert wanted - set(wheel.namelist()) == set()


def test_licence_notice_and_command(wheel: zipfile.ZipFile) -> None:
    info = next(n for n in wheel.namelist() if n.endswith("METADATA")).removesuffix("METADATA")
    assert b"Apache License" in wheel.read(info + "licenses/LICENSE")
    assert b"OpenStreetMap" in wheel.read(info + "licenses/NOTICE")
    assert b"citytwin = citytwin.cli:main" in wheel.read(info + "entry_points.txt")
    assert b"License-Expression: Apache-2.0" in wheel.read(info + "METADATA")


def test_nothing_else_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    strange = [n for n in wheel.namelist() if not n.startswith("citytwin") or "node_modules" in n or "__pycache__" in n]
    assert not strange


def test_sdist_holds_the_built_pages(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {n.split("/", 1)[1] for n in archive.getnames() if "/" in n}
    for needed in ("dashboards/static/index.html", "setup.py", "scripts/pages.py", "LICENSE", "NOTICE", "Makefile"):
        assert needed in names


def test_the_installed_wheel_knows_its_city(installed: Path) -> None:
    said = run_installed(
        installed, "-c",
        "import citytwin.twin.pack as p; c = p.load_city('wuhan'); print(p.__file__, len(c.scopes), c.entities.n)",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr[-2000:]
    place, scopes, entities = said.stdout.split()[-3:]
    assert place.startswith(str(installed))
    assert int(scopes) > 10_000
    assert int(entities) > 10_000


def test_help_is_quick(installed: Path, figure: Figure) -> None:
    took = []
    for _ in range(7):
        begin = time.perf_counter()
        said = run_installed(installed, "-c", "from citytwin.cli import main; main()", "--help")
        took.append(time.perf_counter() - begin)
        assert said.returncode == 0, said.stderr
        assert "demo" in said.stdout
    figure("citytwin --help", min(took) * 1000, "ms")
    assert min(took) < 0.3


def test_without_node_the_build_says_so(tmp_path: Path) -> None:
    source = copy_of_sources(tmp_path / "clone", pages=False)
    said = build(source, tmp_path / "out", "--wheel")
    assert "packaged WITHOUT its pages" in said
    assert "Node >= 20.19" in said
    with zipfile.ZipFile(next((tmp_path / "out").glob("*.whl"))) as archive:
        assert not [n for n in archive.namelist() if n.startswith(STATIC)]


def test_packages_are_all_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {
        Path(n).parent.as_posix() for n in tracked() if n.endswith("/__init__.py") and n.split("/")[0] != "tests"
    }
    wanted = {("" if f.split("/")[0] == "citytwin" else "citytwin.") + f.replace("/", ".") for f in folders}
    assert listed == wanted


@pytest.mark.parametrize("target", ["demo", "test", "check", "prove", "bench"])
def test_make_knows_its_targets(target: str) -> None:
    said = subprocess.run(
        ["make", "-n", target, "PORT=9000"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    if target == "demo":
        assert "--port 9000" in said.stdout
    if target == "prove":
        assert "CITYTWIN_TEST_PROVE=1" in said.stdout
