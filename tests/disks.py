"""A disk that is soon full. The fixture is a plugin of conftest.py."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import skip


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A folder with room for a megabyte."""
    # not pytest's folder: the server's user must get to it
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    mount = shutil.which("mount")
    mounted = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True
    )
    if not mounted or mounted.returncode:
        folder.rmdir()
        skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def remount(folder: Path, options: str) -> None:
    """Change a disk, such as to ``ro`` or ``size=100m``."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
