"""CSV: rows that don't split, encodings, line ends, names, values, and files that never end."""

import codecs

from raw_files import HEADER, ROW, green

from bad_files.shapes import Bad, csv, csv_with, loaded, refused, rows

_WIDE = [f"c{n}" for n in range(600)]


def _with(old: str, new: str) -> str:
    assert old in ROW
    return ROW.replace(old, new, 1)


def _encoded(encoding: str, mark: bytes = b"") -> bytes:
    return mark + csv(_with(",N,", ",é,")).decode().encode(encoding)


def _named(name: str) -> Bad:
    """A column of this name, which becomes one of the table."""
    return loaded(csv_with(name, "2"))


def _rejected(old: str, new: str) -> Bad:
    return loaded(csv(_with(old, new)), rejects=1)


def _time(text: str) -> Bad:
    return _rejected("2013-09-01 00:02:00", text)


FILES: dict[str, Bad] = {
    # --- rows that don't split
    "a value too few": loaded(csv(ROW.removesuffix(",1,")), rejects=1),
    "a value too many": loaded(csv(f"{ROW},,,7"), rejects=1),
    "commas too many": loaded(csv(f"{ROW},,")),
    "a row of commas": loaded(csv("," * 60), rejects=1),
    "a row of one blank": loaded(csv(" "), rejects=1),
    "a row cut at the end of the file": loaded(csv(ROW[:40])[:-1], rejects=1),
    "a header and nothing": loaded(f"{HEADER}\n".encode(), rows=0),
    "a header without an end": loaded(HEADER.encode(), rows=0),
    "only line ends": refused(b"\n" * 5_000, "isn't parquet, CSV or JSON"),
    "one byte": refused(b"x", "not a file of green trips"),
    "a header of commas": refused(b",,,,,\n1,2,3,4,5,6\n", "not a file of green trips"),
    "no header": refused("\n".join(rows()).encode(), "two columns '0'"),
    "semicolons": refused(csv().replace(b",", b";"), "whose name has 276 characters"),
    "tabs": refused(csv().replace(b",", b"\t"), "whose name has 276 characters"),
    "the header again in the middle": loaded(green(*rows()[:10], HEADER, *rows()[10:]), 20, 1),
    "two files, one after the other": loaded(csv() + csv(), 40, 1),
    "fewer values than columns in most rows": refused(
        csv(header=f"{HEADER},new,other"), "most of its rows have 20 values"
    ),
    "half of the rows too short": refused(
        csv(*["1,2,3"] * 12, count=30) + csv(*["4"] * 20), "most of its rows have 1 values"
    ),
    # --- quotation marks
    "a quotation mark that isn't closed": loaded(csv(_with(",N,", ',"N,')), rejects=1),
    "a quotation mark in the last byte": loaded(csv()[:-1] + b'"', rejects=1),
    "a row in quotation marks": loaded(csv(f'"{ROW}"'), rejects=1),
    "a value that goes on in the next line": loaded(csv(_with(",N,", ',"N\nN",'), count=19), 18, 2),
    "a quotation mark before the header": refused(b'"' + csv(), "whose name has 276 characters"),
    "a comma in quotation marks": loaded(csv(_with(",N,", ',"N,",'))),
    "nothing but quotation marks": refused(b'"' * 999, "whose name has 499 characters"),
    "all rows with an open quotation mark": refused(
        green(*[_with(",N,", ',"N,')] * 30), "rows can't be read"
    ),
    "an escaped quotation mark": loaded(csv(_with(",N,", ',"N"",",'))),
    "a backslash before a quotation mark": loaded(csv(_with(",N,", ',\\"N,'))),
    # --- bytes
    "a NUL byte in a value": loaded(csv(_with(",N,", ",N\0,")), rejects=1),
    "a NUL byte in a new column": loaded(csv_with("note", "a\0"), 19, 1),
    "a NUL byte in the header": refused(csv(header=f"{HEADER}\0"), "isn't parquet, CSV or JSON"),
    "4,096 NUL bytes at the end": loaded(csv() + bytes(4_096), 20, 1),
    "only NUL bytes": refused(bytes(100_000), "isn't parquet, CSV or JSON"),
    "bytes that aren't UTF-8": loaded(csv(_with(",N,", ",?,")).replace(b",?,", b",\xff,"), 19, 1),
    "a surrogate in UTF-8": loaded(csv(_with(",N,", ",?,")).replace(b"?", b"\xed\xa0\x80"), 19, 1),
    "an overlong NUL": loaded(csv(_with(",N,", ",?,")).replace(b"?", b"\xc0\x80"), 19, 1),
    "a character cut at the end": loaded(csv()[:-1] + b"\xf0\x9f", 19, 1),
    "Latin 1": loaded(_encoded("latin1"), 19, 1),
    "a mark of UTF-8": loaded(codecs.BOM_UTF8 + csv()),
    "two marks of UTF-8": refused(codecs.BOM_UTF8 * 2 + csv(), r"no column VendorID"),
    "a mark of UTF-8 in each row": loaded(
        codecs.BOM_UTF8 + csv().replace(b"\n2", b"\n\xef\xbb\xbf2", 4), 17, 3
    ),
    "UTF-16": refused(_encoded("utf-16"), "isn't parquet, CSV or JSON"),
    "UTF-16 without a mark": refused(_encoded("utf-16-le"), "isn't parquet, CSV or JSON"),
    "UTF-32": refused(_encoded("utf-32"), "isn't parquet, CSV or JSON"),
    "UTF-7": refused(csv().replace(b"_", b"+AF8-"), "not a file of green trips"),
    "EBCDIC": refused(_encoded("cp037"), "whose name has"),
    # --- line ends
    "line ends of Windows": loaded(csv(end="\r\n")),
    "line ends of old Macs": loaded(csv(end="\r")),
    "line ends of all kinds": loaded(
        csv().replace(b"\n", b"\r\n", 5).replace(b"\n", b"\r", 12).replace(b"\n", b"\n\r", 15)
    ),
    "a line end of Unicode in a value": loaded(csv(_with(",N,", ",N\u2028,"))),
    "blank lines everywhere": loaded(csv().replace(b"\n", b"\n\n\r\n\r\n")),
    # --- size
    "10,000 columns": refused(csv(header=",".join([HEADER, *_WIDE * 17])), "more than 500"),
    "600 columns": refused(csv(header=",".join([HEADER, *_WIDE])), "more than 500"),
    "a value of 10 MB": refused(
        lambda: csv(_with(",N,", f",{'x' * 10_000_000},")), "a line has more than"
    ),
    "a value of a megabyte less some bytes": loaded(
        lambda: csv(_with(",N,", f",{'x' * 1_000_000},")), 20
    ),
    "a line without an end": refused(lambda: b"VendorID," * 5_000_000, "a line has more than"),
    "a name of 250,000 characters": refused(csv_with("n" * 250_000), "isn't CSV"),
    "4,000,000 blank lines": refused(
        lambda: csv() + b"\n" * 4_000_000 + csv(), "blank lines in a row"
    ),
    "200,000 rows that don't split": refused(
        lambda: green(*rows(), *["1,2"] * 200_000), "most of its rows have 2 values"
    ),
    # --- names
    "two columns of one name": refused(
        green(*rows()).replace(b"\n", b",new,new\n"), "two columns 'new'"
    ),
    "two columns for one": refused(
        green(*rows()).replace(b"\n", b", vendorid\n"), "both stand for vendor_id"
    ),
    "a name of SQL": _named('x"); DROP TABLE green_trips; --'),
    "a name with a quotation mark": _named("it's"),
    "a name that is a template": _named("{{ 7 * 7 }}{% for x in y %}"),
    "a name that is a path": _named("../../../../etc/passwd"),
    "a name that is a format": _named("%s%n{0.__class__}%(x)s"),
    "a name that is a keyword": _named("select"),
    "a name that PostgreSQL has": _named("ctid"),
    "a name that the table has": _named("unique_row_id"),
    "a name of control characters": _named("a\x7f\x85\u2028"),
    "a name that is written backwards": _named("\u202etxt\u2066"),
    "a name of digits": _named("1"),
    "a name of blanks": _named("   "),
    "a name of emoji": _named("\U0001f695" * 60),
    # --- values
    "NaN for a fare": loaded(csv(_with("50.5", "NaN"))),
    "an infinite fare": loaded(csv(_with("50.5", "-inf"))),
    "a fare beyond a double": _rejected("50.5", "1e999"),
    "a fare that is almost nothing": loaded(csv(_with("50.5", "1e-999"))),
    "a fare of 5,000 digits": _rejected("50.5", "9" * 5_000),
    "a fare in hexadecimal": _rejected("50.5", "0x10"),
    "a fare with a thousands separator": _rejected("50.5", '"1,000"'),
    "a fare that is a formula": _rejected("50.5", "=1+1"),
    "a fare in Arabic digits": _rejected("50.5", "\u0665\u0660"),
    "a vendor beyond 32 bits": _rejected("2,", "2147483648,"),
    "a vendor that is no whole number": _rejected("2,", "2.5,"),
    "a new number beyond 64 bits": loaded(csv_with("lane", "18446744073709551616")),
    "a time without a date": _time("00:02:00"),
    "the 30th of February": _time("2013-02-30 00:02:00"),
    "the year 0": _time("0000-01-01 00:00:00"),
    "the year 10000": _time("10000-01-01 00:00:00"),
    "a leap second": _time("2016-12-31 23:59:60"),
    "a time of the portal beyond its month": _time("2013 Feb 30 00:02:00 AM"),
    "infinity for a time": _time("infinity"),
    "a time that is a number": _time("1378000000"),
}
