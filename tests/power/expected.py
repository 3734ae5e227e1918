"""The writes of a workload, and the states in which each key may be after a power cut.

A key may be in the state of its last answered write, or in that of one that was not answered: completely one or the
other, never a mix and never an error. Of concurrent writes either may be the last. An expired document is absent
whatever is on the disk.
"""

from dataclasses import dataclass, field

from docstore.model import Fields


@dataclass(frozen=True, slots=True)
class State:
    """The parts of a document that its writer determines."""

    data: bytes
    fields: Fields
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True)
class WriteStarted:
    """A write started; `state` is the new state of the key, None for a delete."""

    number: int
    key: str
    state: State | None


@dataclass(frozen=True, slots=True)
class WriteAnswered:
    """The write of this number succeeded."""

    number: int


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The clock was set."""

    now_ns: int


Event = WriteStarted | WriteAnswered | ClockSet


@dataclass(slots=True)
class ExpectedStates:
    """The states in which each key may be, after the events so far."""

    now_ns: int
    _possible: dict[str, list[tuple[int, State | None]]] = field(default_factory=dict)
    """The writes that may be the last of a key, by number; -1 for the state before the first."""
    _asked: dict[int, WriteStarted] = field(default_factory=dict)
    _over: dict[int, set[int]] = field(default_factory=dict)
    """For each running write, the writes that can no longer be the last once it is answered."""

    def note(self, event: Event) -> None:
        match event:
            case ClockSet(now_ns=now_ns):
                self.now_ns = now_ns
            case WriteStarted(number=number, key=key):
                possible = self._possible.setdefault(key, [(-1, None)])
                running = self._running()
                self._over[number] = {earlier for earlier, _ in possible} - running
                self._asked[number] = event
                possible.append((number, event.state))
            case WriteAnswered(number=number):
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

    def describe(self, key: str) -> str:
        return " or ".join(
            sorted({describe_state(self._seen(state)) for _, state in self._possible.get(key, [(-1, None)])})
        )

    def fingerprint(self) -> tuple[object, ...]:
        """Return a value that is equal for objects that allow the same states."""
        return self.now_ns, tuple((key, frozenset(dict(self._possible[key]).items())) for key in sorted(self._possible))


def describe_state(state: State | None) -> str:
    if state is None:
        return "absent"
    short = f"{len(state.data)} bytes {state.data[:12]!r}"
    return f"{short} {state.fields.media_type} {state.fields.others} expires {state.expires_ns}"
