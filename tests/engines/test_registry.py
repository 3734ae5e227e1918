"""The registration of each engine is correct, and a broken one is refused in one line."""

import asyncio
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from docstore.engines import registry
from docstore.engines.registry import EngineURL, Processes, kind_of, open_engine, schemes
from docstore.engines.shared.verify import check_store
from docstore.errors import OpenError, SetupError

LOCAL = [scheme for scheme in schemes() if not EngineURL.parse(kind_of(scheme).example).location.startswith("//")]
"""The engines that need no server."""
README = (Path(__file__).parent.parent.parent / "README.md").read_text()


@pytest.mark.parametrize("scheme", schemes())
def test_the_summary_of_an_engine_is_one_line(scheme: str) -> None:
    kind = kind_of(scheme)
    for line in (kind.summary, kind.survives):
        assert line == line.strip()
        assert "\n" not in line
        assert not line.endswith(".")
    assert EngineURL.parse(kind.example).scheme == scheme
    assert set(EngineURL.parse(kind.example).options) <= set(kind.options)


@pytest.mark.parametrize("scheme", schemes())
def test_the_readme_agrees_with_each_registration(scheme: str) -> None:
    [row] = [line for line in README.splitlines() if line.startswith(f"| {scheme} | `{scheme}:")]
    _, survives, processes = (cell.strip() for cell in row.strip("|").split("|")[1:])
    assert processes == kind_of(scheme).processes.value
    assert survives.startswith(kind_of(scheme).survives)


@pytest.mark.parametrize("scheme", LOCAL)
def test_the_example_of_an_engine_opens(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = EngineURL.parse(kind_of(scheme).example)
    asyncio.run(open_engine(url).close())
    assert bool(list(tmp_path.iterdir())) == bool(url.location) == kind_of(scheme).on_disk


@pytest.mark.parametrize("scheme", schemes())
def test_an_undeclared_option_is_refused(scheme: str, tmp_path: Path) -> None:
    url = EngineURL(scheme, str(tmp_path / "store") if kind_of(scheme).on_disk else "", {"colour": "red"})
    for use in (open_engine, check_store):
        with pytest.raises(SetupError, match=f"{scheme}: has no option 'colour'"):
            use(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", [scheme for scheme in schemes() if kind_of(scheme).on_disk])
def test_a_store_is_opened_by_one_or_many_processes_as_its_engine_says(scheme: str, tmp_path: Path) -> None:
    path, link = tmp_path / "store", tmp_path / "link"
    link.symlink_to(path)
    first = open_engine(EngineURL(scheme, str(path)))
    try:
        if kind_of(scheme).processes is Processes.MANY:
            asyncio.run(open_engine(EngineURL(scheme, str(link))).close())
        else:
            with pytest.raises(OpenError, match="open already"):
                open_engine(EngineURL(scheme, str(link)))
    finally:
        asyncio.run(first.close())


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:KIND", "from no_such_module:KIND: No module named"),
        ("docstore.engines.memory:NOTHING", "from docstore.engines.memory:NOTHING"),
        ("docstore.engines.memory:open_memory", "docstore.engines.memory:open_memory is not an EngineKind"),
    ],
)
def test_a_broken_registration_is_refused_in_one_line(value: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*, group: str, name: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group)]

    monkeypatch.setattr(registry, "entry_points", found)
    with pytest.raises(SetupError, match=why) as refused:
        open_engine(EngineURL("strange", ""))
    assert "\n" not in str(refused.value)
