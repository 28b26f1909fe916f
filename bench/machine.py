"""On what, and with which versions, something was measured."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from bench.server import Server

PACKAGES = (
    "luigi-tasks", "luigi", "pyarrow", "pgpq", "psycopg2-binary", "numpy", "dlt", "pandas",
    "sqlalchemy",
)  # fmt: skip
SETTINGS = (
    "shared_buffers", "work_mem", "maintenance_work_mem", "wal_level", "max_wal_size", "fsync",
    "synchronous_commit", "max_parallel_maintenance_workers", "autovacuum",
)  # fmt: skip


def described(server: Server) -> dict[str, Any]:
    """Machine, versions and the server's settings."""
    return {
        "machine": {
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "kernel": platform.release(),
            "processor": _processor(),
            "load average": os.getloadavg(),
        },
        "versions": {
            "python": platform.python_version(),
            "PostgreSQL": server.value("SHOW server_version"),
            **{package: _version(package) for package in PACKAGES},
        },
        "settings": {name: server.value(f"SHOW {name}") for name in SETTINGS},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
