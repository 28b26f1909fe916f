"""Fuzz one target in this process, with libFuzzer's own options: python -m fuzz.one csv -runs=9."""

from __future__ import annotations

import resource
import sys

import atheris

#: Bytes of writable memory, as ``[runner] memory`` has it by default: beyond, an allocation fails.
MEMORY = 2 << 30


def main(words: list[str]) -> None:
    # numpy has to be there before what is instrumented: fingerprints are made with it
    import numpy  # noqa: F401 - as above
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401

    with atheris.instrument_imports(include=["luigi_tasks.formats", "luigi_tasks.transform"]):
        import luigi_tasks.formats.open
        import luigi_tasks.transform.files  # noqa: F401
    from fuzz import mutations, targets

    name, *options = words
    more = {}
    if name == "parquet":

        def mutate(data: bytes, most: int, seed: int) -> bytes:
            return mutations.mutated(data, most, seed, atheris.Mutate)

        more["custom_mutator"] = mutate
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[name], **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
