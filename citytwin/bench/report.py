"""What the benchmark found: a list for build/bench.json and a table for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `ratio` against the baseline that the name tells (None: there is none), `command` repeats it."""

    name: str
    value: float
    unit: str
    ratio: float | None
    command: str


class Report:
    """Figures in the order in which they were measured."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.figures: list[Figure] = []

    def add(self, name: str, value: float, unit: str, ratio: float | None = None) -> None:
        """Add one, rounded to four significant digits."""
        short = None if ratio is None else float(f"{ratio:.4g}")
        self.figures.append(Figure(name, float(f"{value:.4g}"), unit, short, self.command))

    def value(self, name: str) -> float:
        """A figure by name; KeyError if it was not measured."""
        found = {f.name: f.value for f in self.figures}
        return found[name]

    def write(self, path: Path) -> None:
        """Write the list as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([asdict(f) for f in self.figures], indent=1, ensure_ascii=False) + "\n", "utf-8")

    def table(self) -> str:
        """The table for people."""
        wide = max((len(f.name) for f in self.figures), default=0)
        lines = [f"{'':{wide}}  {'value':>12}  {'unit':10}  ratio"]
        for f in self.figures:
            ratio = "" if f.ratio is None else f"{f.ratio:.2f}"
            lines.append(f"{f.name:{wide}}  {f.value:>12,.6g}  {f.unit:10}  {ratio}")
        return "\n".join(lines)
