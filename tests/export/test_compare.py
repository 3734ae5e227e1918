"""The comparison of two listings, against sets."""

from collections.abc import AsyncIterator, Iterable

from hypothesis import given
from hypothesis import strategies as st

from docstore.client.transport import run_sync
from docstore.export import compare as module
from docstore.export.compare import compare
from docstore.model import Fields, Meta

KEYS = st.dictionaries(st.text("ab/é", min_size=1, max_size=3), st.sampled_from(["1", "2"]), max_size=12)


def metas(versions: Iterable[tuple[str, str]]) -> list[Meta]:
    return [Meta(key, version, 1, b"", Fields(), 0) for key, version in sorted(versions)]


async def iterate(listed: list[Meta]) -> AsyncIterator[Meta]:
    for meta in listed:
        yield meta


def planned(source: dict[str, str], target: dict[str, str], *, delete: bool, calls: list[str]) -> module.Plan:
    def listing(after: str) -> AsyncIterator[Meta]:
        calls.append(after)
        return iterate([meta for meta in metas(target.items()) if meta.key > after])

    return run_sync(
        compare(iterate(metas(source.items())), listing, lambda one, two: one.version == two.version, delete=delete)
    )


@given(KEYS, KEYS, st.booleans())
def test_a_plan_has_exactly_the_differences(source: dict[str, str], target: dict[str, str], delete: bool) -> None:
    skip, module.SKIP_AFTER = module.SKIP_AFTER, 2  # type: ignore[misc]
    try:
        plan = planned(source, target, delete=delete, calls=[])
    finally:
        module.SKIP_AFTER = skip  # type: ignore[misc]
    assert [meta.key for meta in plan.copies] == sorted(key for key in source if target.get(key) != source[key])
    assert plan.deletes == (sorted(target.keys() - source.keys()) if delete else [])
    assert plan.same == sum(1 for key in source if target.get(key) == source[key])
    assert plan.size == len(plan.copies)


def test_a_large_target_is_not_listed_for_a_few_documents() -> None:
    calls: list[str] = []
    target = {f"{number:05}": "1" for number in range(20_000)}
    plan = planned({"00001": "1", "15000": "1", "15001": "2"}, target, delete=False, calls=calls)
    assert ([meta.key for meta in plan.copies], plan.same, calls) == (["15001"], 2, ["", "1500"])
