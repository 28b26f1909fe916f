"""The outlines of the taxi zones as the TLC publishes them: a shapefile in a zip, in feet.

It comes from elsewhere, so every size is limited before anything is read, and whatever is wrong
with the file is one line.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from luigi_tasks.errors import TaxiError
from luigi_tasks.texts import shortened

#: Bytes of the zip, and of each file in it: more than ten times what the TLC's have.
LARGEST_ZIP, LARGEST_FILE = 16 << 20, 16 << 20
#: Points of all outlines: five times what the TLC's have.
MOST_POINTS = 500_000
#: The column with the number of a zone.
_COLUMN = "LocationID"
#: The projection of New York, EPSG:2263, by whatever name.
_NEW_YORK = re.compile(
    r"New[ _]York[ _]Long[ _]Island.*(f(oo|ee)t|ftUS)", re.DOTALL | re.IGNORECASE
)
_PROJECTION = "EPSG:2263, New York Long Island in feet"
#: Feet in that projection: some 50 miles around the city.
_WEST, _EAST, _SOUTH, _NORTH = 700_000, 1_300_000, -100_000, 500_000
#: What unpacking and parsing damaged bytes may raise.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
    Warning,
)


class _UnfitError(Exception):
    """Why a file can't be one of outlines."""


Rings = list[list[tuple[float, float]]]


def refuse_large(received: int, total: int | None) -> None:
    """Refuse a file that is too large, while it is fetched.

    :raises TaxiError: it is.
    """
    if max(received, total or 0) > LARGEST_ZIP:
        raise TaxiError(f"the file of the zones' outlines has more than {LARGEST_ZIP >> 20} MiB")


def read_shapes(file: Path) -> dict[int, Rings]:
    """Read a published file of the zones' outlines: the rings of each zone, in feet.

    A zone that the file has several times has the rings of all of them, as 56 and 103 of the TLC's.

    :raises TaxiError: it isn't a zip with such a shapefile.
    """
    import shapefile

    try:
        with zipfile.ZipFile(file) as archive:
            parts = _parts(archive)
            if (projection := parts.get("prj")) and not _NEW_YORK.search(projection.decode()):
                named = re.search(r'"([^"]*)"', projection.decode())
                raise _UnfitError(
                    f"its projection is {shortened(named[1] if named else projection.decode())}, "
                    f"not {_PROJECTION}"
                )
            files = {suffix: io.BytesIO(parts[suffix]) for suffix in ("shp", "dbf")}
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of sizes that don't agree, for example
                warnings.simplefilter("ignore", DeprecationWarning)
                with shapefile.Reader(**files, encodingErrors="replace") as reader:
                    return _zones(reader)
    except _UnfitError as error:
        reason = str(error)
    except (shapefile.ShapefileException, *_BROKEN) as error:
        reason = f"it is damaged: {shortened(f'{type(error).__name__}: {error}')}"
    raise TaxiError(f"{file.name} has no outlines of taxi zones: {reason}")


def _parts(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """The files of the one shapefile in a zip, by the ends of their names."""
    members = {
        PurePosixPath(member.filename.lower()): member
        for member in archive.infolist()
        if not member.filename.startswith("__MACOSX/")
    }
    shapefiles = [name for name in members if name.suffix == ".shp"]
    if len(shapefiles) != 1:
        raise _UnfitError(f"it has {len(shapefiles)} files *.shp, not one")
    parts = {}
    for suffix in ("shp", "dbf", "prj"):
        if member := members.get(shapefiles[0].with_suffix(f".{suffix}")):
            if member.flag_bits & 1:
                raise _UnfitError(f"{shortened(member.filename)} in it is encrypted")
            with archive.open(member) as opened:
                parts[suffix] = opened.read(LARGEST_FILE + 1)
            if len(parts[suffix]) > LARGEST_FILE:
                raise _UnfitError(
                    f"{shortened(member.filename)} in it has more than {LARGEST_FILE >> 20} MiB"
                )
    if "dbf" not in parts:
        raise _UnfitError(f"{shapefiles[0]} has no .dbf beside it, with the numbers of the zones")
    return parts


def _zones(reader: Any) -> dict[int, Rings]:
    """The rings of each zone of an open shapefile."""
    columns = [field[0] for field in reader.fields[1:]]
    column = next((name for name in columns if name.lower() == _COLUMN.lower()), None)
    if column is None:
        raise _UnfitError(f"its columns are {shortened(', '.join(columns))}, without {_COLUMN}")
    if reader.shapeTypeName not in ("POLYGON", "POLYGONZ", "POLYGONM"):
        raise _UnfitError(f"its shapes are {reader.shapeTypeName}, not POLYGON")
    zones: dict[int, Rings] = {}
    points = 0
    rows = reader.iterRecords(fields=[column])
    for number, shape in enumerate(reader.iterShapes(), 1):
        location_id = next(rows, [None])[0]
        if not isinstance(location_id, int) or not 0 < location_id < 1 << 31:
            raise _UnfitError(f"{_COLUMN} of shape {number} is {shortened(location_id)}, no number")
        if not shape.points:
            continue
        points += len(shape.points)
        if points > MOST_POINTS:
            raise _UnfitError(f"its shapes have more than {MOST_POINTS:,} points")
        for point in shape.points:
            if not (_WEST < point[0] < _EAST and _SOUTH < point[1] < _NORTH):
                raise _UnfitError(
                    f"shape {number} has the point {_rounded(point[0])} {_rounded(point[1])}, "
                    f"which isn't near New York in {_PROJECTION}"
                )
        starts = [*shape.parts, len(shape.points)]
        rings = [
            [(float(x), float(y)) for x, y, *_ in shape.points[start:stop]]
            for start, stop in pairwise(starts)
        ]
        zones.setdefault(location_id, []).extend(ring for ring in rings if ring)
    if not any(zones.values()):
        raise _UnfitError("it has no shapes")
    return {location_id: rings for location_id, rings in zones.items() if rings}


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if 1000 < abs(value) < 1e12 else f"{value:g}"
