"""Baselines of job W in the same run: the plain loop, and a Faust agent that does the same work without a broker."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from citytwin.bench.job import START_MS
from citytwin.bench.plain import NAMES, Plain, same
from citytwin.bench.town import BenchCity
from citytwin.engine import Engine


def run_plain(bodies: Iterable[bytes], city: BenchCity) -> tuple[Plain, float, int]:
    """The loop over all bodies: its state, CPU seconds, lines."""
    plain, lines = Plain(city), 0
    began = time.process_time()
    for second, body in enumerate(bodies):
        for line in body.splitlines():
            plain.step(line)
            lines += 1
        plain.tick(START_MS + (second + 1) * 1000)
    return plain, time.process_time() - began, lines


def differences(plain: Plain, engine: Engine, city: BenchCity) -> list[str]:
    """Scopes and aggregates where loop and engine differ (at most ten), and differing totals."""
    out = []
    if plain.accepted != engine.stats.accepted:
        out.append(f"accepted: loop {plain.accepted}, engine {engine.stats.accepted}")
    districts = {int(r) for r in city.scopes.ancestors()[city.cell_rows, 1]}
    for scope in (0, *sorted(districts), *city.cell_rows.tolist()):
        mine = plain.at(scope)
        for name in NAMES:
            line = engine.board.lines[name]
            value, closed = mine[name]
            tumbling = name.endswith("_1m")
            if not same(value, line.value[scope]) or (tumbling and not same(closed, line.closed[scope])):
                held = (line.value[scope], line.closed[scope])
                out.append(f"{name} at {city.scopes.code[scope]}: loop {mine[name]}, engine {held}")
        if len(out) > 10:
            break
    return out


def run_faust(path: Path, seconds: int, devices: int) -> tuple[float, int]:
    """The same work as a Faust agent, in a process of its own: CPU seconds, lines.

    ImportError where faust-streaming is not installed.
    """
    code = [sys.executable, "-m", "citytwin.bench.faust_agent", str(path), str(seconds), str(devices)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    if "No module named 'faust'" in done.stderr:
        raise ImportError("faust-streaming is not installed")
    if done.returncode:
        raise RuntimeError(f"the Faust agent failed: {done.stderr[-2000:]}")
    cpu, lines = done.stdout.split()[-2:]
    return float(cpu), int(lines)
