"""Linearizability of one key: whether its operations fit one order.

The search of Wing and Gong (Testing and verifying concurrent objects, 1993): take any operation that may come next,
apply it, continue with the rest, and backtrack. As proposed by Lowe (Testing for linearizability, 2017), a set of taken
operations that led to a state is tried once, however often it is reached. The set is a bit mask of the operations.

An operation may come next unless a remaining one had its response before this one was called. An operation without a
response may be left out. Once an operation was taken that was called after its end, it can't come any more and is
skipped; otherwise each of them would double the search. Checking all keys as one history was rejected: keys are
independent, and the search grows with the number of operations that overlap.
"""

from collections.abc import Iterable

from tests.crash.history import FOREVER, Action, Operation, State, allowed, result


def contradiction(history: Iterable[Operation], state: State = None) -> list[Operation]:
    """Return an empty list when `history` is linearizable from `state` on.

    Otherwise return the operations that could come next where the search got furthest, none of which fits.
    """
    told = [operation for operation in history if operation.answered or operation.act is not Action.READ]
    operations = sorted(told, key=lambda operation: operation.called)
    wanted = sum(1 << index for index, operation in enumerate(operations) if operation.answered)
    too_late = _too_late(operations)
    tried = {(0, state)}
    to_try = [(0, state)]
    furthest, stuck = -1, [0]
    while to_try:
        taken, state = to_try.pop()
        if taken & wanted == wanted:
            return []
        following = _following(operations, taken)
        if (taken & wanted).bit_count() > furthest:
            furthest, stuck = (taken & wanted).bit_count(), following
        for index in following:
            if allowed(operations[index], state):
                reached = (taken | 1 << index | too_late[index], result(operations[index], state))
                if reached not in tried:
                    tried.add(reached)
                    to_try.append(reached)
    return [operations[index] for index in stuck]


def _too_late(operations: list[Operation]) -> list[int]:
    """For each operation, those without a response that can't come after it."""
    unanswered = [(1 << index, each.returned) for index, each in enumerate(operations) if not each.answered]
    return [sum(bit for bit, end in unanswered if end < operation.called) for operation in operations]


def _following(operations: list[Operation], taken: int) -> list[int]:
    """The operations that may come next, the most likely one last."""
    first_answer = FOREVER
    found: list[int] = []
    for index in range((~taken & (taken + 1)).bit_length() - 1, len(operations)):
        operation = operations[index]
        if operation.called > first_answer:
            break
        if not taken >> index & 1:
            found.append(index)
            if operation.answered:
                first_answer = min(first_answer, operation.returned)
    return sorted(found, key=lambda index: (operations[index].answered, -operations[index].returned))
