// The start: what each mount holds and whether it responds, and a search over all mounts. Without this script the page is
// the list of mounts that the server rendered. Counts and searches are bounded, and say how far they went.

import { areShortcutsOff, element } from "./dom.js";
import { formatSize, plural, totalSize } from "./format.js";
import { Collection } from "./http.js";
import { encode } from "./keys.js";

const COUNTED = 1000;
const SHOWN = 20;
const TYPING_MS = 200;

const mounts = [...document.querySelectorAll(".mounts li")].map((card) => {
  const path = new URL(card.querySelector("a").href).pathname;
  return { card, path, collection: new Collection(path, new Map()), state: card.querySelector(".state") };
});

// Show whether a mount responds, and what its first documents are, unless the server counts them.
async function check({ card, collection, state }) {
  const counted = card.dataset.documents !== undefined;
  try {
    const { documents, next } = await collection.list({ limit: counted ? 1 : COUNTED });
    const count = next ? `more than ${plural(COUNTED, "document")}` : `${plural(documents.length, "document")}, ${formatSize(totalSize(documents))}`;
    state.textContent = counted ? "ready" : `ready; ${documents.length ? count : "empty"}`;
    state.className = "state ready";
    state.removeAttribute("role");
  } catch (error) {
    state.textContent = error.message;
    state.className = "state failed";
    state.setAttribute("role", "alert");
  }
}

// The documents of a mount whose keys begin with `text`, then those of the first keys that contain all its words.
async function findIn(collection, text, signal) {
  const words = text.toLowerCase().split(/\s+/);
  const [begins, first] = await Promise.all([
    collection.list({ prefix: text, limit: SHOWN + 1 }, signal), collection.list({ limit: COUNTED }, signal)]);
  const found = new Map(begins.documents.map((meta) => [meta.key, meta]));
  for (const meta of first.documents) {
    if (words.every((word) => meta.key.toLowerCase().includes(word))) found.set(meta.key, meta);
  }
  return { metas: [...found.values()], all: !first.next };
}

function showFound({ path }, { metas }, text) {
  const lines = metas.slice(0, SHOWN).map((meta) => element("li", {},
    element("a", { href: `${path}#${encode(meta.key)}` }, element("bdi", {}, meta.key)), element("small", {}, `${formatSize(meta.size)}, ${meta.media_type}`)));
  const more = metas.length > SHOWN ? [element("li", {}, element("a", { href: `${path}?words=${encodeURIComponent(text)}` }, `all in ${path}`))] : [];
  return [element("h2", {}, element("a", { href: path }, path)), element("ul", {}, ...lines, ...more)];
}

const found = document.querySelector("#found");
const status = element("p", { role: "status" });
const search = element("input", { id: "search", type: "search", placeholder: "Search all mounts", "aria-label": "Search all mounts",
  autocomplete: "off", spellcheck: "false" });
let searching = new AbortController();
let typing;

async function run() {
  searching.abort();
  const { signal } = (searching = new AbortController());
  const text = search.value.trim();
  history.replaceState(null, "", text ? `?search=${encodeURIComponent(text)}` : location.pathname);
  if (!text) {
    found.hidden = true;
    status.textContent = "";
    return;
  }
  status.textContent = "Searching\u2026";
  const results = await Promise.all(mounts.map(async (mount) =>
    findIn(mount.collection, text, signal).then((result) => [mount, result], (error) => [mount, { metas: [], error, all: true }])));
  if (signal.aborted) return;
  const hits = results.filter(([, { metas }]) => metas.length);
  const failures = results.filter(([, { error }]) => error);
  found.replaceChildren(...failures.map(([{ path }, { error }]) => element("p", { class: "alert" }, `${path} was not searched: ${error.message}`)),
    ...hits.flatMap(([mount, result]) => showFound(mount, result, text)));
  found.hidden = !found.children.length;
  const shown = hits.reduce((sum, [, { metas }]) => sum + Math.min(metas.length, SHOWN), 0);
  const bounded = results.some(([, { all }]) => !all);
  const range = bounded ? `Searched the start of all keys, and the first ${plural(COUNTED, "key")} of each mount for words` : "Searched all keys";
  status.textContent = `${shown ? plural(shown, "key") : "No key"}${hits.length > 1 ? ` in ${hits.length} mounts` : ""}. ${range}.`;
}

search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(run, TYPING_MS);
});
search.addEventListener("keydown", (event) => {
  const first = found.querySelector("li a");
  if (["ArrowDown", "Enter"].includes(event.key) && first && !found.hidden) {
    event.preventDefault();
    if (event.key === "Enter") first.click();
    else first.focus();
  }
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target === search || areShortcutsOff()) return;
  event.preventDefault();
  search.focus();
});
const checkAll = () => document.hidden || mounts.forEach(check);
addEventListener("focus", checkAll);
for (const { state } of mounts) state.textContent = "checking\u2026";
document.querySelector("#tools").append(search, status);
search.value = new URLSearchParams(location.search).get("search") ?? "";
if (search.value) run();
checkAll();
document.documentElement.setAttribute("data-ready", "");
