"""What an engine was asked and what it answered, and what must be found of it after a cut.

Each key may be in the state that its last answered write left, or in that of one that was not answered: whole, one or
the other, never a mix and never an error. Of writes that ran at the same time either may be the last. A document that
has expired is absent whatever is on the disk.
"""

from dataclasses import dataclass, field

from docstore.model import Fields


@dataclass(frozen=True, slots=True)
class State:
    """A document, as far as a writer determines it."""

    data: bytes
    fields: Fields
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A write began: what it makes of a key, None for a delete."""

    number: int
    key: str
    state: State | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The write of this number was answered with success."""

    number: int


@dataclass(frozen=True, slots=True)
class Told:
    """What the clock says from here on."""

    now_ns: int


Note = Asked | Answered | Told


@dataclass(slots=True)
class Promise:
    """What may be found of each key, from the notes so far."""

    now_ns: int
    _possible: dict[str, list[tuple[int, State | None]]] = field(default_factory=dict)
    """The writes that may be the last of a key, by number; -1 for what was there before."""
    _asked: dict[int, Asked] = field(default_factory=dict)
    _over: dict[int, set[int]] = field(default_factory=dict)
    """The writes that were possible when another began: they are not, once it is answered."""

    def note(self, note: Note) -> None:
        match note:
            case Told(now_ns=now_ns):
                self.now_ns = now_ns
            case Asked(number=number, key=key):
                possible = self._possible.setdefault(key, [(-1, None)])
                running = self._running()
                self._over[number] = {earlier for earlier, _ in possible} - running
                self._asked[number] = note
                possible.append((number, note.state))
            case Answered(number=number):
                key = self._asked.pop(number).key
                over = self._over.pop(number)
                self._possible[key] = [entry for entry in self._possible[key] if entry[0] not in over]

    def _running(self) -> set[int]:
        return set(self._asked)

    def keys(self) -> list[str]:
        return sorted(self._possible)

    def allows(self, key: str, found: State | None) -> bool:
        return any(found == self._seen(state) for _, state in self._possible.get(key, [(-1, None)]))

    def _seen(self, state: State | None) -> State | None:
        expired = state is not None and state.expires_ns is not None and state.expires_ns <= self.now_ns
        return None if expired else state

    def told(self, key: str) -> str:
        return " or ".join(sorted({described(self._seen(state)) for _, state in self._possible.get(key, [(-1, None)])}))

    def mark(self) -> tuple[object, ...]:
        """Equal for promises that allow the same."""
        return self.now_ns, tuple((key, frozenset(dict(self._possible[key]).items())) for key in sorted(self._possible))


def described(state: State | None) -> str:
    if state is None:
        return "absent"
    short = f"{len(state.data)} bytes {state.data[:12]!r}"
    return f"{short} {state.fields.media_type} {state.fields.others} expires {state.expires_ns}"
