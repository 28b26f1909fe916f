"""The lock file of CI against the requirements in setup.cfg."""

import re
from configparser import ConfigParser

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: A version in the lock file, and where it is for.
LOCKED = re.compile(r"^(\S+)==(\S+)(?: ;.*)? \\$", re.MULTILINE)


def requirements() -> list[str]:
    parsed = ConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = parsed["options.extras_require"]
    listed = [parsed["options"]["install_requires"], extras["test"], extras["lint"], extras["fuzz"]]
    included = re.search(r"luigi-tasks\[(.+)\]", extras["test"])
    assert included
    listed += [extras[name] for name in included[1].split(",")]
    return [line for text in listed for line in text.split("\n") if line and "tasks[" not in line]


@pytest.mark.parametrize("line", requirements())
def test_the_lock_file_has_a_version_that_setup_cfg_allows(line: str) -> None:
    wanted = Requirement(line)
    locked = LOCKED.findall((ROOT / ".ci" / "requirements.txt").read_text(encoding="utf-8"))
    name = canonicalize_name(wanted.name)
    versions = [version for found, version in locked if canonicalize_name(found) == name]
    assert any(wanted.specifier.contains(version) for version in versions), "run scripts/lock"
