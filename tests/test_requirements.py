"""The lock files of CI and of the worker's image against the requirements in setup.cfg."""

import re
from configparser import ConfigParser

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: A version in the lock file, and where it is for.
LOCKED = re.compile(r"^(\S+)==(\S+)(?: ;.*)? \\$", re.MULTILINE)


def requirements() -> list[tuple[str, str]]:
    """Each lock file with each requirement that it has to meet."""
    parsed = ConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    extras, own = parsed["options.extras_require"], parsed["options"]["install_requires"]
    included = re.search(r"luigi-tasks\[(.+)\]", extras["test"])
    assert included
    listed = {
        ".ci": [own, *(extras[name] for name in ("test", "lint", "fuzz", *included[1].split(",")))],
        "deploy": [own, extras["alarms"], extras["metrics"], "setuptools>=77"],
    }
    return [
        (folder, line)
        for folder, texts in listed.items()
        for text in texts
        for line in text.split("\n")
        if line and "tasks[" not in line
    ]


@pytest.mark.parametrize(("folder", "line"), requirements())
def test_the_lock_file_has_a_version_that_setup_cfg_allows(folder: str, line: str) -> None:
    wanted = Requirement(line)
    locked = LOCKED.findall((ROOT / folder / "requirements.txt").read_text(encoding="utf-8"))
    name = canonicalize_name(wanted.name)
    versions = [version for found, version in locked if canonicalize_name(found) == name]
    assert any(wanted.specifier.contains(version) for version in versions), "run scripts/lock"


@pytest.mark.parametrize("folder", [".ci", "deploy"])
def test_each_locked_version_has_its_hashes(folder: str) -> None:
    text = (ROOT / folder / "requirements.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 30
    assert [each.split("\n")[0] for each in entries if "--hash=sha256:" not in each] == []
