"""The audit trail: any changed byte is found, a cut tail, a chain that was rewritten; and it never holds anybody up."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from citytwin.anchors import Anchor, Anchors
from citytwin.audit import _NO_DELETE, _NO_UPDATE, FILE, Audit, Row, link, sealed_name
from citytwin.cli import cli
from citytwin.config import Config, Data
from citytwin.dashboards.people import LOCAL
from citytwin.staffing import known
from citytwin.verification import newest, verify
from tests.conftest import proving

Figure = Callable[[str, float, str], None]


def fill(folder: Path, rows: int, seal_rows: int = 100_000) -> None:
    with Audit(folder, seal_rows=seal_rows, now_ms=lambda: 1_000) as audit:
        for i in range(rows):
            audit.write("anna", "session", "case.dispatched", f"K{i}", "420102", {"rev": i, "unit": "U\u2028一"})


@contextlib.contextmanager
def tampering(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database as somebody with the file has it: without the triggers, and put back as it was."""
    with contextlib.closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.executescript("DROP TRIGGER no_update; DROP TRIGGER no_delete;")
        yield db
        db.executescript(f"{_NO_UPDATE}; {_NO_DELETE};")


def test_a_trail_is_whole_and_is_read_back(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    fill(tmp_path, 3)
    found = verify(tmp_path)
    assert (found.rows, found.files, found.problems, found.head.seq) == (8, 0, [], 8)
    (row,) = newest(tmp_path, 1)
    assert json.loads(row) == {
        "seq": 8, "t": 1000, "who": "anna", "how": "session", "action": "case.dispatched", "subject": "K2",
        "scope": "420102", "detail": {"rev": 2, "unit": "U\u2028一"},
    }  # fmt: skip
    assert newest(tmp_path, 9, who="bob") == []
    assert len(newest(tmp_path, 9, action="case.dispatched")) == 8


def test_rows_cannot_be_changed_by_mistake(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        for sql in ("UPDATE rows SET body = 'x'", "DELETE FROM rows"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(sql)


def relink(db: sqlite3.Connection, since: int) -> None:
    """Rewrite the chain from a row on, as somebody who knows how it is made would."""
    (before,) = db.execute("SELECT hash FROM rows WHERE seq = ?", (since - 1,)).fetchone()
    for seq, body in db.execute("SELECT seq, body FROM rows WHERE seq >= ? ORDER BY seq", (since,)).fetchall():
        before = link(before, body)
        db.execute("UPDATE rows SET hash = ? WHERE seq = ?", (before, seq))
    db.execute("UPDATE marks SET hash = ?, seq = (SELECT max(seq) FROM rows) WHERE name = 'head'", (before,))


TAMPER: dict[str, tuple[str, str]] = {
    "who": ("UPDATE rows SET body = replace(body, 'anna', 'anne') WHERE seq = 4", "row 4 was changed"),
    "when": ("UPDATE rows SET body = replace(body, '1000', '1001') WHERE seq = 4", "row 4 was changed"),
    "detail": ("UPDATE rows SET body = replace(body, '\"rev\":3', '\"rev\":4') WHERE seq = 4", "row 4 was changed"),
    "hash": ("UPDATE rows SET hash = zeroblob(32) WHERE seq = 4", "row 4 was changed"),
    "no text": ("UPDATE rows SET body = 'x' WHERE seq = 4", "row 4 cannot be read"),
    "one gone": ("DELETE FROM rows WHERE seq = 4", "row 4 is expected, 5 is there"),
    "first gone": ("DELETE FROM rows WHERE seq = 1", "row 1 is expected, 2 is there"),
    "two swapped": (
        "UPDATE rows SET body = (SELECT r.body FROM rows r WHERE r.seq = 9 - rows.seq) WHERE seq IN (4, 5)",
        "row 4 is expected",
    ),
    "number": ("UPDATE rows SET seq = 99 WHERE seq = 8", "row 8 is expected, 99 is there"),
    "tail cut": ("DELETE FROM rows WHERE seq > 6", "does not end where it says"),
    "all gone": ("DELETE FROM rows", "does not end where it says"),
    "added": ("INSERT INTO rows SELECT 9, body, hash FROM rows WHERE seq = 8", "row 9 is expected, 9 is there"),
    "head": ("UPDATE marks SET hash = zeroblob(32)", "does not end where it says"),
    "no head": ("DELETE FROM marks", "does not end where it says"),
}


@pytest.mark.parametrize("how", TAMPER)
def test_every_kind_of_change_is_found(tmp_path: Path, how: str) -> None:
    fill(tmp_path, 8)
    sql, said = TAMPER[how]
    with tampering(tmp_path) as db:
        db.execute(sql)
    assert any(said in p for p in verify(tmp_path).problems), verify(tmp_path).problems


def anchored(folder: Path, file: Path) -> None:
    with Audit(folder, now_ms=lambda: 1_000) as audit:
        Anchors(audit, file, now_ms=lambda: 2_000).put()


def test_a_chain_that_was_rewritten_and_a_tail_that_was_cut_are_found_by_anchors(tmp_path: Path) -> None:
    trail, anchors = tmp_path / "audit", tmp_path / "elsewhere" / "anchors"
    for rows in (4, 4):
        fill(trail, rows)
        anchored(trail, anchors)
    assert [msgspec.json.decode(x, type=Anchor).seq for x in anchors.read_bytes().splitlines()] == [4, 8]
    whole = verify(trail, anchors)
    assert (whole.problems, whole.anchors) == ([], 2)
    kept = tmp_path / "kept"
    shutil.copytree(trail, kept)
    with tampering(trail) as db:
        db.execute("UPDATE rows SET body = replace(body, 'anna', 'anne') WHERE seq = 6")
        relink(db, 6)
    assert verify(trail).problems == [], "without anchors it looks whole"
    assert [p for p in verify(trail, anchors).problems if "rewritten" in p] == [
        f"{FILE}: row 8 is not the one that was anchored: the chain was rewritten"
    ]
    with tampering(kept) as db:
        db.execute("DELETE FROM rows WHERE seq > 5")
        relink(db, 5)
    assert verify(kept).problems == []
    assert verify(kept, anchors).problems == ["row 8 was anchored and is not there: the tail of the trail was cut"]
    anchors.write_bytes(anchors.read_bytes() + b"nonsense\n")
    assert "line 3 is no anchor" in verify(kept, anchors).problems[0]


def test_sealed_files_stay_verifiable_and_any_byte_of_them_counts(tmp_path: Path, figure: Figure) -> None:
    fill(tmp_path, 25, seal_rows=10)
    found = verify(tmp_path)
    assert (found.files, found.problems) == (2, [])
    assert found.rows == found.head.seq == 27, "each seal is a row too"
    file = tmp_path / sealed_name(1)
    assert gzip.decompress(file.read_bytes()).count(b"\n") == 10
    whole, chance = file.read_bytes(), random.Random(1)
    places = range(len(whole)) if proving() else chance.sample(range(len(whole)), 60)
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 1 << chance.randrange(8)
        file.write_bytes(broken)
        assert verify(tmp_path).problems, f"byte {place}"
    figure("flipped bits found in a sealed file", len(places), "")
    file.write_bytes(whole[:-20])
    assert verify(tmp_path).problems
    file.unlink()
    problems = verify(tmp_path).problems
    assert any("is not the file that was sealed" in p for p in problems)
    file.write_bytes(whole)
    assert verify(tmp_path).problems == []


def test_any_bit_of_the_database_is_found_or_changes_no_row(tmp_path: Path, figure: Figure) -> None:
    trail, chance = tmp_path / "audit", random.Random(2)
    fill(trail, 30)
    path = trail / FILE
    assert not (trail / f"{FILE}-wal").exists(), "all is in the one file"
    whole, rows = path.read_bytes(), newest(trail, 99)
    hit = 0
    for _ in range(2_000 if proving() else 150):
        broken = bytearray(whole)
        broken[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        for side in trail.glob(f"{FILE}-*"):
            side.unlink()
        path.write_bytes(broken)
        if verify(trail).problems:
            hit += 1
        else:
            assert newest(trail, 99) == rows
    figure("flipped bits of the database that mattered, all found", hit, "")
    assert hit > 20


def test_a_crash_while_sealing_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 9, seal_rows=10)
    with Audit(tmp_path, seal_rows=10) as audit, monkeypatch.context() as broken:
        broken.setattr(audit, "_put_mark", _dies)
        with pytest.raises(RuntimeError):
            audit.write("anna", "session", "x")
    (tmp_path / sealed_name(1)).write_bytes(b"what a crash left")
    assert verify(tmp_path).problems == []
    fill(tmp_path, 5, seal_rows=10)
    found = verify(tmp_path)
    assert (found.problems, found.rows, found.files) == ([], 15, 1)


def _dies(name: str, head: object) -> None:
    raise RuntimeError("the power went")


def test_many_threads_and_two_processes_write_one_chain(tmp_path: Path) -> None:
    with Audit(tmp_path, seal_rows=50) as audit, Audit(tmp_path, seal_rows=50) as other:

        def work(number: int) -> None:
            for i in range(30):
                (audit if i % 2 else other).note(LOCAL, "x", f"{number}.{i}")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        audit.flush()
        other.flush()
    found = verify(tmp_path)
    assert found.problems == []
    assert found.rows == 120 + found.files


def test_no_secret_gets_in_and_large_details_are_cut(tmp_path: Path) -> None:
    with Audit(tmp_path) as audit:
        audit.write("anna", "session", "case.reported", "K1", "", {"caller": "13900000000", "rows": [{"phone": "1"}]})
        audit.write("anna", "session", "x", "K" * 9_000, "", {"text": "x" * 9_000})
    first, second = (msgspec.json.decode(b, type=Row) for b in newest(tmp_path, 2))
    assert first.detail == {"caller": None, "rows": [{"phone": None}], "masked": True}
    assert (second.detail["cut"], len(second.subject)) == (True, 4_000)


def test_anchors_go_to_a_webhook_too_and_trouble_holds_nobody_up(tmp_path: Path) -> None:
    told, down, tried = list[bytes](), threading.Event(), threading.Event()
    down.set()

    def send(url: str, body: bytes) -> None:
        tried.set()
        if down.is_set():
            raise OSError(f"{url} is down")
        told.append(body)

    with Audit(tmp_path) as audit:
        anchors = Anchors(audit, tmp_path / "no" / "where" / "anchors", "http://x", send=send)
        audit.write("anna", "session", "x")
        anchors.start()
        assert tried.wait(10)
        for i in range(3):
            audit.write("anna", "session", str(i))
            anchors.put()
        anchors.put()
        down.clear()
        anchors.send()
        anchors.close()
    assert [msgspec.json.decode(b, type=Anchor).seq for b in told] == [1, 2, 3, 4]
    assert [json.loads(x)["seq"] for x in (tmp_path / "no/where/anchors").read_bytes().splitlines()] == [1, 2, 3, 4]


def call(data: Path, verb: str, *arguments: str, given: str = "") -> tuple[object, str]:
    """A verb in this process: exit code or the sentence that went wrong, and what it printed."""
    line = [verb, arguments[0], "--data", str(data), *arguments[1:]]
    found = CliRunner().invoke(cli, line, input=given, standalone_mode=False)
    if found.exception is not None:
        return getattr(found.exception, "message", str(found.exception)), found.output
    return found.return_value or 0, found.output


def test_the_commands(tmp_path: Path) -> None:
    data, password = tmp_path / "data", "a long password\n"
    roles = ("--role", "dispatcher", "--password-stdin")
    assert call(data, "users", "add", "anna", *roles, given=password) == (0, "user anna was made, dispatcher at *\n")
    assert known(Config(data=Data(dir=str(data))), data)
    assert call(data, "users", "grant", "anna", "shift_leader", "--scope", "420102")[0] == 0
    assert call(data, "users", "revoke", "anna", "dispatcher") == (
        0,
        "user anna is no dispatcher any more at 1 scope\n",
    )
    assert call(data, "users", "passwd", "anna", given="another password\n" * 2)[0] == 0
    assert call(data, "users", "disable", "anna")[0] == 0
    assert not known(Config(data=Data(dir=str(data))), data)
    assert "anna                  disabled  anna" in call(data, "users", "list")[1]
    assert "no role boss; there are" in str(call(data, "users", "grant", "anna", "boss")[0])
    for verb, *more in (("grant", "anna", "dispatcher"), ("add", "bob", "--role", "dispatcher", "--external")):
        said = str(call(data, "users", verb, *more, "--scope", "420999")[0])
        assert "no scope 420999 in the city pack wuhan" in said
        assert "420102 江岸区" in said
        assert "--unchecked" in said
    there = ("users", "grant", "anna", "dispatcher", "--scope")
    assert "cannot be looked up" in str(call(data, *there, "x", "--city", str(tmp_path))[0])
    assert "no scope 420102" in str(call(data, *there, "420102", "--city", "new_york")[0])
    assert "no user bob" in str(call(data, "users", "passwd", "bob", "--password-stdin", given=password)[0])
    assert "no role boss" in str(call(data, "users", "add", "bob", "--role", "boss", "--password-stdin")[0])
    rows = [json.loads(line) for line in call(data, "audit", "list")[1].splitlines()]
    actions = ["user.added", "user.granted", "user.granted", "user.revoked", "user.password", "user.disabled"]
    assert [(r["action"], r["how"], r["subject"]) for r in rows] == [(a, "cli", "anna") for a in actions]
    assert "password" not in json.dumps([r.get("detail") for r in rows])
    code, said = call(data, "audit", "verify")
    assert (code, said.startswith("6 rows, 0 sealed files, head ")) == (0, True)
    with tampering(data / "audit") as db:
        db.execute("UPDATE rows SET body = replace(body, 'anna', 'anne') WHERE seq = 2")
    code, said = call(data, "audit", "verify")
    assert (code, "row 2 was changed" in said, "NOT whole" in said) == (1, True, True)
    assert "name the city's data folder" in str(call(tmp_path / "nowhere", "audit", "verify")[0])
