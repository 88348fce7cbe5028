"""Apache Kafka 4.3.1 in KRaft mode: one node or more, each with a plain, a TLS and a SASL door on 127.0.0.1."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.certificates import Authority, Pair
from tests.servers.process import Server, free_ports, installed, listens

USER, PASSWORD = "citytwin", "only-for-tests"
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")

LIGHT = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
QUIET = ("org.apache.kafka.common.config", "kafka.server.KafkaConfig", "state.change.logger")


@dataclass(frozen=True, slots=True)
class Door:
    """How a client comes in: plain values, and as what aiokafka takes."""

    bootstrap: str
    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    authority: Authority | None = None
    pair: Pair | None = None

    @property
    def ca_file(self) -> str:
        """What the client trusts; "" without TLS."""
        return str(self.authority.file) if self.authority else ""

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments for any client of aiokafka."""
        found: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.protocol}
        if self.authority:
            found["ssl_context"] = self.authority.trusting(self.pair)
        if self.mechanism:
            found |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user}
            found["sasl_plain_password"] = self.password
        return found


class Broker(Server):
    """One node, broker and controller."""

    patience = 120.0

    def __init__(self, cluster: Kafka, node: int, home: Path) -> None:
        super().__init__(f"kafka-{node}", home)
        self.cluster, self.node = cluster, node
        self.plain, self.tls, self.sasl, self.controller = free_ports(4)

    def command(self) -> list[str]:
        """The JVM with a small heap; several nodes on one machine compile less and so come up sooner."""
        logger = "-Dorg.slf4j.simpleLogger."
        quiet = [f"{logger}log.{name}=warn" for name in QUIET]
        form = [f"{logger}showDateTime=true", f"{logger}dateTimeFormat=HH:mm:ss.SSS"]
        light = LIGHT if len(self.cluster.nodes) > 1 else []
        sizes = ["-Xms256m", "-Xmx512m", *light, *self.cluster.options]
        return ["java", *sizes, *form, *quiet, "-cp", f"{self.cluster.jars}/*", "kafka.Kafka", "server.properties"]

    def answers(self) -> bool:
        """Whether it has said that it started, and takes connections."""
        return "Kafka Server started" in self.said() and listens(self.plain)

    def format(self) -> None:
        """Make the empty data folder and its settings, once."""
        (self.home / "server.properties").write_text(self.properties(), "utf-8")
        scram = f"[name={USER},password={PASSWORD}]"
        command = ["java", *LIGHT, *self.cluster.options, "-cp", f"{self.cluster.jars}/*", "kafka.tools.StorageTool"]
        command += ["format", "-t", self.cluster.id, "-c", "server.properties"]
        command += [part for kind in MECHANISMS[:2] for part in ("--add-scram", f"{kind}={scram}")]
        done = subprocess.run(
            command, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: formatting failed:\n{done.stdout[-3000:]}")

    def properties(self) -> str:
        """The text of server.properties."""
        copies = min(3, len(self.cluster.nodes))
        safe = max(1, copies - 1)
        doors = {"PLAINTEXT": self.plain, "SSL": self.tls, "SASL_SSL": self.sasl}
        told = ",".join(f"{name}://127.0.0.1:{port}" for name, port in doors.items())
        voters = ",".join(f"{n.node}@127.0.0.1:{n.controller}" for n in self.cluster.nodes)
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        pair = self.cluster.authority.issue(f"kafka-{self.node}")
        settings = {
            "process.roles": "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": voters,
            "listeners": f"{told},CONTROLLER://127.0.0.1:{self.controller}",
            "advertised.listeners": told,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.home / "data",
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": safe,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": safe,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": safe,
            "group.initial.rebalance.delay.ms": 0,
            # a killed node may come back when its session has ended: 9 s by default
            "broker.session.timeout.ms": 4000,
            "broker.heartbeat.interval.ms": 500,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": pair.both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.cluster.authority.file,
            "ssl.client.auth": "requested",
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{module} required user_{USER}="{PASSWORD}";',
            **self.cluster.extra,
        }
        for kind in MECHANISMS[:2]:
            module = "org.apache.kafka.common.security.scram.ScramLoginModule"
            settings[f"listener.name.sasl_ssl.{kind.lower()}.sasl.jaas.config"] = f"{module} required;"
        return "".join(f"{name}={value}\n" for name, value in settings.items())


class Kafka:
    """A cluster of `nodes`; what is done to it is done to each. Its doors: `plain`, `tls`, `sasl(mechanism)`."""

    def __init__(self, home: Path, count: int = 1, extra: Mapping[str, object] | None = None, first: str = "") -> None:
        self.jars = installed("kafka")
        self.options = [first] if first else [f"-XX:SharedArchiveFile={p}" for p in classes(self.jars, home / "first")]
        self.id = base64.urlsafe_b64encode(b"\1" + os.urandom(14) + b"\0").decode().rstrip("=")
        self.extra = dict(extra or {})
        self.authority = Authority(home / "certificates")
        self._nodes = [Broker(self, n, home / f"kafka-{n}") for n in range(1, count + 1)]
        for node in self._nodes:
            node.format()

    @property
    def nodes(self) -> list[Broker]:
        """Its nodes, each of which can be killed for itself."""
        return self._nodes

    @property
    def bootstrap(self) -> str:
        """host:port of the plain doors, with commas."""
        return self.plain.bootstrap

    @property
    def plain(self) -> Door:
        """The door without TLS and without names."""
        return Door(self._at("plain"))

    @property
    def tls(self) -> Door:
        """The door with TLS; the client shows a certificate too."""
        pair = self.authority.issue("client")
        return Door(self._at("tls"), "SSL", authority=self.authority, pair=pair)

    def sasl(self, mechanism: str = MECHANISMS[0]) -> Door:
        """The door with TLS and a password, for one of MECHANISMS."""
        return Door(self._at("sasl"), "SASL_SSL", mechanism, USER, PASSWORD, self.authority)

    def start(self) -> None:
        """Start all nodes (again) and wait until they serve."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait()

    def kill(self) -> None:
        """SIGKILL."""
        for node in self.nodes:
            node.kill()

    def stop(self) -> None:
        """SIGTERM, one after the other."""
        for node in self.nodes:
            node.stop()

    def freeze(self) -> None:
        """SIGSTOP."""
        for node in self.nodes:
            node.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        for node in self.nodes:
            node.thaw()

    def close(self) -> None:
        """End it and remove its data."""
        for node in self.nodes:
            node.close()

    def _at(self, door: str) -> str:
        return ",".join(f"127.0.0.1:{getattr(node, door)}" for node in self.nodes)


def classes(jars: Path, home: Path) -> list[Path]:
    """The JVM's archive of loaded classes beside the jars, made once: with it a node comes up with half of the work."""
    java = subprocess.run(["java", "-version"], capture_output=True, check=True).stderr
    archive = jars.with_name(f"{jars.name}-{hashlib.sha256(java).hexdigest()[:8]}.jsa")
    if not archive.exists():
        print("servers: making Kafka quick to start (half a minute, once)", file=sys.stderr, flush=True)
        aside = archive.with_suffix(f".{os.getpid()}")
        trainer = Kafka(home, first=f"-XX:ArchiveClassesAtExit={aside}")
        trainer.start()
        trainer.stop()
        trainer.close()
        if not aside.exists():  # a JVM that cannot: slower, and not wrong
            return []
        aside.rename(archive)
    return [archive]


class Foreign(Kafka):
    """A Kafka that is not ours: it has a plain door, no other, and cannot be killed."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    @property
    def nodes(self) -> list[Broker]:
        """Raises."""
        raise RuntimeError("the Kafka of CITYTWIN_TEST_KAFKA is not ours to touch: unset it, and the tests start one")

    @property
    def plain(self) -> Door:
        """The door that was named."""
        return Door(self._bootstrap)
