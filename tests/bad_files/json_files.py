"""JSON: what isn't JSON, what only some parsers take for it, and what is too deep or too long."""

import codecs
import json
from typing import Any

from raw_files import as_objects, exported

from bad_files.shapes import Bad, csv, loaded, refused

_TRIPS = as_objects(csv())
_TEXT = json.dumps(_TRIPS).encode()


def _with(value: str) -> bytes:
    """Trips, the last one with a fare as it is written here."""
    text = json.dumps([*_TRIPS[:-1], {**_TRIPS[-1], "fare_amount": "?"}])
    return text.replace('"?"', value).encode(errors="surrogatepass")


def _broken(value: str) -> Bad:
    return loaded(_with(value), rows=19, rejects=1)


def _export(**changes: Any) -> bytes:
    return json.dumps({**json.loads(exported(csv())), **changes}).encode()


FILES: dict[str, Bad] = {
    "an error of a server": refused(b'{"error": "timed out"}', "not a file of green trips"),
    "a list of numbers": refused(b"[1, 2, 3]", "in place of an object"),
    "an empty list": refused(b"[]", "not a file of green trips"),
    "an empty object": refused(b"{}", "not a file of green trips"),
    "only a bracket": refused(b"[", "it ends early"),
    "cut in a text": refused(_TEXT[:1_234], "it ends early"),
    "cut after a comma": refused(_TEXT[: _TEXT.rindex(b"{")], "ends early"),
    "something after its end": refused(_TEXT + b"x", "something follows its end"),
    "two lists": refused(_TEXT + _TEXT, "something follows its end"),
    "objects without commas": refused(_TEXT.replace(b"}, {", b"} {"), "Expecting"),
    "a comma too many": refused(_TEXT[:-1] + b",]", "Expecting value"),
    "single quotation marks": refused(_TEXT.replace(b'"', b"'"), "Expecting property name"),
    "comments": refused(b"[// trips\n" + _TEXT[1:], "can't be read as JSON"),
    "two equal names": refused(_with('1, "fare_amount": 2'), "has two values 'fare_amount'"),
    "names that differ in their case": refused(
        _with('1, "FARE_AMOUNT": 2'), "both stand for fare_amount"
    ),
    "objects, one a line": loaded("\n".join(map(json.dumps, _TRIPS)).encode()),
    "objects without blanks between": loaded("".join(map(json.dumps, _TRIPS)).encode()),
    "a mark of UTF-8": loaded(codecs.BOM_UTF8 + _TEXT),
    "two marks of UTF-8": refused(codecs.BOM_UTF8 * 2 + _TEXT, "two columns"),
    "UTF-16": refused(json.dumps(_TRIPS).encode("utf-16"), "isn't parquet, CSV or JSON"),
    "NaN": _broken("NaN"),
    "an infinite number": _broken("-Infinity"),
    "a number beyond a double": _broken("1e999"),
    "an integer beyond 64 bits": _broken("9" * 30),
    "an integer of 900,000 digits": _broken("9" * 900_000),
    "a number with a plus": refused(_with("+1"), "Expecting value"),
    "a number that begins with a zero": refused(_with("01"), "Expecting"),
    "half a character": _broken(r'"\ud83d"'),
    "half a character in a name": _broken(r'1, "\udc00": 1'),
    "bytes that aren't UTF-8": loaded(_with('"?"').replace(b'"?"', b'"\xff"'), 19, 1),
    "a surrogate in UTF-8": loaded(_with('"\ud800"'), 19, 1),
    "a NUL in a text": loaded(_with(r'1, "note": "a\u0000"'), 19, 1),
    "a NUL in a name": loaded(_with(r'1, "no\u0000te": "a"')),
    "a line end in a name": loaded(_with(r'1, "::{}::\n": 2')),
    "true for a fare": _broken("true"),
    "a list for a fare": _broken("[1]"),
    "an object for a fare": _broken('{"amount": 1}'),
    "a new column of objects": loaded(_with('1, "lane": {"a": [1.10, null, {}]}')),
    "nested 90 deep": loaded(_with(f'1, "lane": {"[" * 90}{"]" * 90}')),
    "nested 101 deep": refused(_with(f'1, "lane": {"[" * 101}{"]" * 101}'), "nested deeper"),
    "nested 1,000,000 deep": refused(lambda: b'[{"a":' * 1_000_000, "nested deeper"),
    "lists nested 10,000,000 deep": refused(lambda: b"[" * 10_000_000, "nested deeper"),
    "an object without an end": refused(
        lambda: b'{"a": "' + b"x" * 60_000_000, "more than 1,048,576 characters in one object"
    ),
    "60,000,000 blanks": refused(lambda: b"[" + b" " * 60_000_000, "blanks in a row"),
    "1,000,000 empty objects": refused(lambda: b"{}" * 1_000_000, "objects without a value"),
    "12,000 names": refused(
        json.dumps({f"k{n}": n for n in range(12_000)}).encode(), "more than 500"
    ),
    "a new name in each object": refused(
        json.dumps(
            [{**trip, f"k{n}": 1} for n in range(30) for trip in _TRIPS]
            + [{f"n{n}": 1} for n in range(500)]
        ).encode(),
        "more than 500",
    ),
    "a name of 100,000 characters": refused(json.dumps({"n" * 100_000: 1}).encode(), "whose name"),
    "an export with a name that isn't UTF-8": refused(
        _export().replace(b'fieldName": "vendorid', b'fieldName": "\xffid'), "name isn't UTF-8"
    ),
    "an export whose rows are too short": refused(_export(data=[[1]]), "of its meta"),
    "an export without names": refused(_export(meta={}), "of its meta"),
    "an export whose rows are objects": refused(_export(data=[{}]), "of its meta"),
    "an export whose data is a text": refused(_export(data="x"), "Expecting '['"),
    "an export whose meta is wrong": refused(_export(meta={"view": {"columns": 7}}), "of its meta"),
}
