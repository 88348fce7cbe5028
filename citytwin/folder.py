"""Looks at the plugins folder: what was saved is checked in a process of its own and swapped in, what failed is told.

A file that cannot be used leaves in force what was in force before. A file that is gone for two looks is taken out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from citytwin.config import ConfigError
from citytwin.config import Workshop as Settings
from citytwin.indicators.contract import Problem
from citytwin.indicators.loading import NotAnIndicator, load_text, version_of
from citytwin.plugins import FILES_MAX, TOO_MANY, plugin_files, read
from citytwin.rehearsal import record
from citytwin.submissions import Unavailable
from citytwin.swap import PluginError
from citytwin.trial import Limits, Verdict, check_text
from citytwin.workshop import FileState, Workshop

_log = logging.getLogger(__name__)
LOOK_S = 1.0
#: An editor may still be writing a file that was changed so recently.
_SETTLED_S = 0.3
#: A saved file is seen to be missing for a moment while an editor puts another in its place.
_GONE_LOOKS = 2
#: Words of a refusal that may be over once something else is in force.
_WAITS_FOR = "which does not exist"
Check = Callable[..., Verdict]


@dataclass(slots=True)
class _Seen:
    """A file: time and size when it was judged and when it was last looked at, hash of its text, judged among what."""

    stat: tuple[int, int] = (0, 0)
    looked: tuple[int, int] = (0, 0)
    version: str = ""
    judged: str = ""
    generation: int = -1
    waits: bool = False
    missing: int = 0


class Folder:
    """The files of a folder and a thread that looks at them every second."""

    def __init__(
        self, path: Path, workshop: Workshop, settings: Settings, data: Path, *, say: Callable[[str], None],
        now_ms: Callable[[], int], check: Check = check_text,
    ) -> None:  # fmt: skip
        """`data`: where the last hour may be written for a check; `say` tells the operator one line."""
        self.path, self.workshop, self.settings, self.data = path, workshop, settings, data
        self._say, self._now, self._check = say, now_ms, check
        self._seen: dict[str, _Seen] = {f: _Seen() for f in workshop.engine.annexes.by_file}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="citytwin-workshop", daemon=True)

    def start(self) -> None:
        """Look every second from now on."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; a check that runs is ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self.look()
            except Unavailable as error:
                _log.warning("the plugins wait: %s", error)
            except Exception:  # whatever a folder holds, the city goes on and so does the looking
                _log.exception("a look at the plugins failed; the next one comes in a second")

    def look(self, *, at_once: bool = False) -> None:
        """One look: what is new is checked and swapped in. `at_once`: nobody is writing there now.

        Raises Unavailable.
        """
        with self._lock:
            try:
                files = {p.name: p for p in plugin_files(self.path)}
            except ConfigError:
                return self._lost()
            for name in sorted(set(self._seen) - set(files)):
                self._missing(name, at_once)
            for name in list(files)[FILES_MAX:]:
                self._seen.setdefault(name, _Seen()).stat = (0, 0)
                self._refuse(name, "", [TOO_MANY])
                del files[name]
            changed = [n for n, p in files.items() if self._changed(n, p, at_once)]
            waiting = [n for n in files if n not in changed and self._may_fit_now(n)]
            for name in self._order(files, (*changed, *waiting)):
                if self._stop.is_set():
                    return None
                self._judge(name, files[name])
            return None

    def _lost(self) -> None:
        for name, state in list(self.workshop.known.items()):
            self._seen[name].stat = (0, 0)  # each is looked at again when the folder is back
            words = (f"the folder {self.path} is gone; what is in force stays until it is back",)
            if state.problems != words:
                self.workshop.tell(FileState(name, state.version, state.in_force, state.ids, words, None, "refused"))

    @staticmethod
    def _order(files: dict[str, Path], names: tuple[str, ...]) -> Iterator[str]:
        """Those that read other indicators last: what they read may be among the others."""

        def reads(name: str) -> bool:
            try:
                return "ind(" in read(files[name])
            except NotAnIndicator:
                return False

        return iter(sorted(dict.fromkeys(names), key=lambda n: (reads(n), n)))

    def _changed(self, name: str, path: Path, at_once: bool) -> bool:
        """Whether the text of a file is another than when it was last judged, and nobody writes it now."""
        seen = self._seen.setdefault(name, _Seen())
        seen.missing = 0
        try:
            facts = path.stat()
        except OSError:
            return False
        stat = (facts.st_mtime_ns, facts.st_size)
        if stat == seen.stat and seen.judged:
            return False
        young = time.time() - facts.st_mtime < _SETTLED_S  # or of a clock that is ahead of ours
        before, seen.looked = seen.looked, stat
        if young and before != stat and not at_once:
            return False
        seen.stat = stat
        return True

    def _may_fit_now(self, name: str) -> bool:
        seen = self._seen[name]
        return seen.waits and seen.generation != self.workshop.generation

    # One file.

    def _judge(self, name: str, path: Path) -> None:
        seen = self._seen[name]
        try:
            text = read(path)
        except NotAnIndicator as error:
            seen.judged = seen.version = "unreadable"
            return self._refuse(name, "", [str(error).removeprefix(f"{path}: ")])
        seen.version = version_of(text)
        if seen.version == self._in_force(name):
            seen.judged, seen.waits = seen.version, False
            known, annex = self.workshop.known.get(name), self.workshop.engine.annexes.by_file[name]
            notes = known.notes if known is not None else ()
            return self._stand(name, seen.version, (), "in force", annex.checked_at or None, notes)
        if seen.version == seen.judged and not self._may_fit_now(name):
            return None
        self._stand(name, seen.version, (), "checking", None)
        verdict = self._verdict(name, text)
        seen.judged, seen.generation, seen.waits = seen.version, self.workshop.generation, False
        if self._stop.is_set():
            return None
        if verdict.problems:
            seen.waits = any(_WAITS_FOR in p.message for p in verdict.problems)
            wanted = [*verdict.ids, *(p.indicator for p in verdict.problems if p.indicator)]
            words = list(map(_sentence, verdict.problems))
            return self._refuse(name, seen.version, words, wanted=list(dict.fromkeys(wanted)))
        return self._swap(name, text, verdict)

    def _verdict(self, name: str, text: str) -> Verdict:
        limits = Limits(self.settings.check_seconds, self.settings.check_memory_mb)
        engine = self.workshop.engine
        plugins = [a.plugin for f, a in list(engine.annexes.by_file.items()) if f != name]
        others = [(p.file, p.text) for p in plugins] if "ind(" in text else []
        real = self.data / "workshop" / "last-hour.bin"
        try:
            self._record(text, real)
            hour = real if real.exists() else None
            return self._check(name, text, limits, others=others, real=hour, stopped=self._stop.is_set)
        finally:
            real.unlink(missing_ok=True)

    def _record(self, text: str, path: Path) -> None:
        """Write down the last hour of the city, if it has one."""
        engine, runtime = self.workshop.engine, self.workshop.runtime
        if not engine.k:
            return
        recording = runtime.call(lambda: record(engine, text)).result() if runtime.running else record(engine, text)
        recording.save(path)

    def _swap(self, name: str, text: str, verdict: Verdict) -> None:
        seen = self._seen[name]
        checked = self._now()
        try:
            self.workshop.put(load_text(name, text), checked)
        except (PluginError, NotAnIndicator) as error:
            seen.waits = True
            return self._refuse(name, seen.version, [str(error)], wanted=verdict.ids)
        except Unavailable:
            seen.judged = ""  # the log takes nothing now: the next look tries again
            raise
        self._say(f"{name}: {', '.join(verdict.ids)} in force")
        return self._stand(name, seen.version, (), "in force", checked, tuple(verdict.notes))

    def _missing(self, name: str, at_once: bool) -> None:
        seen = self._seen[name]
        seen.missing += 1
        if seen.missing < _GONE_LOOKS and not at_once:
            return
        if not self._in_force(name):
            self._seen.pop(name)
            self.workshop.known.pop(name, None)
            return
        try:
            self.workshop.take_out(name)
        except PluginError as error:
            self._refuse(name, "", [f"the file is gone, but {error}"])
            return
        self._seen.pop(name)
        self.workshop.known.pop(name, None)
        self._say(f"{name}: taken out")

    # How it stands.

    def _in_force(self, name: str) -> str:
        annex = self.workshop.engine.annexes.by_file.get(name)
        return annex.plugin.version if annex is not None else ""

    def _refuse(self, name: str, version: str, problems: list[str], wanted: list[str] | None = None) -> None:
        known = self.workshop.known.get(name)
        if known is None or (known.version, known.problems) != (version, tuple(problems)):
            self._say(f"{name} is refused: {problems[0]}")
        self._stand(name, version, tuple(problems), "refused", self._now(), wanted=wanted or [])

    def _stand(
        self, name: str, version: str, problems: tuple[str, ...], status: str, checked: int | None,
        notes: tuple[str, ...] = (), wanted: list[str] | None = None,
    ) -> None:  # fmt: skip
        annex = self.workshop.engine.annexes.by_file.get(name)
        ids = annex.plugin.ids if annex is not None else tuple(wanted or ())
        state = FileState(name, version, self._in_force(name), ids, problems, checked, status, notes)
        self.workshop.tell(state, wanted or ())


def _sentence(problem: Problem) -> str:
    name = f"{problem.indicator}: " if problem.indicator else ""
    return f"{name}{problem.rule}: {problem.message}"
