"""Web apps in a browser: they run where the operator says, and can do nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from tests.http_client import Client
from tests.server_process import RunningServer
from tests.web.tab import WAITS_MS, Tab

APP = {
    "index.html": '<!doctype html><title>app</title><p>idle</p><script type="module" src="main.js"></script>',
    "main.js": "const text = await (await fetch('data.json')).json();\n"
    "document.querySelector('p').textContent = text.state;",
    "data.json": '{"state": "runs"}',
}


@contextmanager
def app_on(folder: Path, options: str, tab: Tab) -> Iterator[tuple[RunningServer, Client, BrowserContext]]:
    """A server with the app at /site/ and a copy of it at /docs/, and a new browser context."""
    with RunningServer(
        folder, f"--mount=site=memory:?index=yes&content=app{options}", "--mount=docs=memory:?index=yes"
    ) as server, Client(server) as client:  # fmt: skip
        for mount in ("site", "docs"):
            for key, content in APP.items():
                assert client.ask("PUT", f"/{mount}/{key}", content.encode()).status == 201
        context = tab.browser.new_context()
        context.set_default_timeout(WAITS_MS)
        yield server, client, context
        context.close()


def test_an_app_runs_on_its_mount_and_nowhere_else(tab: Tab, tmp_path: Path) -> None:
    with app_on(tmp_path, "", tab) as (server, _, context):
        page = context.new_page()
        page.goto(f"{server.url}/site/")
        expect(page.locator("p")).to_have_text("runs")
        page.goto(f"{server.url}/docs/index.html")
        page.wait_for_load_state("networkidle")
        expect(page.locator("p")).to_have_text("idle")


WORKER = """self.addEventListener("fetch", (event) => {
    event.respondWith(new Response("taken over", { headers: { "Content-Type": "text/html" } }));
});"""
REGISTER = "(path) => navigator.serviceWorker.register(path).then((found) => found.scope, (error) => error.name)"


def test_an_app_at_the_host_of_the_store_leaves_no_service_worker(tab: Tab, tmp_path: Path) -> None:
    with app_on(tmp_path, "", tab) as (server, client, context):
        page = context.new_page()
        for path in ("/docs/worker.js", "/site/worker.js"):
            assert client.ask("PUT", path, WORKER.encode(), {"Content-Type": "text/javascript"}).status == 201
            page.goto(f"{server.url}/site/")
            assert page.evaluate(REGISTER, path) == "TypeError"
            assert page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0


FROM_THE_APP = """async (store) => {
    const results = {};
    const attempt = async (name, act) => {
        try { results[name] = await act(); } catch (error) { results[name] = error.name; }
    };
    await attempt("read", async () => (await fetch(`${store}/docs/secret`, {credentials: "include"})).status);
    await attempt("put", async () => (await fetch(`${store}/docs/secret`, {method: "PUT", body: "app"})).status);
    await attempt("post", async () => {
        await fetch(`${store}/docs/`, {method: "POST", body: "app", mode: "no-cors", credentials: "include"});
        return "read";
    });
    await attempt("frame", () => new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.onload = () => {
            try { resolve(frame.contentWindow.document.body ? "seen" : "none"); } catch (error) { resolve(error.name); }
        };
        frame.src = `${store}/docs/secret`;
        document.body.append(frame);
    }));
    await attempt("own", async () => (await fetch("written", {method: "PUT", body: "app"})).status);
    return results;
}"""


def test_an_app_at_a_host_of_its_own_can_use_its_mount_and_nothing_else(tab: Tab, tmp_path: Path) -> None:
    with app_on(tmp_path, "&app_host=apps.localhost", tab) as (server, client, context):
        assert client.ask("PUT", "/docs/secret", b"secret").status == 201
        page = context.new_page()
        page.goto(f"{server.url}/site/index.html")
        page.wait_for_load_state("networkidle")
        expect(page.locator("p")).to_have_text("idle")
        page.goto(f"http://apps.localhost:{server.port}/site/")
        expect(page.locator("p")).to_have_text("runs")
        before = client.ask("GET", "/docs/?format=json").content
        results = page.evaluate(FROM_THE_APP, server.url)
        assert results.pop("frame") in ("SecurityError", "TypeError")
        assert results == {"read": "TypeError", "put": "TypeError", "post": "TypeError", "own": 201}
        assert client.ask("GET", "/docs/?format=json").content == before
        assert client.ask("GET", "/site/written").content == b"app"
