"""A state machine: random operations on a collection of a real server and on a dict have the same results."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from docstore import Client, Conflict, NotFound, NotModified
from docstore.client.results import PutResult
from tests.server_process import RunningServer

KEYS = st.sampled_from(["a", "a/b", "a/b c", "%41", "é", "z"])
CONTENTS = st.binary(max_size=40)


class Collection(RuleBasedStateMachine):
    """`model` holds the content and, by its version, the state of each document."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.docs = Client(self.url, create=True)
        self.docs.clear()
        self.model: dict[str, bytes] = {}
        self.versions: dict[str, str] = {}

    def teardown(self) -> None:
        self.docs.close()

    def check_write(self, key: str, content: bytes, stored: PutResult) -> None:
        assert stored.created is (key not in self.model)
        self.model[key], self.versions[key] = content, stored.version

    @rule(key=KEYS, content=CONTENTS)
    def put(self, key: str, content: bytes) -> None:
        self.check_write(key, content, self.docs.put(key, content))

    @rule(key=KEYS, content=CONTENTS, other=KEYS)
    def put_if_it_is_that_version(self, key: str, content: bytes, other: str) -> None:
        expected = self.versions.get(other, "none")
        if self.versions.get(key) == expected:
            self.check_write(key, content, self.docs.put(key, content, if_match=expected))
            return
        with pytest.raises(Conflict) as caught:
            self.docs.put(key, content, if_match=expected)
        assert caught.value.version == self.versions.get(key)

    @rule(key=KEYS, content=CONTENTS)
    def setdefault(self, key: str, content: bytes) -> None:
        assert self.docs.setdefault(key, content) == self.model.setdefault(key, content)
        self.versions[key] = self.docs.info(key).version

    @rule(key=KEYS, more=CONTENTS)
    def update(self, key: str, more: bytes) -> None:
        self.check_write(
            key, self.model.get(key, b"") + more, self.docs.update(key, lambda content: (content or b"") + more)
        )

    @rule(key=KEYS)
    def pop(self, key: str) -> None:
        assert self.docs.pop(key, None) == self.model.pop(key, None)
        self.versions.pop(key, None)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        if key in self.model:
            del self.docs[key], self.model[key], self.versions[key]
            return
        with pytest.raises(NotFound):
            del self.docs[key]

    @rule(key=KEYS, start=st.integers(0, 20), size=st.integers(1, 20))
    def get(self, key: str, start: int, size: int) -> None:
        content = self.model.get(key)
        assert self.docs.get(key) == content
        assert (key in self.docs) is (content is not None)
        if content is not None and start < len(content):
            assert self.docs.get(key, None, start=start, stop=start + size) == content[start : start + size]
        if content is not None:
            version = self.versions[key]
            assert self.docs.get(key, None, if_none_match=version) == NotModified(version)

    @rule(prefix=st.sampled_from(["", "a", "a/", "é"]), limit=st.integers(1, 3))
    def list_by_pages(self, prefix: str, limit: int) -> None:
        listed: list[str] = []
        after: str | None = ""
        while after is not None:
            page = self.docs.list(prefix=prefix, after=after, limit=limit)
            assert len(page.documents) <= limit
            listed += [info.key for info in page.documents]
            after = page.after
        assert listed == sorted(key for key in self.model if key.startswith(prefix))

    @invariant()
    def has_the_keys_of_the_dict(self) -> None:
        assert list(self.docs) == sorted(self.model)


@pytest.mark.hypothesis
def test_any_sequence_of_operations_has_the_results_of_a_dict(server: RunningServer) -> None:
    machine = type("OverHTTP", (Collection,), {"url": f"{server.url}/memory/"})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=settings().max_examples // 5, stateful_step_count=15)
    )
