// The list: rows, search, pages, and where one is, which is in the address. It takes over what the server rendered and
// makes the same from JSON. One page is in memory, however many keys there are; it must not know what a row opens.
// Back goes by a trail of where the pages before began, kept in the history: the store goes forward only.

import { element } from "./elements.js";
import { size, span } from "./figures.js";
import { now } from "./store.js";

const LIMIT = 100;
const TRAIL = 1000;
const TYPING_MS = 120;
const TICK_MS = 30_000;

const find = (selector) => document.querySelector(selector);
const plural = (count, one) => (count === 1 ? `1 ${one}` : `${count} ${one}s`);

export class Listing {
  #loading = new AbortController();
  #shown = location.search;

  constructor(collection, open) {
    Object.assign(this, { collection, open, body: find("#documents tbody"), base: "" });
    this.search = element("input", { id: "search", type: "search", "aria-label": "Find keys by their beginning",
      placeholder: "Find by beginning", autocomplete: "off", spellcheck: "false", oninput: () => this.#typed(),
      onkeydown: (event) => this.#inSearch(event) });
    find("main").addEventListener("click", (event) => this.#clicked(event));
    this.body.addEventListener("keydown", (event) => this.#inRows(event));
    this.#placeSearch();
    setInterval(() => this.#tick(), TICK_MS);
  }

  get query() {
    const given = new URLSearchParams(location.search);
    return Object.fromEntries(["prefix", "delimiter", "after", "limit"].map((name) => [name, given.get(name) ?? ""]));
  }

  // The folder that is shown: where new documents go.
  get folder() {
    const { prefix, delimiter } = this.query;
    return delimiter ? prefix.slice(0, prefix.lastIndexOf("/") + 1) : "";
  }

  keyOf = (link) => decodeURIComponent(new URL(link.href).pathname.slice(this.collection.mount.length));

  // Goes to another part of the list.
  async go(search, { replace = false, trail = [] } = {}) {
    history[replace ? "replaceState" : "pushState"]({ trail }, "", location.pathname + search);
    if (!replace) this.#placeSearch();
    await this.reload();
  }

  // Follows the address, after it went back or forth.
  async follow() {
    if (location.search === this.#shown) return;
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

  #show({ documents, folders = [], next }) {
    this.#shown = location.search;
    const before = [...this.body.querySelectorAll("a")];
    const focused = before.indexOf(document.activeElement);
    const skipped = this.folder.length;
    this.body.replaceChildren(
      ...folders.map((name) => this.#row("folder", this.#folderLink(name), name.slice(skipped), element("td", { colspan: 4 }, "folder"))),
      ...documents.map((meta) => this.#row(null, this.collection.address(meta.key), meta.key.slice(skipped), ...cells(meta))),
    );
    if (focused >= 0) {
      const links = [...this.body.querySelectorAll("a")];
      (links.find(({ href }) => href === before[focused].href) ?? links[focused] ?? links.at(-1) ?? this.search).focus();
    }
    this.#crumbs();
    this.#pages(next);
    const more = next ? "; more follow" : "";
    const told = [folders.length && plural(folders.length, "folder"), plural(documents.length, "key")].filter(Boolean);
    this.#count(told.join(", ") + more);
    this.#empty(!documents.length && !folders.length);
  }

  #row = (kind, href, name, ...rest) =>
    element("tr", { class: kind }, element("th", { scope: "row" }, element("a", { href }, element("bdi", {}, name))), ...rest);

  #folderLink = (name) => `?${new URLSearchParams({ prefix: name, delimiter: "/" })}`;

  #count(text, wrong = false) {
    const count = find("#count");
    count.classList.toggle("alert", wrong);
    count.textContent = text;
  }

  #empty(nothing) {
    find("p.empty")?.remove();
    if (!nothing) return;
    const { prefix, after } = this.query;
    find("#documents").after(element("p", { class: "empty" }, prefix || after
      ? "No key here begins like that." : "Nothing is stored here yet."));
  }

  #crumbs() {
    const crumbs = find("#crumbs");
    if (!this.query.delimiter) return;
    const [first, last] = [crumbs.firstElementChild, crumbs.lastElementChild];
    const parts = this.folder.split("/").slice(0, -1);
    const links = parts.map((part, index) =>
      element("a", { href: this.#folderLink(`${parts.slice(0, index + 1).join("/")}/`) }, element("bdi", {}, `${part}/`)));
    crumbs.replaceChildren(...[first, ...links, last].flatMap((link) => [link, " "]));
  }

  #pages(next) {
    const { after } = this.query;
    const links = [];
    if (after) {
      const trail = history.state?.trail ?? [];
      links.push(element("a", { rel: trail.length ? "prev" : "first", href: this.#at(trail.at(-1) ?? "") },
        trail.length ? "Previous page" : "First page"));
    }
    if (next) links.push(element("a", { rel: "next", href: this.#at(new URL(next, location).searchParams.get("after")) }, "Next page"));
    find("#pages").replaceChildren(...links);
  }

  #at(after) {
    const wanted = new URLSearchParams(location.search);
    wanted.delete("after");
    if (after) wanted.set("after", after);
    return `?${wanted}`;
  }

  async #clicked(event) {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const target = new URL(link.href);
    if (target.origin !== location.origin || !target.pathname.startsWith(this.collection.mount)) return;
    const inside = target.pathname === this.collection.mount;
    if (inside && link.classList.contains("other")) return;
    event.preventDefault();
    if (!inside) return this.open(this.keyOf(link));
    const trail = history.state?.trail ?? [];
    const kept = { next: [...trail, this.query.after].slice(-TRAIL), prev: trail.slice(0, -1) }[link.rel] ?? [];
    await this.go(target.search, { trail: kept });
    if (link.closest("#pages")) scrollTo(0, 0);
    if (!this.body.contains(document.activeElement)) (this.body.querySelector("a") ?? this.search).focus({ preventScroll: true });
  }

  #typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      const wanted = new URLSearchParams(location.search);
      wanted.delete("after");
      wanted.delete("prefix");
      const prefix = this.base + this.search.value;
      if (prefix) wanted.set("prefix", prefix);
      this.go(wanted.size ? `?${wanted}` : "", { replace: true });
    }, TYPING_MS);
  }

  #inSearch(event) {
    const first = this.body.querySelector("a");
    if (!["ArrowDown", "Enter"].includes(event.key) || !first) return;
    event.preventDefault();
    if (event.key === "Enter") first.click();
    else first.focus();
  }

  #inRows(event) {
    const links = [...this.body.querySelectorAll("a")];
    const here = links.indexOf(event.target);
    const there = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: links.length - 1 }[event.key];
    if (there === undefined || here < 0) return;
    event.preventDefault();
    (links[there] ?? (there < 0 ? this.search : event.target)).focus();
  }

  #tick() {
    for (const time of this.body.querySelectorAll("time")) {
      const away_s = Math.floor((Date.parse(time.dateTime) - now()) / 1000);
      if (time.className && away_s < 0) return this.reload();
      time.textContent = span(time.className ? away_s : -away_s);
    }
  }
}

function cells(meta) {
  const away = (text) => Math.floor((Date.parse(text) - now()) / 1000);
  const modified = element("time", { datetime: meta.modified }, span(-away(meta.modified)));
  const end = meta.expires && element("time", { class: "end", datetime: meta.expires }, span(away(meta.expires)));
  return [
    element("td", { class: "figure" }, size(meta.size)),
    element("td", {}, meta.media_type),
    element("td", { class: "figure" }, modified),
    element("td", { class: "figure" }, end || null),
  ];
}
