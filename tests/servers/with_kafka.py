"""Run a command with a Kafka of its own: `python -m tests.servers.with_kafka COMMAND ... {} ...`; {} is its address."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.kafka import Kafka


def main() -> int:
    """The command's exit code."""
    with tempfile.TemporaryDirectory(prefix="citytwin-kafka-") as folder:
        server = Kafka(Path(folder))
        try:
            server.start()
            return subprocess.call([a.replace("{}", server.bootstrap) for a in sys.argv[1:]])
        finally:
            server.close()


if __name__ == "__main__":
    sys.exit(main())
