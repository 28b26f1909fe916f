"""The published file of the zones' outlines: what is wrong with it is one line, in no time."""

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import shapefile

from luigi_tasks.errors import TaxiError
from luigi_tasks.formats.shapes import LARGEST_ZIP, read_shapes, refuse_large

FEET = 'PROJCS["NAD_1983_StatePlane_New_York_Long_Island_FIPS_3104_Feet",UNIT["Foot_US",0.3]]'
SQUARE = [(950_000, 200_000), (950_000, 201_000), (951_000, 201_000), (951_000, 200_000)]


def shapes(
    ids: list[Any], *, column: str = "LocationID", points: Any = SQUARE, kind: int = 5
) -> dict[str, bytes]:
    """The files of a shapefile with a square for each number."""
    files = {suffix: io.BytesIO() for suffix in ("shp", "dbf", "shx")}
    with shapefile.Writer(**files, shapeType=kind) as writer:
        writer.field(column, "N" if isinstance(ids[0], int) else "C", 9)
        for each in ids:
            if kind == 5:
                writer.poly([[*points, points[0]]])
            elif kind == 1:
                writer.point(*points[0])
            else:
                writer.null()
            writer.record(each)
        writer.close()
        return {f"taxi_zones.{suffix}": file.getvalue() for suffix, file in files.items()}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zone_has_the_rings_of_all_its_shapes(tmp_path: Path) -> None:
    """The files may be in a folder, their names in capitals, and others beside them."""
    files = {f"zones/{name.upper()}": content for name, content in shapes([56, 1, 56]).items()}
    files |= {"zones/TAXI_ZONES.PRJ": FEET.encode(), "__MACOSX/zones/._x.shp": b"x", "a.csv": b"x"}
    read = read_shapes(zipped(tmp_path / "z.zip", files))
    assert {location_id: len(rings) for location_id, rings in read.items()} == {56: 2, 1: 1}
    assert read[1][0][0] == (950_000.0, 200_000.0)


def test_a_projection_need_not_be_named(tmp_path: Path) -> None:
    assert list(read_shapes(zipped(tmp_path / "z.zip", shapes([1])))) == [1]


WGS84 = 'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984"]]'
METRES = 'PROJCS["NAD83 / New York Long Island",UNIT["metre",1]]'
BAD = {
    "it has 0 files *.shp, not one": {"a.txt": b"x"},
    "it has 2 files *.shp, not one": {**shapes([1]), "other.shp": b"x"},
    "taxi_zones.shp has no .dbf beside it": {"taxi_zones.shp": shapes([1])["taxi_zones.shp"]},
    "its projection is GCS_WGS_1984, not EPSG:2263": {
        **shapes([1], points=[(-74, 40), (-74, 41), (-73, 41)]),
        "taxi_zones.prj": WGS84.encode(),
    },
    "its projection is NAD83 / New York Long Island, not": {
        **shapes([1]),
        "taxi_zones.prj": METRES.encode(),
    },
    "shape 1 has the point -74 40, which isn't near New York in EPSG:2263": shapes(
        [1], points=[(-74, 40), (-74, 41), (-73, 41)]
    ),
    "shape 1 has the point 8e+99 200,000, which isn't near": shapes(
        [1], points=[(8e99, 200_000), *SQUARE]
    ),
    "its columns are zone, without LocationID": shapes([1], column="zone"),
    "LocationID of shape 1 is 1, no number": shapes(["1", "x"]),  # a text, whatever it says
    "LocationID of shape 1 is 0, no number": shapes([0]),
    "its shapes are POINT, not POLYGON": shapes([1], kind=1),
    "its shapes are NULL, not POLYGON": shapes([1], kind=0),
    "LocationID of shape 2 is None, no number": {
        **shapes([1, 2]),
        "taxi_zones.dbf": shapes([1])["taxi_zones.dbf"],
    },
    "taxi_zones.shp in it has more than 16 MiB": {
        **shapes([1]),
        "taxi_zones.shp": bytes(LARGEST_ZIP + 1),
    },
    "it is damaged: ": {**shapes([1]), "taxi_zones.shp": b"garbage"},
}


@pytest.mark.parametrize("told", BAD)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, told: str) -> None:
    file = zipped(tmp_path / "taxi_zones.zip", BAD[told])
    with pytest.raises(TaxiError) as refused:
        read_shapes(file)
    message = str(refused.value)
    assert message.startswith(f"taxi_zones.zip has no outlines of taxi zones: {told}")
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_zip_of_shapes_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "taxi_zones.zip"
    file.write_bytes(content)
    with pytest.raises(TaxiError, match="has no outlines of taxi zones: it "):
        read_shapes(file)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "z.zip", shapes([1]))
    content = bytearray(file.read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        at = content.index(start) + (6 if start == b"PK\x03\x04" else 8)
        content[at] |= 1
    file.write_bytes(content)
    with pytest.raises(TaxiError, match=r"taxi_zones.shp in it is encrypted"):
        read_shapes(file)


def test_damaged_bytes_are_read_or_refused(tmp_path: Path) -> None:
    """Whatever is wrong: never another error than the one line, and never without an end."""
    drawn, outcomes = random.Random(14), set()
    whole = shapes([1, 2, 3, 4])
    for _ in range(300):
        files = {name: bytearray(content) for name, content in whole.items()}
        for name in ("taxi_zones.shp", "taxi_zones.dbf"):
            for _ in range(drawn.choice([0, 1, 3])):
                files[name][drawn.randrange(len(files[name]))] = drawn.choice([0, 127, 128, 255])
            if drawn.random() < 0.1:
                del files[name][drawn.randrange(len(files[name])) :]
        try:
            outcomes.add(bool(read_shapes(zipped(tmp_path / "z.zip", dict(files)))))
        except TaxiError as error:
            outcomes.add("\n" in str(error))
    assert outcomes == {True, False}


def test_a_file_that_is_too_large_is_not_fetched_to_its_end() -> None:
    refuse_large(LARGEST_ZIP, None)
    for received, total in ((LARGEST_ZIP + 1, None), (0, LARGEST_ZIP + 1)):
        with pytest.raises(TaxiError, match="has more than 16 MiB"):
            refuse_large(received, total)
