"""One sum that tells whether two sets of trips are equal, wherever they are and in whatever order.

A fingerprint is 128 bits of md5. The sum of a set's fingerprints, its upper and lower 64 bits each
modulo 2^64, together with their number, is the same for the same trips only: two sets that differ
agree by chance once in 2^128. ``sql/lake/sum_fingerprints.sql`` computes the same in PostgreSQL,
and ``docs/lake.md`` in DuckDB and Spark.

Where client and server compare what they hold, they sum up two 64-bit hashes of each fingerprint,
PostgreSQL's own ``uuid_hash_extended`` with seeds 0 and 1, in place of its halves: that takes the
server a sixth of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

#: What each half of the sum is modulo of.
MODULUS = 1 << 64
#: Where a fingerprint that is written as text has its hyphens, and where its digits.
HYPHENS = (8, 13, 18, 23)
_DIGITS = np.array([place for place in range(36) if place not in HYPHENS])
#: A byte as two hexadecimal digits, and back.
_AS_HEX = np.frombuffer(bytes(range(256)).hex().encode(), "u1").reshape(256, 2)
_FROM_HEX = np.zeros(256, np.uint8)
_FROM_HEX[np.frombuffer(b"0123456789abcdef", "u1")] = np.arange(16, dtype=np.uint8)
#: PostgreSQL's hash (src/common/hashfn.c, after Bob Jenkins' lookup3): the state at first for 16
#: bytes without a seed and with seed 1, and the rotations of its two rounds.
_HASH_STATES = ((0x9E735660,) * 3, (0xAC61F0C5, 0x63EDF426, 0xF524AB7F))
_MIX, _FINAL = (4, 6, 8, 16, 19, 4), (14, 11, 25, 16, 4, 14, 24)

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FingerprintSum:
    """How many trips there are, and the sum of their fingerprints in two halves."""

    rows: int = 0
    upper: int = 0
    lower: int = 0

    def __add__(self, other: FingerprintSum) -> FingerprintSum:
        return FingerprintSum(
            self.rows + other.rows,
            (self.upper + other.upper) % MODULUS,
            (self.lower + other.lower) % MODULUS,
        )

    def __sub__(self, other: FingerprintSum) -> FingerprintSum:
        return FingerprintSum(
            self.rows - other.rows,
            (self.upper - other.upper) % MODULUS,
            (self.lower - other.lower) % MODULUS,
        )

    def __str__(self) -> str:
        """The sum alone, as 32 hexadecimal digits."""
        return f"{self.upper:016x}{self.lower:016x}"

    @classmethod
    def of_halves(cls, rows: Any, upper: Any, lower: Any) -> FingerprintSum:
        """Take sums that somebody else made of the halves, be these signed or not."""
        return cls(int(rows), int(upper or 0) % MODULUS, int(lower or 0) % MODULUS)

    @classmethod
    def of_digits(cls, rows: int, digits: str) -> FingerprintSum:
        """Take a sum as ``str`` writes it; the empty text is 0."""
        number = int(digits or "0", 16)
        return cls(rows, number >> 64, number % MODULUS)

    @classmethod
    def of_bytes(cls, fingerprints: Bytes) -> FingerprintSum:
        """Sum up fingerprints of 16 bytes each, shape (n, 16)."""
        halves = np.ascontiguousarray(fingerprints).view(">u8").astype(np.uint64)
        upper, lower = halves.sum(axis=0, dtype=np.uint64)
        return cls(len(fingerprints), int(upper), int(lower))

    @classmethod
    def of_hashes(cls, fingerprints: pa.Array) -> FingerprintSum:
        """Sum up PostgreSQL's hashes of fingerprints, as binary of 16 bytes each."""
        count, start = len(fingerprints), 16 * fingerprints.offset
        held = np.frombuffer(fingerprints.buffers()[2] or b"", np.uint8)
        upper, lower = (
            int(each.sum(dtype=np.uint64))
            for each in hashes(held[start : start + 16 * count].reshape(count, 16))
        )
        return cls(count, upper, lower)

    @classmethod
    def of_texts(cls, fingerprints: pa.Array) -> FingerprintSum:
        """Sum up fingerprints as the lake has them, texts of 36 characters.

        :raises ValueError: one of them isn't such a text.
        """
        count = len(fingerprints)
        _, ends, texts = fingerprints.buffers()
        if fingerprints.null_count or not count:
            if fingerprints.null_count:
                raise ValueError("a fingerprint is missing")
            return cls()
        offsets = np.frombuffer(ends, "<i4")[fingerprints.offset : fingerprints.offset + count + 1]
        if (np.diff(offsets) != 36).any():
            raise ValueError("a fingerprint doesn't have 36 characters")
        characters = np.frombuffer(texts, np.uint8)[offsets[0] : offsets[-1]].reshape(count, 36)
        digits: Bytes = _FROM_HEX[characters[:, _DIGITS]]
        pairs = digits.reshape(count, 16, 2)
        return cls.of_bytes(pairs[:, :, 0] * np.uint8(16) + pairs[:, :, 1])


def hashes(fingerprints: Bytes) -> list[npt.NDArray[np.uint64]]:
    """What ``uuid_hash_extended`` returns for fingerprints, shape (n, 16), without a sign: with
    seed 0, and with seed 1. A server on a big-endian machine returns others."""
    words = np.ascontiguousarray(np.ascontiguousarray(fingerprints).view("<u4").T)
    found = []
    for state in _HASH_STATES:
        a, b, c = (word + np.uint32(first) for word, first in zip(words, state, strict=False))
        for rotation in _MIX:
            a -= c
            a ^= _rotated(c, rotation)
            c += b
            a, b, c = b, c, a
        a += words[3]
        for rotation in _FINAL:
            c ^= b
            c -= _rotated(b, rotation)
            a, b, c = b, c, a
        found.append((a.astype(np.uint64) << np.uint64(32)) | b)
    return found


def _rotated(words: npt.NDArray[np.uint32], places: int) -> npt.NDArray[np.uint32]:
    left, right = words << np.uint32(places), words >> np.uint32(32 - places)
    rotated: npt.NDArray[np.uint32] = left | right
    return rotated


def as_texts(fingerprints: Bytes) -> Bytes:
    """Write fingerprints, shape (n, 16), as PostgreSQL prints a uuid, shape (n, 36)."""
    texts = np.full((len(fingerprints), 36), ord("-"), np.uint8)
    texts[:, _DIGITS] = _AS_HEX[fingerprints].reshape(len(fingerprints), 32)
    return texts
