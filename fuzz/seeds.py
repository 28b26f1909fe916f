"""Inputs to begin with: small files of made-up trips, in each format and layout."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_NAMES = (
    "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,PULocationID,"
    "DOLocationID,trip_distance,fare_amount"
)
_ROW = "2,2024-01-01 00:00:01,2024-01-01 00:10:00,N,7,8,1.50,9.5"
_OBJECT = dict(zip(_NAMES.split(","), _ROW.split(","), strict=True))


def seeds(target: str) -> list[bytes]:
    """The inputs of a target to begin with."""
    return {"csv": _csv, "json": _json, "parquet": _parquet, "casting": _casting}[target]()


def _csv() -> list[bytes]:
    quoted = ",".join(f'"{each}"' for each in _ROW.split(","))
    return [
        each.encode()
        for each in (
            f"{_NAMES}\n{_ROW}\n{_ROW},,\n",
            f"\ufeff{_NAMES},note\r\n\r\n{_ROW},x\r\n{_ROW},\r\n",
            f'{_NAMES}\n{quoted}\n{_ROW}"\n"{_ROW}\n\n \n{_ROW.replace("N", chr(34) * 2)}',
            f"{_NAMES},\r{_ROW},\r1,2\r{_ROW},1,2,3,4\r",
            f"{_NAMES}\n{_ROW.replace('9.5', '1e999')}\n{_ROW.replace('9.5', 'NaN')}\n",
        )
    ]


def _json() -> list[bytes]:
    names = [{"fieldName": name} for name in (":id", *_OBJECT)]
    export = {"meta": {"view": {"columns": names}}, "data": [["x", *_OBJECT.values()]]}
    odd = {**_OBJECT, "fare_amount": 9.5, "a": [1, {"b": None}], "c": "\ud83d\ude95"}
    found: list[Any] = [[_OBJECT, _OBJECT], [_OBJECT, odd, {}], _OBJECT, export]
    texts = [json.dumps(each) for each in found]
    texts.append(f"{texts[2]}\n{texts[2]}".replace('"9.5"', "NaN", 1))
    texts.append(texts[0].replace('"9.5"', r'"\ud800"', 1).replace('"9.5"', "1e999", 1))
    return [each.encode() for each in texts]


def _parquet() -> list[bytes]:
    times = pa.array([datetime(2024, 1, 1) + timedelta(seconds=n) for n in range(3)])
    trips = pa.table(
        {
            "VendorID": pa.array([1, 2, None], pa.int32()),
            "lpep_pickup_datetime": times,
            "lpep_dropoff_datetime": times,
            "store_and_fwd_flag": ["N", "Y", None],
            "PULocationID": pa.array([7, 8, 9]),
            "DOLocationID": pa.array([7, 8, 9]),
            "trip_distance": [0.0, 1.5, None],
            "fare_amount": [1.0, 2.0, 3.0],
        }
    )
    further = trips.append_column("lane", pa.array([[1], None, []], pa.list_(pa.int64())))
    layouts: list[tuple[pa.Table, dict[str, Any]]] = [
        (trips, {}),
        (trips, {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"}),
        (trips, {"compression": "zstd", "row_group_size": 2, "write_statistics": False}),
        (further, {"use_deprecated_int96_timestamps": True, "write_page_checksum": True}),
        (trips.select(range(8)), {
            "use_dictionary": False,
            "column_encoding": {
                "VendorID": "DELTA_BINARY_PACKED",
                "store_and_fwd_flag": "DELTA_BYTE_ARRAY",
                "fare_amount": "BYTE_STREAM_SPLIT",
            },
        }),
    ]  # fmt: skip
    written = []
    for table, options in layouts:
        file = io.BytesIO()
        pq.write_table(table, file, store_schema=False, **options)
        written.append(file.getvalue())
    return written


def _casting() -> list[bytes]:
    texts = (
        "1\n2.0\n\n x\n-1e9", "2024-01-01 00:00:00\n2024 Jan 01 01:02:03 PM\n01/02/2024 1:02:03 am",
        "nan\ninf\n1e999\n-0", "N\nY\n\0\n\ufffd", "CASH\nCre\nNo Charge\n5", "2147483648\n2.5",
    )  # fmt: skip
    inputs = [
        bytes([n % 30, 128]) + text.encode() for n in range(30) for text in texts[n % 6 :][:1]
    ]
    numbers = b"".join(
        number.to_bytes(8, "little", signed=True)
        for number in (0, 1, -1, 2**31, 2**62, -(2**63), 1_704_067_200_000_000)
    )
    inputs += [bytes([1, kind]) + numbers for kind in range(22)]
    return inputs
