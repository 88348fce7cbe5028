"""Builds the pages into the wheel and the sdist; everything else is in pyproject.toml.

Pages that are built already are taken as they are. Without them a Node >= 20.19 builds them; without Node the package
is made without pages, and says so. CITYTWIN_PAGES=require makes that an error, CITYTWIN_PAGES=skip does not try.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
INDEX = ROOT / "dashboards" / "static" / "index.html"


def build_pages() -> None:
    """Build the pages if they are missing and can be built; raises SystemExit only under CITYTWIN_PAGES=require."""
    wish, script = os.environ.get("CITYTWIN_PAGES", ""), ROOT / "scripts" / "pages.py"
    if INDEX.exists() or wish == "skip" or not script.exists():
        return
    spec = importlib.util.spec_from_file_location("citytwin_pages", script)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{script} cannot be loaded")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    try:
        pages.build(install=False)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        words = (
            f"citytwin: packaged WITHOUT its pages: {error}. The server, the API and the command line work; "
            "the page at / does not. Install Node >= 20.19 and install again, or run `make demo`."
        )
        if wish == "require":
            raise SystemExit(words) from error
        print(words, file=sys.stderr, flush=True)


class BuildWithPages(build_py):
    """build_py that has the pages built first; an editable install leaves them to make."""

    def run(self) -> None:
        """Build pages, then as usual."""
        if not self.editable_mode:
            build_pages()
        super().run()


class SdistWithPages(sdist):
    """sdist that has the pages built first, so that a wheel can be made of it without Node."""

    def run(self) -> None:
        """Build pages, then as usual."""
        build_pages()
        super().run()


setup(cmdclass={"build_py": BuildWithPages, "sdist": SdistWithPages})
