"""The real InfluxDB: what is written is read, over both doors; it keeps its data through kill and stop."""

from __future__ import annotations

import urllib.error

import pytest
from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from tests.servers.influx import ForeignInflux, Influx


def connect(server: Influx, token: str = "") -> InfluxDBClient:
    trust = server.ca_file or None
    return InfluxDBClient(url=server.url, token=token or server.token, org="-", ssl_ca_cert=trust, timeout=20_000)


def write(server: Influx, bucket: str, value: float, token: str = "") -> None:
    with connect(server, token) as client, client.write_api(write_options=SYNCHRONOUS) as writes:
        writes.write(bucket, record=Point("pressure").tag("scope", "420106").field("value", value).time(1_700_000_000))


def read(server: Influx, bucket: str) -> list[float]:
    with connect(server) as client:
        tables = client.query_api().query(f'from(bucket: "{bucket}") |> range(start: 0, stop: 2000000000)')
    return [row.get_value() for table in tables for row in table.records]


@pytest.fixture(params=["influx", "influx_tls"])
def server(request: pytest.FixtureRequest) -> Influx:
    found: Influx = request.getfixturevalue(request.param)
    return found


def test_what_is_written_is_read(server: Influx, prefix: str) -> None:
    bucket = server.create(prefix)
    write(server, bucket, 0.31)
    assert read(server, bucket) == [0.31]
    assert server.query("SELECT value FROM pressure", prefix)[0]["values"][0][1] == 0.31


def test_strangers_stay_outside(influx_tls: Influx, prefix: str) -> None:
    bucket = influx_tls.create(prefix)
    with pytest.raises(ApiException, match="401"):
        write(influx_tls, bucket, 1, token="citytwin:guessed")
    with pytest.raises(RuntimeError, match="error parsing"):
        influx_tls.query("SELEKT")


def test_data_and_port_outlive_the_process(influx: Influx, prefix: str) -> None:
    bucket = influx.create(prefix)
    write(influx, bucket, 7.0)
    influx.kill()
    with pytest.raises(urllib.error.URLError):
        influx.query("SHOW DATABASES")
    influx.start()
    assert read(influx, bucket) == [7.0]


def test_the_influx_of_another_is_not_touched() -> None:
    other = ForeignInflux("http://me:mine@127.0.0.1:8086")
    assert (other.url, other.token) == ("http://127.0.0.1:8086", "me:mine")
    with pytest.raises(RuntimeError, match="CITYTWIN_TEST_INFLUX"):
        other.kill()
