"""What a shelve holds in memory: for each key, in order, where its current version lies and all of its meta."""

from dataclasses import dataclass

from sortedcontainers import SortedDict, SortedSet

from docstore.model import Meta


@dataclass(frozen=True, slots=True)
class Place:
    """One of a document's two places, and what lies there."""

    number: int
    sequence: int
    meta: Meta


class Index:
    """The places of all current versions, the expired among them."""

    def __init__(self) -> None:
        self._places: SortedDict[str, Place] = SortedDict()
        self._expiring: SortedSet[tuple[int, str]] = SortedSet()

    def get(self, key: str) -> Place | None:
        return self._places.get(key)

    def hold(self, place: Place) -> None:
        self.forget(place.meta.key)
        self._places[place.meta.key] = place
        if place.meta.expires_ns is not None:
            self._expiring.add((place.meta.expires_ns, place.meta.key))

    def forget(self, key: str) -> None:
        held = self._places.pop(key, None)
        if held is not None and held.meta.expires_ns is not None:
            self._expiring.discard((held.meta.expires_ns, key))

    def page(self, now_ns: int, prefix: str, after: str, limit: int) -> list[Meta]:
        """What `Engine.list` answers at `now_ns`."""
        page: list[Meta] = []
        for key in self._places.irange(max(prefix, after)):
            if not key.startswith(prefix) or len(page) == limit:
                break
            meta = self._places[key].meta
            if key > after and not meta.expired(now_ns):
                page.append(meta)
        return page

    def expired(self, now_ns: int, limit: int) -> list[str]:
        """The keys of at most `limit` documents that are expired at `now_ns`, those first that expired first."""
        keys: list[str] = []
        for expires_ns, key in self._expiring:
            if expires_ns > now_ns or len(keys) == limit:
                break
            keys.append(key)
        return keys
