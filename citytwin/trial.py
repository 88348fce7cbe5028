"""Checks a file of indicators in a process of its own, with limits of time and memory, and names what was wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from citytwin.indicators.contract import Problem

#: How long the process may take to say where it is, once it is asked.
_LAST_WORDS_S = 1.0
#: A busy machine gives a process little of its time; that is not the author's fault.
PATIENCE = 5
_LOOK_S = 0.1
#: Longest text that is taken from the process: problems beyond it are not told.
_OUTPUT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a check may take: seconds of a processor for each file, MiB beyond what Python and CityTwin take themselves.

    A process that waits instead of working is ended after PATIENCE times the seconds.
    """

    seconds: float = 60.0
    memory_mb: int = 1024


@dataclass(slots=True)
class Verdict:
    """What a check found: problems (none: it passed), indicators that were checked to the end, notes, costs by id."""

    problems: list[Problem] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    costs: dict[str, tuple[float, int]] = field(default_factory=dict)
    seconds: float = 0.0


def check_text(
    file: str, text: str | None, limits: Limits | None = None, *, others: Sequence[tuple[str, str]] = (),
    real: Path | None = None, stopped: Callable[[], bool] = lambda: False,
) -> Verdict:  # fmt: skip
    """Check one text (None: all built-in and installed indicators) as the file of that name.

    `others`: names and texts of files whose indicators it may read. `real`: events of a city, see citytwin.rehearsal.
    It is given up when `stopped()` says so.
    """
    limits = limits or Limits()
    asked = {
        "file": file, "text": text, "memory_mb": limits.memory_mb, "real": str(real) if real else None,
        "others": list(others),
    }  # fmt: skip
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "citytwin.trial_child"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=_environment(),
    )  # fmt: skip
    with child:
        try:
            out, err, late = _talk(child, json.dumps(asked).encode(), limits.seconds, stopped)
        finally:
            _end(child)
    verdict = _read(out)
    verdict.seconds = time.monotonic() - started
    _explain(verdict, child, out, err, late, limits, file)
    return verdict


def _environment() -> dict[str, str]:
    # one thread: the check must not take the machine from the city that it runs beside
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


class _Reader(threading.Thread):
    """Takes what a pipe gives, up to a bound, so that the process never waits for us."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(daemon=True)
        self._pipe, self.data = pipe, b""

    def run(self) -> None:
        """Read to the end."""
        while chunk := self._pipe.read1(65536):
            if len(self.data) < _OUTPUT_BYTES:
                self.data += chunk


def _talk(
    child: subprocess.Popen[bytes], asked: bytes, seconds: float, stopped: Callable[[], bool]
) -> tuple[bytes, bytes, bool]:
    assert child.stdin is not None
    readers = [_Reader(pipe) for pipe in (child.stdout, child.stderr)]
    for reader in readers:
        reader.start()
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(asked)
        child.stdin.close()
    late = not _ends_within(child, seconds, stopped)
    if late:
        os.kill(child.pid, signal.SIGUSR1)  # faulthandler writes where it is
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_LAST_WORDS_S)
    _end(child)
    for reader in readers:
        reader.join(5)
    return readers[0].data, readers[1].data, late


def _ends_within(child: subprocess.Popen[bytes], seconds: float, stopped: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < until and _worked_s(child.pid) < seconds and not stopped():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_S)
            return True
    return False


def _worked_s(pid: int) -> float:
    """Seconds of a processor that a process took; 0 where the system does not tell."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _read(out: bytes) -> Verdict:
    verdict = Verdict()
    for line in _lines(out):
        id = str(line.get("indicator", ""))
        if "problem" in line:
            rule, message = line["problem"]
            verdict.problems.append(Problem(id, str(rule), str(message)))
        elif "facts" in line:
            verdict.ids.append(id)
            facts = line["facts"]
            verdict.costs[id] = (float(facts["cost_us"]), int(facts["state_bytes"]))
            verdict.notes += map(str, facts["notes"])
    return verdict


def _lines(out: bytes) -> list[dict[str, Any]]:
    found = []
    for line in out.splitlines():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                found.append(value)
    return found


def _explain(
    verdict: Verdict, child: subprocess.Popen[bytes], out: bytes, err: bytes, late: bool, limits: Limits, file: str
) -> None:
    """Say why the process did not come to its end, if it did not."""
    lines = _lines(out)
    if lines and lines[-1].get("done"):
        return
    last = next((line for line in reversed(lines) if "step" in line), {"step": "it is loaded", "indicator": ""})
    id, step = str(last["indicator"]), str(last["step"])
    if late:
        where = _where(err)
        verdict.problems.append(
            Problem(
                id, "time", f"does not come to an end within {limits.seconds:g} s while {step}{where}; look for a loop "
                "that never stops, or for one over scopes that NumPy could do at once",
            )
        )  # fmt: skip
        return
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        rule = "memory" if child.returncode == -signal.SIGKILL else "crash"
        why = "; it took more memory than the machine has" if rule == "memory" else ""
        words = f"the process was ended by {name} while {step}{_where(err)}{why}"
        verdict.problems.append(Problem(id, rule, words))
        return
    said = err.decode("utf-8", "replace").strip().splitlines()
    rule = "memory" if any("MemoryError" in s for s in said) else "crash"
    words = f"the process left with {child.returncode} while {step}: {said[-1] if said else 'no word'}"
    verdict.problems.append(Problem(id, rule, words))


def _where(err: bytes) -> str:
    """The line of the author's file at which the process was, from what faulthandler wrote."""
    found = re.search(r'File "<plugin \w+ ([^"]+)>", line (\d+) in (\S+)', err.decode("utf-8", "replace"))
    return f" (line {found[2]} of {found[1]}, in {found[3]})" if found else ""
