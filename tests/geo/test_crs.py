"""Coordinates survive the way there and back, and land where published implementations say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from citytwin.geo import crs
from citytwin.geo.crs import Pair

TURNS: list[tuple[Callable[..., Pair], Callable[..., Pair]]] = [
    (crs.wgs84_to_gcj02, crs.gcj02_to_wgs84),
    (crs.gcj02_to_bd09, crs.bd09_to_gcj02),
    (crs.wgs84_to_bd09, crs.bd09_to_wgs84),
]


def places(n: int = 200_000) -> Pair:
    """Random places of China and the lines where the formula has a kink."""
    rng = np.random.default_rng(20)
    lon, lat = rng.uniform(73.5, 135, n), rng.uniform(3.5, 53.5, n)
    lon[:1000], lat[1000:2000] = 105.0, 35.0
    lon[2000:3000], lat[3000:4000] = 105.0 + rng.normal(0, 1e-9, 1000), 35.0 + rng.normal(0, 1e-9, 1000)
    return lon, lat


@pytest.mark.parametrize(("there", "back"), TURNS)
def test_there_and_back_is_exact(there: Callable[..., Pair], back: Callable[..., Pair]) -> None:
    lon, lat = places()
    for first, second in ((there, back), (back, there)):
        x, y = second(*first(lon, lat))
        assert np.abs(x - lon).max() < 1e-9
        assert np.abs(y - lat).max() < 1e-9


@pytest.mark.parametrize(
    ("convert", "want", "within"),
    [
        # What wandergis/coordtransform and its ports give for 116.404, 39.915.
        (crs.bd09_to_gcj02, (116.39762729119315, 39.90865673957631), 2e-6),
        (crs.gcj02_to_bd09, (116.41036949371029, 39.92133699351021), 1e-11),
        (crs.wgs84_to_gcj02, (116.41024449916938, 39.91640428150164), 1e-11),
        (crs.gcj02_to_wgs84, (116.39775550083061, 39.91359571849836), 2e-6),
    ],
)
def test_results_of_a_published_implementation(
    convert: Callable[..., Pair], want: tuple[float, float], within: float
) -> None:
    x, y = convert(np.array([116.404]), np.array([39.915]))
    # Its two inverses take one step of the iteration; the true inverse is up to 0.1 m away from that.
    assert abs(x[0] - want[0]) < within
    assert abs(y[0] - want[1]) < within


def test_the_shift_in_wuhan_is_about_500_metres() -> None:
    lon, lat = np.meshgrid(np.linspace(113.7, 115.05, 60), np.linspace(29.97, 31.36, 60))
    here, there = crs.to_metres(lon, lat), crs.to_metres(*crs.wgs84_to_gcj02(lon, lat))
    shift = np.hypot(here[0] - there[0], here[1] - there[1])
    assert shift.min() > 400
    assert shift.max() < 700


def test_abroad_nothing_is_shifted_and_nan_stays() -> None:
    lon, lat = np.array([-74.006, 2.35, np.nan, 114.3]), np.array([40.7128, 48.85, 30.0, np.nan])
    for convert in (crs.wgs84_to_gcj02, crs.gcj02_to_wgs84):
        x, y = convert(lon, lat)
        assert x[:2].tolist() == lon[:2].tolist()
        assert y[:2].tolist() == lat[:2].tolist()
        assert np.isnan(x[2])
        assert np.isnan(y[3])


def test_metres_have_the_meridian_at_500_km() -> None:
    x, y = crs.to_metres(np.array([114.0, 114.3]), np.array([30.5, 30.5]))
    assert abs(x[0] - 500_000) < 1e-6
    # One degree of the parallel at 30.5 N is 95.98 km on this ellipsoid: a cos(phi) / sqrt(1 - e2 sin2(phi)).
    phi = np.radians(30.5)
    parallel = 6378137 * np.cos(phi) / np.sqrt(1 - 0.00669438002290 * np.sin(phi) ** 2) * np.pi / 180
    assert abs((x[1] - x[0]) / 0.3 - parallel) < 1
    lon, lat = crs.from_metres(x, y)
    assert np.allclose([lon, lat], [[114.0, 114.3], [30.5, 30.5]], atol=1e-10, rtol=0)


def test_systems_are_taken_by_their_declared_name() -> None:
    lon, lat = np.array([114.3]), np.array([30.6])
    for name in ("CGCS2000", "epsg:4490", "WGS-84", "wgs 84", "EPSG:4326"):
        assert crs.to_cgcs2000(lon, lat, name)[0].tolist() == [114.3]
    assert crs.to_cgcs2000(*crs.wgs84_to_gcj02(lon, lat), "gcj02")[0] == pytest.approx(114.3, abs=1e-9)
    assert crs.to_cgcs2000(*crs.wgs84_to_bd09(lon, lat), "BD-09")[1] == pytest.approx(30.6, abs=1e-9)
    assert crs.to_cgcs2000(*crs.to_metres(lon, lat), "EPSG:4547")[1] == pytest.approx(30.6, abs=1e-9)
    for name in crs.CRS_NAMES:
        crs.to_cgcs2000(lon, lat, name)
    with pytest.raises(ValueError, match="no known coordinate system"):
        crs.to_cgcs2000(lon, lat, "Beijing 1954")


def test_pyproj_is_loaded_only_for_metres() -> None:
    code = "import sys, citytwin.geo.crs as c; c.to_cgcs2000(114.0, 30.0, 'GCJ-02'); sys.exit('pyproj' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
