"""The process in which a file of indicators is checked: it may loop, crash or take all memory, nobody else is hurt.

Reads one JSON object from stdin, writes one JSON line for each step, problem and fact to the stdout that it was given;
what the author's code prints goes nowhere. See citytwin.trial.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Say = Callable[..., None]


def main() -> None:
    """Check what stdin asks for."""
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=False)
    asked = json.loads(sys.stdin.read())

    def say(**facts: Any) -> None:
        out.write(json.dumps(facts, ensure_ascii=False) + "\n")

    say(step="it is loaded", indicator="")
    importlib.import_module("citytwin.conformance")  # all that is heavy, before the limit is set
    limit_memory(int(asked["memory_mb"]))
    try:
        check_asked(asked, say)
    except MemoryError:
        say(problem=["memory", _MEMORY.format(asked["memory_mb"])])
    say(done=True)


_MEMORY = "asks for more than {} MiB; an indicator needs a few arrays of the length of its parameters"


def limit_memory(megabytes: int) -> None:
    """Let this process take so much more than it has now; beyond it Python raises MemoryError."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return  # no such limit on this system; the check of what a formula takes still holds
    now = int(pages.read_text().split()[0]) * resource.getpagesize()
    limit = now + (megabytes << 20)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def check_asked(asked: dict[str, Any], say: Say) -> None:
    """Load and check what is asked for; `say` is told steps, problems and facts as keywords."""
    from citytwin.indicators.loading import NotAnIndicator, load_text
    from citytwin.indicators.registry import Registry
    from citytwin.plugins import base, clashes

    known, origins = base()
    for name, text in asked["others"]:
        with contextlib.suppress(NotAnIndicator):  # whatever is wrong with it is told when it is checked itself
            plugin = load_text(name, text)
            fresh = [s for s in plugin.specs if s.id not in known]
            known.add(fresh)
            origins |= {s.id: f"file {name}" for s in fresh}
    if asked["text"] is None:
        specs = list(known)
    else:
        impure = _impure(asked)
        for sentence in impure:
            say(problem=["pure", sentence], indicator="")
        if impure:
            return  # what waits for a clock or for others is not even begun
        try:
            plugin = load_text(asked["file"], asked["text"])
        except NotAnIndicator as error:
            words = str(error).removeprefix(f"{asked['file']}: ")
            if "MemoryError" in words:
                say(problem=["memory", f"{words}; {_MEMORY.format(asked['memory_mb'])}"], indicator="")
            else:
                say(problem=["declaration", words], indicator="")
            return
        specs = list(plugin.specs)
        for sentence in clashes(plugin, known, origins):
            say(problem=["id", sentence], indicator="")
        known = Registry([*known, *(s for s in specs if s.id not in known)])
    for spec in specs:
        _one(spec, known, asked, say)


def _impure(asked: dict[str, Any]) -> list[str]:
    from citytwin.purity import impure

    if not asked["file"].endswith(".py"):
        return []
    try:
        return list(impure(asked["text"]))
    except (SyntaxError, ValueError, RecursionError):
        return []  # loading it says what is wrong


def _one(spec: Any, known: Any, asked: dict[str, Any], say: Say) -> None:
    from citytwin import conformance

    facts = conformance.Facts()
    problems = conformance.check(spec, known, facts, lambda step: say(step=step, indicator=spec.id))
    for problem in problems:
        rule, message = problem.rule, problem.message
        if "MemoryError" in message:
            rule, message = "memory", _MEMORY.format(asked["memory_mb"])
        say(problem=[rule, message], indicator=spec.id)
    if asked.get("real") and not problems:
        from citytwin.rehearsal import rehearse

        say(step="it is fed the last hour", indicator=spec.id)
        for rule, message in rehearse(spec, known, Path(asked["real"]), facts):
            say(problem=[rule, message], indicator=spec.id)
    say(facts={"cost_us": facts.cost_us, "state_bytes": facts.state_bytes, "notes": facts.notes}, indicator=spec.id)


if __name__ == "__main__":
    main()
