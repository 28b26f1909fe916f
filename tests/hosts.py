"""Hosts on this machine: network namespaces with a name each, which a cable joins to a server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from conftest import skip

_numbers = count(1)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Host:
    """A host whose only cable goes to the server; ``server`` is that one's address on it."""

    name: str
    space: str
    link: str
    server: str

    def prefix(self) -> list[str]:
        """What runs a command there: in its network, and under its name."""
        named = f'hostname {self.name} && exec "$@"'
        inside = ["unshare", "--uts", "sh", "-c", named, "sh"]
        return ["ip", "netns", "exec", self.space, *inside]

    def cut(self) -> None:
        """Pull the cable; packets vanish, and nobody is told."""
        _ip("-n", self.space, "link", "set", self.link, "down")

    def mend(self) -> None:
        _ip("-n", self.space, "link", "set", self.link, "up")
        self.route()

    def route(self) -> None:
        """Have it reach the server's other addresses."""
        _ip("-n", self.space, "route", "replace", "default", "via", self.server)


@dataclass
class Network:
    """A server's namespace, and hosts around it; ``address`` is that of the server for all."""

    number: int
    space: str
    hosts: list[Host] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"10.{200 + self.number % 50}.0.1"

    def add(self, name: str) -> Host:
        """Connect another host."""
        place = len(self.hosts) + 1
        space = f"{self.space}-{place}"
        ours, theirs = f"lt{self.number}s{place}", f"lt{self.number}h{place}"
        net = f"10.{200 + self.number % 50}.{place}"
        _ip("netns", "add", space)
        host = Host(name, space, theirs, f"{net}.1")
        self.hosts.append(host)
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
        for namespace, link, address in (
            (self.space, ours, f"{net}.1/24"),
            (space, theirs, f"{net}.2/24"),
        ):
            _ip("link", "set", link, "netns", namespace)
            _ip("-n", namespace, "address", "add", address, "dev", link)
            for each in (link, "lo"):
                _ip("-n", namespace, "link", "set", each, "up")
        host.route()
        return host


@contextmanager
def network() -> Iterator[Network]:
    """An empty network, gone at the end; needs root, and ``ip``."""
    number = next(_numbers)
    made = Network(number, f"luigi-tasks-{_unique()}-{number}")
    if not shutil.which("ip"):
        skip("iproute2 isn't installed")
    try:
        _ip("netns", "add", made.space)
        _ip("-n", made.space, "address", "add", f"{made.address}/32", "dev", "lo")
    except subprocess.CalledProcessError:
        skip("network namespaces can be made by root only")
    try:
        yield made
    finally:
        for space in (*(host.space for host in made.hosts), made.space):
            subprocess.run(["ip", "netns", "delete", space], check=False)


def _unique() -> str:
    return Path("/proc/self").resolve().name
