"""Indicators that do what they must not, each in its own way, as files that somebody saved."""

from __future__ import annotations

_HEAD = """
import numpy as np
from citytwin.indicators.api import Indicator, col, count, ind, indicator, total

WORDS = {"zh": "甲", "en": "A"}
EXAMPLES = [{"n": 1, "gives": 1}, {"n": 0, "gives": 0}]
META = dict(theme="t", window="sliding 1h/1m", unit="count", better="down", levels="city district street", owner="me",
            name=WORDS, meaning=WORDS, examples=EXAMPLES)
"""
_CLASS = """
class Bad(Indicator):
    id, theme, window, levels, owner = "bad.%s", "t", "sliding 1h/1m", "city district", "me"
    name = meaning = WORDS
    aggregates = {"n": count("call.offered")}
"""


def function(name: str, body: str, before: str = "", **meta: str) -> str:
    """A file with the function form `bad.<name>`; `body` is the inside of the function of n."""
    facts = "".join(f', **{{"{k}": {v}}}' for k, v in meta.items())
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    made = f'@indicator("bad.{name}", **{{**META{facts}}})' if facts else f'@indicator("bad.{name}", **META)'
    return f'{_HEAD}{before}\n{made}\ndef bad(n=count("call.offered")):\n{lines}\n'


def class_form(name: str, body: str) -> str:
    """A file with the class form `bad.<name>`; `body` is the inside of the class."""
    return _HEAD + _CLASS % name + "\n".join(f"    {line}" for line in body.splitlines()) + "\n"


#: A good one, to stand beside the bad ones.
GOOD = function("good", "return n").replace("bad.good", "good.calls")

#: The six of the issue, misbehaving wherever they are called with more than one scope; examples are fine.
LOOP = function("loop", "while len(n) > 1:\n    pass\nreturn n")
RAISES = function("raises", 'if len(n) > 1:\n    raise ValueError("boom")\nreturn n')
SHAPE = function("shape", "return n if len(n) == 1 else n[:3]")
NOTHING = function("nothing", "return n * np.nan", examples='[{"n": 1, "gives": None}, {"n": 0, "gives": None}]')
OTHERS = function("others", "return n / n.sum() if len(n) > 1 else n")
HOG = function("hog", "return n + (np.ones((40_000, 40_000)).sum() * 0 if len(n) > 1 else 0)")

#: Those that only a process of their own can survive.
DEADLY = ("loop", "hog", "hog_at_once", "exits", "raises")

#: Each with the rule by which `citytwin check` names it, and words of the sentence.
CAUGHT: dict[str, tuple[str, str, str]] = {
    "loop": (LOOP, "time", "does not come to an end within .*line 12 of loop.py, in bad"),
    "raises": (RAISES, "formula", "raises ValueError on arrays: boom"),
    "shape": (SHAPE, "formula", "return one value per scope"),
    "nothing": (NOTHING, "nothing", "gives no value"),
    "others": (OTHERS, "independent", "depends on other scopes"),
    "hog": (HOG, "memory", "asks for more than 512 MiB"),
    "leak": (function("leak", "HELD.append(np.zeros(100_000))\nreturn n", "HELD = []"), "memory", "keep nothing"),
    "hog_at_once": (
        _HEAD + "HELD = [0]\nwhile True:\n    HELD += HELD\n" + function("at_once", "return n")[len(_HEAD) :],
        "memory", "MemoryError while it was loaded",
    ),
    "chance": (function("chance", "return n + np.random.rand()"), "pure", "uses np.random"),
    "clock": (function("clock", "return n + time.time()", "import time"), "pure", "imports time"),
    "state": (
        function("state", "K[0] += len(n) > 1\nreturn n + K[0]", "K = [0]"), "pure", "another result the second time",
    ),
    "changes": (function("changes", "n += len(n) > 1\nreturn n"), "pure", "changes its input"),
    "slow": (
        function("slow", "return np.array([x + sum(1 for _ in range(100)) - 100 for x in n])"), "cost", "whole arrays",
    ),
    "panes": (function("panes", "return n", window='"sliding 300d/1h"'), "cost", "panes over 10,000 grids"),
    "table": (function("table", "return n").replace("call.offered", "call.lost"), "declaration", "no event type"),
    "reads": (
        function("reads", "return n").replace('count("call.offered")', 'ind("no.such")'), "declaration", "no.such",
    ),
    "class_others": (
        class_form("x", 'def values(self, ctx):\n    n = ctx.tally("n")\n    return np.arange(5), n[:5] / n[1:].sum()'),
        "independent", "events in district 420101 move the value of the district 420102",
    ),
    "class_rows": (
        class_form("x", 'def values(self, ctx):\n    return np.arange(5) * 100, ctx.tally("n")[:5]'),
        "shape", "scope rows outside",
    ),
    "class_twice": (
        class_form("x", 'def values(self, ctx):\n    return np.zeros(5, int), ctx.tally("n")[:5]'), "shape", "twice",
    ),
    "class_answer": (class_form("x", 'def values(self, ctx):\n    return ctx.tally("n")'), "shape", "two arrays"),
    "class_nothing": (
        class_form("x", "def values(self, ctx):\n    return np.arange(5), np.full(5, np.nan)"), "nothing", "no value",
    ),
    "class_state": (
        class_form(
            "x", 'k = 0\ndef values(self, ctx):\n    self.k += 1\n    return np.arange(5), ctx.tally("n")[:5] * self.k'
        ),
        "pure", "another result the second time",
    ),
    "class_additive": (
        class_form("x", 'additive = True\ndef values(self, ctx):\n    return np.arange(9), ctx.tally("n")[:9] ** 2'),
        "roll-up", "add up to",
    ),
    "exits": (_HEAD + "import sys\nsys.exit(3)\n", "declaration", "SystemExit while it was loaded in line 10"),
    "no_python": (_HEAD + "def f(:\n", "declaration", "SyntaxError while it was loaded in line 9"),
    "taken": (GOOD.replace("good.calls", "case_backlog"), "id", "taken by a built-in"),
}  # fmt: skip
