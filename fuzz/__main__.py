"""Fuzz targets side by side: python -m fuzz [TARGET ...] [--seconds N]."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.seeds import seeds

TARGETS = ("csv", "json", "parquet", "casting")
ROOT = Path(__file__).parent
#: Inputs that are kept: what found something once, or covers what the seeds don't.
CORPUS = ROOT / "corpus"
#: Where inputs are put that something is wrong with.
FINDINGS = ROOT.parent / "data" / "fuzz"
#: Seconds after which an input is taken to have no end, on a machine that does much else; and
#: megabytes that the process may have.
MOST_SECONDS, MOST_MEGABYTES = 300, 1_500


def main(arguments: list[str] | None = None) -> int:
    """Run the targets; the exit code is 1 if something was found."""
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        print("not fuzzed: atheris isn't installed; it has wheels for Linux on x86-64 alone")
        return 0
    FINDINGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            name: _start(name, options.seconds, options.seed, Path(folder, name))
            for name in options.target or TARGETS
        }
        codes = {name: run.wait() for name, run in runs.items()}
        for name, code in codes.items():
            lines = Path(folder, f"{name}.log").read_text(errors="replace").splitlines()
            tried = next((line.split()[-1] for line in lines if "executed_units" in line), "0")
            print(f"{name}: {'something' if code else 'nothing'} found in {tried} inputs")
            if code:
                print("\n".join(lines[-40:]))
                print(f"again: python -m fuzz.one {name} {FINDINGS}/{name}-…")
    return int(any(codes.values()))


def _start(name: str, seconds: int, seed: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start to fuzz a target, from its seeds and what is kept, in a folder for what is new."""
    folder.mkdir()
    for number, content in enumerate(seeds(name)):
        (folder / f"seed-{number}").write_bytes(content)
    kept = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
    options = [
        f"-seed={seed}",
        f"-max_total_time={seconds}",
        f"-timeout={MOST_SECONDS}",
        f"-rss_limit_mb={MOST_MEGABYTES}",
        f"-artifact_prefix={FINDINGS}/{name}-",
        "-max_len=8192",
        "-print_final_stats=1",
    ]
    with folder.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "fuzz.one", name, *options, str(folder), *kept],
            env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=main.__doc__)
    parser.add_argument("target", nargs="*", metavar="target", help="default: all of them")
    parser.add_argument("--seconds", type=int, default=600, help="for each (default: 600)")
    parser.add_argument(
        "--seed", type=int, default=0, help="draws the same inputs (default: others)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
