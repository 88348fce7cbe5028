"""A whole cluster over TLS and SASL with its secrets in files, and what each process says of a wrong password."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.driver import OnKafka, Process, event, send, wait_for
from tests.conftest import proving
from tests.servers.kafka import PASSWORD, Door, Kafka
from tests.servers.process import until


def secured(door: Door, folder: Path, password: str = PASSWORD) -> dict[str, Any]:
    """Settings of the section `kafka`; the password lies in a file."""
    file = folder / "password"
    file.write_text(f"{password}\n", "utf-8")
    return {
        "security": "sasl_ssl", "ca_file": door.ca_file, "mechanism": door.mechanism, "username": door.user,
        "password_file": str(file),
    }  # fmt: skip


def test_a_cluster_over_sasl_and_tls(kafka: Kafka, tmp_path: Path) -> None:
    door = kafka.sasl("SCRAM-SHA-512")
    many = OnKafka(tmp_path, door, f"t{secrets.token_hex(4)}", kafka=secured(door, tmp_path))
    try:
        many.create()
        many.start()
        at = time.time_ns() // 1_000_000
        sent = [event("obs", d, at, d, property="waterlog.depth", value=20) for d in ("D-e1", "D-e3", "D-w1")]
        assert send(many, sent)[0] == 200
        wait_for(many, "waterlog_points", 3)
        many.stop()
        for member in many.members:
            assert PASSWORD not in member.said(0)
    finally:
        many.close()


VERBS = ["topics create", "worker"]


@pytest.mark.parametrize("verb", [*VERBS, "bridge", "clock", "gateway"] if proving() else VERBS)
def test_a_wrong_password_is_said(kafka: Kafka, tmp_path: Path, verb: str) -> None:
    door = kafka.sasl("SCRAM-SHA-256")
    many = OnKafka(tmp_path / "home", door, f"t{secrets.token_hex(4)}", kafka=secured(door, tmp_path, "wrong-one"))
    one: Process = {
        "topics create": many.topics, "bridge": many.bridge, "worker": many.workers[0], "clock": many.clock,
        "gateway": many.gateway,
    }[verb]  # fmt: skip
    try:
        one.launch()
        until(lambda: not one.alive, 60, f"{verb} ends")
        said = one.said()
        assert one.code in (1, 70), said
        assert "the broker refused the login" in said
        assert "kafka.password_file" in said
        assert "Traceback" not in said
        assert "wrong-one" not in said
    finally:
        many.topics.close()
        many.close()
