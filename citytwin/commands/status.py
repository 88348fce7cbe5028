"""citytwin status"""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import TYPE_CHECKING

import click

from citytwin.commands import options
from citytwin.config import Config, ConfigError

if TYPE_CHECKING:
    from citytwin.models.ops import OpsState

#: What the program leaves with.
CODES = {"ok": 0, "warn": 1, "alarm": 2}
AWAY = 3
#: Rows of a table, at most; those that are not well go first.
_ROWS = 40
_WORDS = {
    "shards": ("分片", "Shards"),
    "shard": ("分片", "shard"),
    "owner": ("处理进程", "owner"),
    "lag": ("滞后", "lag"),
    "waiting": ("待处理", "waiting"),
    "rate": ("事件/s", "events/s"),
    "checkpoint": ("检查点", "checkpoint"),
    "state": ("状态", "state"),
    "ok": ("正常", "ok"),
    "late": ("滞后", "late"),
    "missing": ("无人处理", "missing"),
    "stale": ("中断", "stale"),
    "warn": ("警告", "warning"),
    "alarm": ("告警", "alarm"),
    "members": ("进程", "Processes"),
    "active": ("工作中", "active"),
    "standby": ("待命", "standby"),
    "frames": ("帧", "Frames"),
    "final": ("最终", "final"),
    "provisional": ("暂定", "provisional"),
    "sources": ("来源", "Sources"),
    "letters": ("死信", "Dead letters"),
    "log": ("日志", "Log"),
    "free": ("剩余", "free"),
    "do": ("处理", "do"),
    "never": ("从未上报", "never heard"),
    "more": ("另有 {0} 个", "{0} more"),
}


@click.command()
@options.config_file
@click.option("--url", metavar="URL", help="Address of a city or a gateway [default: the one of the settings].")
@click.option("--token-file", type=click.Path(path_type=Path), metavar="FILE", help="File with the server's token.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the words [default: of the settings].")
@click.option("--json", "as_json", is_flag=True, help="The whole state as JSON.")
@click.option("--timeout", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds to wait.")
def command(
    config_path: Path | None, url: str | None, token_file: Path | None, lang: str | None, as_json: bool, timeout: float
) -> int:
    """Say how a running city or cluster is, as the page /ops does.

    What is wrong comes first, each with what to do. Leaves with 0 when all is well, 1 with warnings, 2 with alarms, 3
    when nobody could be asked.
    """
    import msgspec

    from citytwin.models.ops import OpsState

    try:
        config = options.settings(config_path).config
        state = msgspec.convert(_ask(config, url, token_file, timeout), OpsState)
    except _TROUBLE as error:
        click.echo(f"citytwin: {error}", err=True)
        return AWAY
    except msgspec.ValidationError as error:
        click.echo(f"citytwin: what answers is no CityTwin of this version ({error})", err=True)
        return AWAY
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(state), indent=2).decode())
    else:
        for line in lines(state, (lang or config.language) == "en"):
            click.echo(line)
    return CODES[state.level]


class _Away(Exception):
    """Nobody could be asked; the text says what to do."""


_TROUBLE = (_Away, ConfigError)


def _ask(config: Config, url: str | None, token_file: Path | None, timeout: float) -> object:
    from citytwin.client import City, CityError

    server = config.server
    local = "127.0.0.1" if server.host in ("0.0.0.0", "::") else server.host
    shown = f"[{local}]" if ":" in local else local
    address = url or f"http://{shown}:{server.port}"
    try:
        token = token_file.read_text("utf-8").strip() if token_file else server.token or None
        with City(address, token, timeout) as city:
            return city.get("ops")
    except ValueError as error:
        raise _Away(str(error)) from error
    except CityError as error:
        hint = "; name the file of its token with --token-file" if error.status == 401 else ""
        raise _Away(f"{address} answered: {error}{hint}") from error
    except (OSError, http.client.HTTPException) as error:
        if token_file and isinstance(error, OSError) and error.filename == str(token_file):
            raise _Away(f"{token_file} cannot be read: {error.strerror}") from error
        raise _Away(f"nobody answers at {address} ({error}); start the city, or name --url") from error


def lines(state: OpsState, english: bool) -> list[str]:
    """The state in lines for a terminal."""
    say = _Say(english)
    return [*_verdicts(state, say), "", *_shards(state, say), *_members(state, say), *_rest(state, say)]


class _Say:
    def __init__(self, english: bool) -> None:
        self.english = english

    def __call__(self, key: str, *given: object) -> str:
        return _WORDS[key][self.english].format(*given)


def _verdicts(state: OpsState, say: _Say) -> list[str]:
    out = []
    for v in state.verdicts:
        mark = {"ok": "●", "warn": "▲", "alarm": "◆"}[v.level]
        out.append(f"{mark} {say(v.level)}  {v.en if say.english else v.zh}")
        if v.do_zh:
            out.append(f"    {say('do')}: {v.do_en if say.english else v.do_zh}")
    return out


def _shards(state: OpsState, say: _Say) -> list[str]:
    rows = sorted(state.shards, key=lambda s: s.state == "ok")
    table = [[say(w) for w in ("shard", "state", "owner", "lag", "waiting", "rate", "checkpoint")]]
    for s in rows[:_ROWS]:
        lag, saved = f"{s.lag_ms / 1000:.1f} s", "-" if s.checkpoint_age_s is None else f"{s.checkpoint_age_s:.0f} s"
        table.append([str(s.shard), say(s.state), s.owner or "-", lag, str(s.lag_records), f"{s.rate:,.0f}", saved])
    return [*_table(table), *_more(len(rows), say)]


def _more(n: int, say: _Say) -> list[str]:
    return [say("more", n - _ROWS)] if n > _ROWS else []


def _members(state: OpsState, say: _Say) -> list[str]:
    out = ["", f"{say('members')} {len(state.members)}"]
    for m in sorted(state.members, key=lambda m: -m.seen_s)[:_ROWS]:
        what = say("active" if m.active else "standby")
        shards = f"  {say('shards')} {len(m.shards)}" if m.shards else ""
        out.append(f"  {m.role:<8} {m.id}  {what}  {m.seen_s:.0f} s{shards}")
    return out


def _rest(state: OpsState, say: _Say) -> list[str]:
    frames, log, letters = state.frames, state.log, state.deadletters
    silent = [s for s in state.sources if s.state != "ok"]
    free = "" if log.free_bytes is None else f"  {say('free')} {log.free_bytes / 2**30:.1f} GB"
    reasons = ", ".join(f"{r} {n}" for r, n in sorted(letters.by_reason.items(), key=lambda x: -x[1])[:6])
    out = [
        "",
        f"{say('frames')}  {say('final')} {frames.final}  {say('provisional')} {frames.provisional}",
        f"{say('letters')} {letters.total}  {reasons}".rstrip(),
        f"{say('log')} {log.state}{free}",
        f"{say('sources')} {len(state.sources) + state.more_sources}",
    ]
    for s in silent[:_ROWS]:
        age = "" if s.age_s is None else f"{s.age_s:.0f} s"
        word = s.state if s.age_s is not None else "never"
        out.append(f"  {say(word)}  {s.source}  {age}".rstrip())
    return out


def _wide(text: str) -> int:
    """Columns that a text takes in a terminal: Chinese characters take two."""
    return sum(2 if ord(c) > 0x2E7F else 1 for c in text)


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(_wide(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(c + " " * (w - _wide(c)) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
