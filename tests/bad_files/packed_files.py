"""What isn't trips at all, and gzip and zip: cut, endless, one in another, named to lead out."""

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib

import pyarrow.feather
import pyarrow.orc
from raw_files import HEADER, as_objects, zipped

from bad_files.shapes import Bad, csv, either, loaded, parquet, refused, trips

_CSV = csv()
_GZIP, _ZIP = gzip.compress(_CSV), zipped(_CSV, "a.csv")
_UNKNOWN, _UNPACKED = "isn't parquet, CSV or JSON", "can't be unpacked"


def _zip(name: str, content: bytes = _CSV, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as packed:
        packed.writestr(name, content)
    return file.getvalue()


def _repeated(head: str, unit: bytes, size: int) -> bytes:
    """A gzip of a unit again and again."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="w", compresslevel=1) as packed:
        packed.write(head.encode())
        piece = unit * ((1 << 20) // len(unit))
        for _ in range(size >> 20):
            packed.write(piece)
    return file.getvalue()


def _encrypted(content: bytes) -> bytes:
    """A zip whose member is marked as encrypted."""
    changed = bytearray(content)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[changed.index(mark) + offset] |= 1
    return bytes(changed)


def _lying(content: bytes, offset: int, size: int) -> bytes:
    """A zip whose directory has another size for its member: 20 is packed, 24 is unpacked."""
    changed = bytearray(content)
    at = changed.index(b"PK\x01\x02") + offset
    changed[at : at + 4] = struct.pack("<I", size)
    return bytes(changed)


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("../../trips.csv")
        member.size = len(_CSV)
        archive.addfile(member, io.BytesIO(_CSV))
    return file.getvalue()


def _orc() -> bytes:
    file = io.BytesIO()
    pyarrow.orc.write_table(trips(), file)
    return file.getvalue()


def _ipc() -> bytes:
    file = io.BytesIO()
    pyarrow.feather.write_feather(trips(), file)
    return file.getvalue()


def _gzip_with(flags: int, extra: bytes) -> bytes:
    """A gzip with further fields in its header."""
    return _GZIP[:3] + bytes([flags]) + _GZIP[4:10] + extra + _GZIP[10:]


FILES: dict[str, Bad] = {
    # --- no trips
    "a page": refused(b"<!DOCTYPE html><html><body>503</body></html>", _UNKNOWN),
    "a page after blanks": refused(b"\n\n  \t<html><body>503</body></html>", _UNKNOWN),
    "a page with a mark": refused(b"\xef\xbb\xbf<html><body>503</body></html>", _UNKNOWN),
    "an error of a store": refused(b"<?xml version='1.0'?><Error>NoSuchKey</Error>", _UNKNOWN),
    "a text": refused(b"Service unavailable, try again later.\n", "not a file of green trips"),
    "a redirection": refused(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", "green trips"),
    "a pointer of Git LFS": refused(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "green trips"
    ),
    "a PDF": refused(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "green trips"),
    "a program": refused(b"\x7fELF\x02\x01\x01" + bytes(99), _UNKNOWN),
    "a picture": refused(b"\x89PNG\r\n\x1a\n" + bytes(99), "raw"),
    "a spreadsheet": refused(_zip("xl/workbook.xml", b"<workbook/>"), _UNKNOWN),
    "a tar": refused(_tar, _UNKNOWN),
    "a bzip2": refused(bz2.compress(_CSV), _UNKNOWN),
    "an xz": refused(lzma.compress(_CSV), _UNKNOWN),
    "a zlib": refused(zlib.compress(_CSV), _UNKNOWN),
    "an ORC": refused(_orc, "green trips"),
    "an Arrow file": refused(_ipc, _UNKNOWN),
    "an SQLite": refused(b"SQLite format 3\0" + bytes(99), _UNKNOWN),
    # --- gzip
    "a gzip that is cut": refused(_GZIP[:-20], _UNPACKED),
    "a gzip of ten bytes": refused(_GZIP[:10], _UNPACKED),
    "a gzip without its checksum": refused(_GZIP[:-8], _UNPACKED),
    "a gzip with a wrong checksum": refused(_GZIP[:-8] + bytes(8), _UNPACKED),
    "a gzip with a wrong size": refused(_GZIP[:-4] + bytes(4), _UNPACKED),
    "a gzip with a bit flipped": refused(
        _GZIP[:90] + bytes([_GZIP[90] ^ 4]) + _GZIP[91:], _UNPACKED
    ),
    "a gzip of an unknown method": refused(_GZIP[:2] + b"\x07" + _GZIP[3:], _UNPACKED),
    "a gzip with a name that leads out": loaded(_gzip_with(8, b"../../../etc/passwd\0")),
    "a gzip whose name doesn't end": refused(_gzip_with(8, b"x" * 999)[:900], _UNPACKED),
    "a gzip whose extra field is longer than it": refused(
        _gzip_with(4, b"\xff\xff")[:900], _UNPACKED
    ),
    "a gzip with zeros after it": loaded(_GZIP + bytes(5_000)),
    "a gzip with something after it": refused(_GZIP + b"more", _UNPACKED),
    "a gzip in two parts": loaded(gzip.compress(_CSV[:700]) + gzip.compress(_CSV[700:])),
    "a gzip in a gzip": refused(gzip.compress(_GZIP), _UNKNOWN),
    "a gzip of nothing": refused(gzip.compress(b""), _UNKNOWN),
    "a gzip of Parquet": refused(gzip.compress(parquet()), _UNKNOWN),
    "a gzip of a page": refused(gzip.compress(b"<html></html>"), _UNKNOWN),
    "a gzip of 40 MB of line ends": refused(
        lambda: _repeated(f"{HEADER}\n", b"\n", 40 << 20), "blank lines in a row"
    ),
    "a gzip of 40 MB of zeros": refused(lambda: _repeated("", b"\0", 40 << 20), _UNKNOWN),
    "a gzip of 100 MB of blank rows": loaded(
        lambda: _repeated(f"{HEADER}\n", b" " * 127 + b"\n", 100 << 20), 0
    ),
    "a gzip of 40 MB of one value": refused(
        lambda: _repeated(f"{HEADER}\n", b"1", 40 << 20), "a line has more than"
    ),
    "a gzip of 40 MB of one object": refused(
        lambda: _repeated('[{"a": "', b"1", 40 << 20), "in one object"
    ),
    # --- zip
    "a zip that is cut": refused(_ZIP[:-30], _UNPACKED),
    "a zip without its end": refused(_ZIP[: _ZIP.rindex(b"PK\x05\x06")], _UNPACKED),
    "a zip with a bit flipped": refused(
        _ZIP[:150] + bytes([_ZIP[150] ^ 4]) + _ZIP[151:], _UNPACKED
    ),
    "a zip of nothing": refused(zipped(b""), "must have one file"),
    "a zip of two files": refused(zipped(_CSV, "a.csv", "b.csv"), "and has 2: a.csv, b.csv"),
    "a zip that is encrypted": refused(_encrypted(_zip("a.csv")), _UNPACKED),
    "a zip of an unknown method": refused(_lying(_zip("a.csv"), 8, 0x630000), _UNPACKED),
    "a zip that says it has less": either(_lying(_zip("a.csv"), 24, 100), "raw"),
    "a zip that says it has 4 GB": either(_lying(_zip("a.csv"), 24, 0xFFFFFFF0), "raw"),
    "a zip that says it has 4 GB packed": either(_lying(_zip("a.csv"), 20, 0xFFFFFFF0), "raw"),
    "a zip whose member begins beyond it": refused(_lying(_zip("a.csv"), 42, 1 << 30), "raw"),
    "a zip with a name that leads out": loaded(_zip("../../../../etc/cron.d/x")),
    "a zip with a name from the root": loaded(_zip("/etc/passwd")),
    "a zip with a name of control characters": loaded(_zip("\x1b]0;x\x07\n.csv")),
    "a zip by bzip2": loaded(_zip("a.csv", method=zipfile.ZIP_BZIP2)),
    "a zip by LZMA": loaded(_zip("a.csv", method=zipfile.ZIP_LZMA)),
    "a zip after something else": either(b"PK\x03\x04" + _zip("a.csv"), "raw"),
    "a zip of Parquet": refused(_zip("a.parquet", parquet()), _UNKNOWN),
    "a zip of a zip": refused(_zip("a.zip", _ZIP), _UNKNOWN),
    "a zip of JSON": loaded(_zip("a.json", json.dumps(as_objects(_CSV)).encode())),
    "a zip of 40 MB of zeros": refused(
        lambda: _zip("a.csv", f"{HEADER}\n".encode() + bytes(40 << 20)), "raw"
    ),
    "a zip with others before it": loaded(
        lambda: _zip("a.csv")[:-22] * 1_000 + _zip("a.csv")[-22:]
    ),
}
