"""The command line: quick to answer, good to read, plain about errors."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from citytwin.cli import _VERBS, LazyGroup, cli, is_plain
from citytwin.models.batch import Rejection
from citytwin.streams.deadletters import DeadLetters
from citytwin.streams.store import StoreInUse

LIMIT_S = 0.3


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "citytwin", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=120)


def test_help_comes_at_once() -> None:
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # of the processor: what else the machine does is not ours
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert found.returncode == 0
    assert min(spent) < LIMIT_S, f"--help took {min(spent):.2f} s"
    assert all(verb in found.stdout for verb in _VERBS)


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from citytwin.cli import main
try:
    main(["--help"])
except SystemExit:
    print(sorted(sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = found.stdout.splitlines()[-1]
    for heavy in ("numpy", "numba", "starlette", "pyarrow", "shapely"):
        assert f"'{heavy}'" not in loaded


@pytest.mark.parametrize("verb", list(_VERBS))
def test_every_verb_has_a_help_worth_reading(verb: str) -> None:
    assert isinstance(cli, LazyGroup)
    command = cli.get_command(None, verb)  # type: ignore[arg-type]
    assert command is not None
    assert command.help
    assert len(command.help) > 20


def test_errors_are_sentences_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "citytwin.toml").write_text("[server]\nprot = 1\n")
    for arguments, code, said in (
        (["config", "show"], 1, "there is no setting server.prot"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["backup", "out"], 1, "there is no setting"),
        (["deadletters", "show", "x"], 2, "not a valid integer"),
    ):
        found = run(*arguments, folder=tmp_path)
        assert (found.returncode, "Traceback" in found.stderr) == (code, False), found.stderr
        assert said in found.stderr


def test_others_may_not_reach_it_without_a_token(tmp_path: Path) -> None:
    found = run("run", "--host", "0.0.0.0", folder=tmp_path)
    assert found.returncode == 1
    assert "make accounts (`citytwin users add NAME --role dispatcher`)" in found.stderr
    assert "set server.token_file" in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "citytwin-data").exists(), "it refused before it made anything"


def test_dead_letters_are_listed_and_shown(tmp_path: Path) -> None:
    with DeadLetters(tmp_path / "data" / "deadletters.db") as letters:
        letters.add("http", "abc", [Rejection(3, "bad_time", "time", "no offset", b'{"id":"x"}', "gate", "x")], 1000)
    found = run("deadletters", "list", "--data", "data", folder=tmp_path)
    assert "bad_time" in found.stdout
    assert "1 open, bad_time 1" in found.stdout
    found = run("deadletters", "show", "1", "--data", "data", folder=tmp_path)
    assert '{"id":"x"}' in found.stdout
    assert "http abc, row 3" in found.stdout
    found = run("deadletters", "show", "9", "--data", "data", folder=tmp_path)
    assert (found.returncode, "no dead letter 9" in found.stderr) == (1, True)


def test_which_errors_are_plain() -> None:
    assert is_plain(StoreInUse("x"))
    assert is_plain(FileNotFoundError("x"))
    assert not is_plain(ValueError("x"))
