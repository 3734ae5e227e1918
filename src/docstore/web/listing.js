// The list: rows, search, pages and folders. It takes over the rows that the server rendered and creates the same rows from
// JSON; the URL holds the state. Only one page is in memory. The server pages forward only, so the history keeps the
// start of each earlier page. A column has a cell here and in collection.html.

import { element } from "./dom.js";
import { formatAge, formatSize } from "./format.js";
import { now } from "./http.js";

const LIMIT = 100;
const MAX_TRAIL = 1000;
const TYPING_MS = 120;
const TICK_MS = 30_000;

const find = (selector) => document.querySelector(selector);
const COLUMNS = find("#documents thead tr").children.length;
const plural = (count, noun) => (count === 1 ? `1 ${noun}` : `${count} ${noun}s`);

export class Listing {
  #loading = new AbortController();
  #shown = location.pathname + location.search;

  constructor(collection, open) {
    Object.assign(this, { collection, open, body: find("#documents tbody"), base: "", byFolders: find("main").dataset.keys === "path" });
    this.search = element("input", { id: "search", type: "search", "aria-label": "Filter by key prefix",
      placeholder: "Filter by key prefix", autocomplete: "off", spellcheck: "false", oninput: () => this.#onInput(),
      onkeydown: (event) => this.#onSearchKey(event) });
    find("main").addEventListener("click", (event) => this.#onClick(event));
    this.body.addEventListener("keydown", (event) => this.#onRowKey(event));
    // Relative links would change their meaning when the URL changes.
    for (const link of document.querySelectorAll("a[href], link[rel=icon]")) {
      const { pathname, search } = new URL(link.href);
      link.setAttribute("href", pathname + search);
    }
    this.#placeSearch();
    setInterval(() => this.#tick(), TICK_MS);
  }

  // The folder of the URL, "" for the collection.
  get #folderOfURL() {
    return decodeURIComponent(location.pathname.slice(this.collection.mount.length));
  }

  get query() {
    const given = new URLSearchParams(location.search);
    const delimiter = given.get("delimiter") ?? (this.byFolders ? "/" : "");
    return { prefix: this.#folderOfURL + (given.get("prefix") ?? ""), delimiter, after: given.get("after") ?? "", limit: given.get("limit") ?? "" };
  }

  // The folder shown, in which new documents are created.
  get folder() {
    const { prefix, delimiter } = this.query;
    return delimiter ? prefix.slice(0, prefix.lastIndexOf("/") + 1) : this.#folderOfURL;
  }

  keyOf = (link) => decodeURIComponent(new URL(link.href).pathname.slice(this.collection.mount.length));

  // Show another part of the list.
  async go(url, { replace = false, trail = [] } = {}) {
    history[replace ? "replaceState" : "pushState"]({ trail }, "", url);
    if (!replace) this.#placeSearch();
    await this.reload();
  }

  // Show what the URL says, after the browser went back or forward.
  async follow() {
    if (location.pathname + location.search === this.#shown) return;
    this.#placeSearch();
    await this.reload();
  }

  async reload() {
    this.#loading.abort();
    const { signal } = (this.#loading = new AbortController());
    const query = Object.fromEntries(Object.entries({ ...this.query, limit: this.query.limit || LIMIT }).filter(([, value]) => value));
    try {
      const listing = await this.collection.list(query, signal);
      if (!signal.aborted) this.#show(listing);
    } catch (error) {
      if (!signal.aborted) this.#count(error.message, true);
    }
  }

  #placeSearch() {
    this.base = this.folder;
    this.search.value = this.query.prefix.slice(this.base.length);
  }

  #show({ documents, folders = [], next, hidden }) {
    this.#shown = location.pathname + location.search;
    const before = [...this.body.querySelectorAll("a")];
    const focused = before.indexOf(document.activeElement);
    const skipped = this.folder.length;
    this.body.replaceChildren(
      ...folders.map((name) => this.#row("folder", this.collection.address(name), name.slice(skipped), element("td", { colspan: COLUMNS - 1 }, "folder"))),
      ...documents.map((meta) => this.#row(null, this.collection.address(meta.key), meta.key.slice(skipped), ...cells(meta))),
    );
    if (focused >= 0) {
      const links = [...this.body.querySelectorAll("a")];
      (links.find(({ href }) => href === before[focused].href) ?? links[focused] ?? links.at(-1) ?? this.search).focus();
    }
    find("#hidden").textContent = hidden ? `${plural(hidden, "name")} here can't be shown: keys=name` : "";
    this.#crumbs();
    this.#pages(next);
    const counts = [folders.length && plural(folders.length, "folder"), plural(documents.length, "key")].filter(Boolean).join(", ");
    this.#count(this.query.after ? `${counts} on this page` : next ? `First ${counts}` : counts);
    this.#empty(!documents.length && !folders.length);
  }

  #row = (kind, href, name, ...rest) =>
    element("tr", { class: kind }, element("th", { scope: "row" }, element("a", { href }, element("bdi", {}, name))), ...rest);

  #count(text, failed = false) {
    const count = find("#count");
    count.classList.toggle("alert", failed);
    count.textContent = text;
  }

  #empty(isEmpty) {
    find("p.empty")?.remove();
    if (!isEmpty) return;
    find("#documents").after(element("p", { class: "empty" }, this.query.prefix || this.query.after
      ? "No matching keys." : "This collection is empty."));
  }

  #crumbs() {
    const crumbs = find("#crumbs");
    if (!this.query.delimiter) return;
    const [first, last] = [crumbs.firstElementChild, crumbs.lastElementChild];
    const parts = this.folder.split("/").slice(0, -1);
    const links = parts.map((part, index) =>
      element("a", { href: this.collection.address(`${parts.slice(0, index + 1).join("/")}/`) }, element("bdi", {}, `${part}/`)));
    crumbs.replaceChildren(...[first, ...links, last].flatMap((link) => [link, " "]));
  }

  #pages(next) {
    const { after } = this.query;
    const links = [];
    if (after) {
      const trail = history.state?.trail ?? [];
      links.push(element("a", { rel: trail.length ? "prev" : "first", href: this.#pageLink(trail.at(-1) ?? "") },
        trail.length ? "Previous page" : "First page"));
    }
    if (next) links.push(element("a", { rel: "next", href: this.#pageLink(new URL(next, location).searchParams.get("after")) }, "Next page"));
    find("#pages").replaceChildren(...links);
  }

  #pageLink(after) {
    const parameters = new URLSearchParams(location.search);
    parameters.delete("after");
    if (after) parameters.set("after", after);
    return `${location.pathname}?${parameters}`;
  }

  async #onClick(event) {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const target = new URL(link.href);
    if (target.origin !== location.origin || !target.pathname.startsWith(this.collection.mount)) return;
    const inList = target.pathname.endsWith("/");
    if (inList && link.classList.contains("other")) return;
    event.preventDefault();
    if (!inList) return this.open(this.keyOf(link));
    const trail = history.state?.trail ?? [];
    const newTrail = { next: [...trail, this.query.after].slice(-MAX_TRAIL), prev: trail.slice(0, -1) }[link.rel] ?? [];
    await this.go(target.pathname + target.search, { trail: newTrail });
    if (link.closest("#pages")) scrollTo(0, 0);
    if (!this.body.contains(document.activeElement)) (this.body.querySelector("a") ?? this.search).focus({ preventScroll: true });
  }

  #onInput() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      const parameters = new URLSearchParams(location.search);
      parameters.delete("after");
      parameters.delete("prefix");
      const prefix = (this.base + this.search.value).slice(this.#folderOfURL.length);
      if (prefix) parameters.set("prefix", prefix);
      this.go(location.pathname + (parameters.size ? `?${parameters}` : ""), { replace: true });
    }, TYPING_MS);
  }

  #onSearchKey(event) {
    const first = this.body.querySelector("a");
    if (!["ArrowDown", "Enter"].includes(event.key) || !first) return;
    event.preventDefault();
    if (event.key === "Enter") first.click();
    else first.focus();
  }

  #onRowKey(event) {
    const links = [...this.body.querySelectorAll("a")];
    const here = links.indexOf(event.target);
    const there = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: links.length - 1 }[event.key];
    if (there === undefined || here < 0) return;
    event.preventDefault();
    (links[there] ?? (there < 0 ? this.search : event.target)).focus();
  }

  #tick() {
    for (const time of this.body.querySelectorAll("time")) {
      const seconds = Math.floor((Date.parse(time.dateTime) - now()) / 1000);
      if (time.className && seconds < 0) return this.reload();
      time.textContent = formatAge(time.className ? seconds : -seconds);
    }
  }
}

function cells(meta) {
  const secondsUntil = (text) => Math.floor((Date.parse(text) - now()) / 1000);
  const modified = element("time", { datetime: meta.modified }, formatAge(-secondsUntil(meta.modified)));
  const expires = meta.expires && element("time", { class: "expires", datetime: meta.expires }, formatAge(secondsUntil(meta.expires)));
  return [
    element("td", { class: "number" }, formatSize(meta.size)),
    element("td", {}, meta.media_type),
    element("td", { class: "number" }, modified),
    element("td", { class: "number" }, expires || null),
  ];
}
