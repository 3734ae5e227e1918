"""The workloads that are compared: what is asked, of which keys, on how many connections."""

from dataclasses import dataclass

ALL = ("docs", "nginx", "webdis", "etcd")
FILES = ("docs", "nginx")
WITH_STATUS = ("docs", "nginx", "webdis")
"""etcd answers each read with 200 and JSON; its limit of a request is near 1 MB."""
LISTING = ("docs", "etcd")
"""nginx lists only whole folders, and Redis in no order. etcd counts all keys for a page, so few connections ask."""
CONNECTIONS = 64

ONE = "one"
SEVERAL = "several"
ZIPF = "zipf"
NEW = "new"
RANDOM = "random"


@dataclass(frozen=True)
class Workload:
    name: str
    operation: str
    size: int = 100
    keys: str = ONE
    servers: tuple[str, ...] = ALL
    connections: int = CONNECTIONS
    mount: str = "docs"
    put_every: int = 0
    """One of so many requests is a PUT of the same key; 0 for none."""
    size_tolerance: float = 0.0
    """How much the mean size may differ from those that were compared: etcd's have numbers of one to four digits."""

    @property
    def needs_many(self) -> bool:
        """Whether it asks for the documents of `fill.py`."""
        return self.keys in (ZIPF, NEW, RANDOM)

    @property
    def letter(self) -> str:
        """The first letter of the keys it asks for."""
        if self.needs_many:
            return "k"
        letter = {100: "a", 10_000: "b", 1_000_000: "c"}[self.size]
        return {"put": letter.upper(), "absent": "z"}.get(self.operation, letter)

    @property
    def key_count(self) -> int:
        """How many keys PUT replaces in turn."""
        return 1000 if self.size < 1_000_000 else 20


WORKLOADS = (
    Workload("GET 100 B", "get"),
    Workload("GET 100 B, 304", "not modified", servers=WITH_STATUS),
    Workload("GET 10 kB", "get", 10_000),
    Workload("GET 1 MB", "get", 1_000_000, servers=WITH_STATUS),
    Workload("GET absent: 404", "absent", servers=WITH_STATUS),
    Workload("range of 100 B in 10 kB", "range", 10_000, servers=WITH_STATUS),
    Workload("GET 100 B, 1,000 connections", "get", connections=1000),
    Workload("PUT 100 B", "put", 100, SEVERAL),
    Workload("PUT 10 kB", "put", 10_000, SEVERAL),
    Workload("PUT 1 MB", "put", 1_000_000, SEVERAL, WITH_STATUS),
    Workload("file: GET 100 B", "get", servers=FILES, mount="file"),
    Workload("file: PUT 100 B", "put", 100, SEVERAL, FILES, mount="file"),
    Workload("GET of keys never asked before", "get", keys=NEW, size_tolerance=0.01),
    Workload("90 % GET, 10 % PUT, keys by zipf", "get", keys=ZIPF, put_every=10),
    Workload("listing page of 100 keys", "page", keys=RANDOM, servers=LISTING, connections=4, size_tolerance=0.05),
)
