"""What is deployed: files parse, and every command, option, setting, metric and file that they name is there."""

from __future__ import annotations

import fnmatch
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from citytwin.cli import cli
from citytwin.config import SECRETS, load, names
from citytwin.models.diagnosis import RULES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
OURS = {n: s for n, s in COMPOSE["services"].items() if s["image"] == "citytwin"}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
EXAMPLES = sorted((DEPLOY / "examples").glob("*.toml"))
DOCS = [ROOT / "docs" / "runbook.md", ROOT / "docs" / "deploy.md"]
#: Where compose.yaml and the examples have the files of secrets.
SECRET_FOLDERS = ("/run/secrets/", "/etc/citytwin/secrets/")


def check_command(words: list[str]) -> None:
    """A call of `citytwin`, without its first word: the verb is there, and each option that it is given."""
    command: click.Command = cli
    context = click.Context(command, info_name="citytwin")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no {' '.join(words)}"
        command, words = found, words[1:]
    known = {o for p in command.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)}
    given = {w.split("=", 1)[0] for w in words if w.startswith("--")}
    assert given <= known, f"{command.name} has no {given - known}"


def environment(pairs: Iterator[str] | list[str]) -> None:
    """Names of the environment that begin like a setting are settings."""
    for name in pairs:
        if name.startswith("CITYTWIN_") and name not in ("CITYTWIN_CONFIG", "CITYTWIN_PORT"):
            assert name.removeprefix("CITYTWIN_").lower().replace("__", ".") in names(), name


# compose.yaml


def test_compose_has_every_part() -> None:
    assert {"kafka", "influxdb", "mosquitto", "topics", "bridge", "clock", "gateway", "simulator"} < set(
        COMPOSE["services"]
    )
    assert [s["command"] for n, s in OURS.items() if n.startswith("worker")] == [["worker"], ["worker"]]


@pytest.mark.parametrize("name", sorted(OURS))
def test_commands_and_settings_of_compose(name: str) -> None:
    service = OURS[name]
    check_command(list(service["command"]))
    environment(list(service["environment"]))
    assert service["stop_grace_period"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]


def test_only_the_gateway_can_be_reached_and_only_from_here() -> None:
    published = {n: s["ports"] for n, s in COMPOSE["services"].items() if "ports" in s}
    assert set(published) == {"gateway"}
    assert all(p.startswith("127.0.0.1:") for p in published["gateway"])
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert {n for n, s in COMPOSE["services"].items() if s["networks"] != ["inside"]} == {"gateway"}


def test_what_compose_waits_for_tells_of_itself() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other]
            else:
                assert services[other]["command"] == ["topics", "create"]


def test_files_volumes_and_secrets_of_compose_are_there() -> None:
    made = re.search(r"for name in (.+); do", (DEPLOY / "secrets.sh").read_text("utf-8"))
    assert made is not None
    assert (
        set(made[1].split()) == set(COMPOSE["secrets"]) == {Path(s["file"]).name for s in COMPOSE["secrets"].values()}
    )
    assert all((ROOT / c["file"]).is_file() for c in COMPOSE["configs"].values())
    for name, service in COMPOSE["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), f"{name}: {source}"
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    used = {m[1] for t in (DEPLOY / "examples/compose.toml", ROOT / "compose.yaml") for m in _secret_files(t)}
    assert used == set(COMPOSE["secrets"])
    given = set(OURS["worker-1"]["secrets"])
    assert {m[1] for m in _secret_files(DEPLOY / "examples/compose.toml")} == given, "each role reads all of the file"


def _secret_files(path: Path) -> Iterator[re.Match[str]]:
    return re.finditer(r"/run/secrets/(\w+)", path.read_text("utf-8"))


def test_no_secret_is_in_the_repository() -> None:
    assert (DEPLOY / "secrets/.gitignore").read_text("utf-8").splitlines()[0] == "*"
    text = (ROOT / "compose.yaml").read_text("utf-8")
    assert not re.search(r"(PASSWORD|TOKEN): *\S", text)


# the image


def test_the_image_is_made_of_what_is_there() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    copied = [w for line in lines if line.startswith("COPY ") and "--from" not in line for w in line.split()[1:-1]]
    ignored = [p for p in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if p and not p.startswith("#")]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not any(fnmatch.fnmatch(source, p) or source.startswith(f"{p}/") for p in ignored), (
            f"{source} is ignored"
        )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(project["tool"]["setuptools"]["package-dir"].values()) <= set(copied)
    assert project["project"]["readme"] in copied
    extras = re.search(r"citytwin-\*\.whl\)\[([\w,]+)\]", "\n".join(lines))
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["project"]["optional-dependencies"])
    check_command(["run"])
    assert any(line.startswith("USER citytwin") for line in lines)
    environment(re.findall(r"\b(CITYTWIN_[A-Z_]+)=", "\n".join(line for line in lines if line.startswith("ENV"))))


# services


def unit(path: Path) -> dict[str, list[str]]:
    """Settings of a unit; one may stand several times."""
    found: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.stem)
def test_units(path: Path) -> None:
    found = unit(path)
    binary, *words = shlex.split(found["ExecStart"][0])
    assert binary == "/opt/citytwin/bin/citytwin"
    check_command(words)
    environment([e.split("=", 1)[0] for e in found["Environment"]])
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictSUIDSGID"):
        assert found[name] == ["yes"], name
    assert found["ProtectSystem"] == ["strict"]
    assert "MemoryDenyWriteExecute" not in found, "kernels are compiled while they run"
    assert found["User"] == ["citytwin"]
    if found["Type"] != ["oneshot"]:
        assert found["Restart"] == ["on-failure"]
        assert found["KillSignal"] == ["SIGTERM"]
        assert int(found["TimeoutStopSec"][0]) >= 30
        assert (DEPLOY / "examples" / f"{words[0]}.toml").is_file()


def test_every_role_has_a_unit_and_a_service() -> None:
    roles = {shlex.split(unit(p)["ExecStart"][0])[1] for p in UNITS}
    assert roles == {"run", "bridge", "worker", "clock", "gateway", "backup"}
    assert roles - {"run", "backup"} <= {s["command"][0] for s in OURS.values()}


# settings


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_settings_that_can_be_used(path: Path, tmp_path: Path) -> None:
    text = path.read_text("utf-8")
    secret = tmp_path / "secret"
    secret.write_text("x" * 32)
    for folder in SECRET_FOLDERS:
        text = re.sub(rf'"{folder}\w+"', f'"{secret.as_posix()}"', text)
    (tmp_path / "citytwin.toml").write_text(text)
    found = load(tmp_path / "citytwin.toml", {})
    assert found.config.server.host == "127.0.0.1" or found.config.server.token
    assert found.config.bridge.host == "127.0.0.1" or found.config.bridge.token
    assert not [n for n in SECRETS if f"\n{n.split('.')[1]} =" in text], "secrets come from files"


def test_mosquitto_lets_nobody_in_without_an_account() -> None:
    text = (DEPLOY / "mosquitto.conf").read_text("utf-8")
    assert "allow_anonymous false" in text
    inflight = re.search(r"^max_inflight_messages (\d+)", text, re.M)
    assert inflight is not None
    assert int(inflight[1]) == load(None, {}, {}).config.mqtt.inflight


def metric_names() -> set[str]:
    """Every metric that is named in the code."""
    texts = (p.read_text("utf-8") for room in ("citytwin", "dashboards") for p in (ROOT / room).glob("*.py"))
    return {name for text in texts for name in re.findall(r'"(citytwin_[a-z_]+)"', text)}


def test_prometheus_watches_what_there_is() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))
    rules = yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text("utf-8"))
    assert scraped["rule_files"] == ["prometheus-rules.yml"]
    known = metric_names()
    for rule in [r for group in rules["groups"] for r in group["rules"]]:
        used = set(re.findall(r"citytwin_[a-z_]+", rule["expr"]))
        assert used <= known, rule["alert"]
        page, _, part = rule["annotations"]["runbook"].partition("#")
        assert not part or part in anchors(ROOT / page)


# the runbook


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings."""
    found = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in found}


def calls(text: str) -> Iterator[list[str]]:
    """Words of every call of citytwin in the code of a document."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    inline = re.findall(r"`(citytwin [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    for line in [x for b in blocks for x in b.replace("\\\n", " ").splitlines()] + inline:
        called = re.match(r"(?:until |CITYTWIN_\w+=\S+ |docker compose exec \S+ )*citytwin (.+)", line.strip())
        if called and called[1] != "...":
            yield shlex.split(called[1].split(";")[0], comments=True)


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.stem)
def test_the_commands_of_the_documents_are_there(path: Path) -> None:
    text = path.read_text("utf-8")
    found = list(calls(text))
    assert len(found) > 5
    for words in found:
        check_command(words)
    environment(re.findall(r"\bCITYTWIN_[A-Z]+__[A-Z_]+\b", text.replace("CITYTWIN_SECTION__NAME", "")))


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.stem)
def test_the_settings_of_the_documents_are_there(path: Path) -> None:
    sections = {n.split(".")[0] for n in names()}
    named = re.findall(r"`([a-z]+\.[a-z_]+)(?: = [^`]+)?`", path.read_text("utf-8"))
    assert {n for n in named if n.split(".")[0] in sections and "." in n} <= {*names(), "server.properties"}


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.stem)
def test_the_units_and_roles_of_the_documents_are_there(path: Path) -> None:
    there = {p.name.split(".")[0].rstrip("@") for p in (DEPLOY / "systemd").iterdir()}
    named = re.findall(r"\b(citytwin-[a-z]+)(?=[@. '`])", path.read_text("utf-8"))
    assert set(named) <= there


def test_the_runbook_knows_every_verdict() -> None:
    text = (ROOT / "docs/runbook.md").read_text("utf-8")
    table = {c: row for row in text.splitlines() if row.startswith("| `") for c in re.findall(r"`(\w+)`", row)}
    assert {r.code for r in RULES} == set(table) - {"disk of"}
    known: Any = anchors(ROOT / "docs/runbook.md")
    assert all(a in known for row in table.values() for a in re.findall(r"\(#([\w-]+)\)", row))
