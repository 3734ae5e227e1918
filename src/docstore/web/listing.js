// The list: rows, filter, pages, folders and order. It takes over the rows that the server rendered and creates the same
// rows from JSON. Only one page is in memory. The server pages forward only, so the history keeps the start of each
// earlier page. A column has a cell here and in collection.html.

import { button, element } from "./dom.js";
import { formatAge, formatSize, plural, totalSize } from "./format.js";
import { now } from "./http.js";
import { COLUMNS } from "./view.js";

const LIMIT = 100;
const MAX_TRAIL = 1000;
const TYPING_MS = 120;
const TICK_MS = 30_000;
const FRESH_MS = 2000;
const SLOW_MS = 400;
// A filter by words reads keys in pages, because the server finds only prefixes.
const SEARCH_PAGE = 1000;
const SEARCHED_KEYS = 10_000;
// Images that the list shows small. The limit bounds what a page of them loads.
const THUMBNAIL = /^image\/(?:png|jpeg|gif|webp|avif)(?:;|$)/;
const THUMBNAIL_SIZE = 256 * 1024;

const find = (selector) => document.querySelector(selector);

export class Listing {
  #loading = new AbortController();
  #shown = location.pathname + location.search;
  #loaded_ms = Date.now();
  #listing = null;
  #names = new WeakMap();

  constructor(collection, view, open) {
    Object.assign(this, { collection, view, open, onshow: () => {}, body: find("#documents tbody"), base: "" });
    this.search = element("input", { id: "search", type: "search", autocomplete: "off", spellcheck: "false",
      oninput: () => this.#onInput(), onkeydown: (event) => this.#onSearchKey(event) });
    this.mode = element("select", { id: "mode", "aria-label": "Filter keys by", onchange: () => this.#onMode() },
      element("option", { value: "prefix" }, "starts with"), element("option", { value: "words" }, "contains"));
    find("main").addEventListener("click", (event) => this.#onClick(event));
    this.body.addEventListener("keydown", (event) => this.#onRowKey(event));
    // A broken image gives way to the icon of its type. It may have failed before this script ran.
    this.body.addEventListener("error", (event) => event.target.remove(), true);
    for (const image of this.body.querySelectorAll("img")) if (image.complete && !image.naturalWidth) image.remove();
    // Relative links would change their meaning when the URL changes.
    for (const link of document.querySelectorAll("a[href], link[rel=icon]")) {
      const { pathname, search } = new URL(link.href);
      link.setAttribute("href", pathname + search);
    }
    for (const row of this.body.rows) row.cells[0].replaceChildren(checkbox(row.cells[1].textContent));
    this.#sortButtons();
    this.#placeSearch();
    setInterval(() => this.#tick(), TICK_MS);
    if (view.differsFromServer) this.reload();
  }

  get folder() {
    return this.view.folder;
  }

  keyOf = (link) => decodeURIComponent(new URL(link.href).pathname.slice(this.collection.mount.length));

  // The key of a row's document, or the name of its folder.
  nameOf(row) {
    if (!this.#names.has(row)) this.#names.set(row, this.keyOf(row.cells[1].querySelector("a")));
    return this.#names.get(row);
  }

  // The documents and folders shown, as the server listed them.
  async listed() {
    if (!this.#listing) await this.reload();
    if (!this.#listing) throw new Error(find("#count").textContent);
    return this.#listing;
  }

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

  // Show what has changed meanwhile, when the user returns to the page.
  async refresh() {
    if (this.view.words || Date.now() - this.#loaded_ms < FRESH_MS) return;
    await this.reload();
  }

  async reload() {
    this.#loading.abort();
    const { signal } = (this.#loading = new AbortController());
    this.#loaded_ms = Date.now();
    const slow = setTimeout(() => signal.aborted || this.view.words || this.#count("Loading\u2026"), SLOW_MS);
    try {
      const listing = await (this.view.words ? this.#searchWords(signal) : this.#load(signal));
      if (!signal.aborted) this.#show(listing);
    } catch (error) {
      if (!signal.aborted) this.#count(error.message, true);
    }
    clearTimeout(slow);
  }

  #load(signal) {
    const { query } = this.view;
    return this.collection.list(withoutEmpty({ ...query, limit: query.limit || LIMIT }), signal);
  }

  // Read keys until enough of them match or enough were read; `next` continues there.
  async #searchWords(signal) {
    const words = this.view.words.toLowerCase().split(/\s+/);
    const { folder } = this.view;
    const documents = [];
    let { after } = this.view.query;
    let searched = 0;
    let next = null;
    do {
      this.#count(`Searching\u2026 ${searched.toLocaleString("en")} keys so far`);
      const page = await this.collection.list(withoutEmpty({ prefix: folder, after, limit: SEARCH_PAGE }), signal);
      next = page.next;
      searched += page.hidden ?? 0;
      for (const [index, meta] of page.documents.entries()) {
        after = meta.key;
        searched += 1;
        const name = meta.key.slice(folder.length).toLowerCase();
        if (words.every((word) => name.includes(word))) documents.push(meta);
        if (documents.length === LIMIT) {
          const isLast = !next && index === page.documents.length - 1;
          return { documents, next: isLast ? null : `?after=${encodeURIComponent(after)}`, searched };
        }
      }
      if (next) after = new URL(next, location).searchParams.get("after");
    } while (next && searched < SEARCHED_KEYS);
    return { documents, next, searched };
  }

  #placeSearch() {
    const { words, query, folder } = this.view;
    this.base = folder;
    this.mode.value = words ? "words" : "prefix";
    this.search.value = words || query.prefix.slice(folder.length);
    this.#describeSearch();
  }

  #describeSearch() {
    const text = this.mode.value === "words" ? "Words anywhere in keys" : "Filter by key prefix";
    this.search.setAttribute("aria-label", text);
    this.search.placeholder = text;
  }

  #show(listing) {
    this.#shown = location.pathname + location.search;
    const key = JSON.stringify([listing, this.view.order, this.#shown]);
    this.#listing = listing;
    this.#summarize(listing);
    if (key === this.rendered) return;
    this.rendered = key;
    const { documents, folders = [], next, hidden } = listing;
    const before = this.body.contains(document.activeElement) ? [...this.body.querySelectorAll("a, input")] : [];
    const focused = before.indexOf(document.activeElement);
    const skipped = this.folder.length;
    this.body.replaceChildren(
      ...folders.map((name) => row({ class: "folder" }, this.collection.address(name), name.slice(skipped), null, ...folderCells())),
      ...this.view.sort(documents).map((meta) => {
        const address = this.collection.address(meta.key);
        return row({ "data-type": meta.media_type }, address, meta.key.slice(skipped), thumbnail(address, meta), ...cells(meta));
      }),
    );
    if (focused >= 0) {
      const controls = [...this.body.querySelectorAll("a, input")];
      const same = ({ tagName, href, ariaLabel }) => tagName === before[focused].tagName && href === before[focused].href && ariaLabel === before[focused].ariaLabel;
      (controls.find(same) ?? controls[focused] ?? controls.at(-1) ?? this.search).focus();
    }
    find("#hidden").textContent = hidden ? `${plural(hidden, "name")} here can't be shown: keys=name` : "";
    this.#crumbs();
    this.#viewLinks();
    this.#pages(next);
    this.#showOrder();
    this.#empty(!documents.length && !folders.length && !next);
    this.onshow();
  }

  #summarize({ documents, folders = [], next, searched }) {
    const counts = [folders.length && plural(folders.length, "folder"), plural(documents.length, "key"),
      documents.length && formatSize(totalSize(documents))].filter(Boolean).join(", ");
    const { column, descending } = this.view.order;
    const isPart = next || this.view.query.after;
    const part = this.view.query.after ? `${counts} on this page` : next ? `First ${counts}` : counts;
    const sorted = column === "key" && !descending ? "" : `; sorted by ${column}${isPart ? " within this page" : ""}`;
    if (searched === undefined) return this.#count(part + sorted);
    const range = this.view.query.after ? "the next" : next ? "the first" : "all";
    this.#count(`${counts}; searched ${range} ${plural(searched, "key")}${this.folder ? ` of ${this.folder}` : ""}${sorted}`);
  }

  #count(text, failed = false) {
    const count = find("#count");
    count.classList.toggle("alert", failed);
    if (count.textContent !== text) count.textContent = text;
  }

  #empty(isEmpty) {
    find("p.empty")?.remove();
    if (!isEmpty) return;
    find("#documents").after(element("p", { class: "empty" }, this.view.query.prefix || this.view.query.after || this.view.words
      ? "No matching keys." : "This collection is empty."));
  }

  #crumbs() {
    if (!this.view.hasFolders) return;
    const crumbs = find("#crumbs");
    const parts = this.folder.split("/").slice(0, -1);
    const links = parts.map((part, index) =>
      element("a", { href: this.collection.address(`${parts.slice(0, index + 1).join("/")}/`) }, element("bdi", {}, `${part}/`)));
    const top = element("a", { href: this.collection.mount }, "All folders");
    crumbs.replaceChildren(...(links.length ? [top, ...links] : []).flatMap((link) => [link, " "]));
  }

  // The links that show the same part in another way: by folders or flat, and as a download.
  #viewLinks() {
    const { query, folderOfURL, hasFolders } = this.view;
    const other = find("#view .other");
    if (hasFolders) {
      other.textContent = query.delimiter ? "As a flat list" : "By folders";
      other.setAttribute("href", this.view.url({ delimiter: query.delimiter ? "" : null, after: null, words: null }));
    }
    find("#view span").hidden = Boolean(this.view.words);
    for (const link of document.querySelectorAll("#view [download]")) {
      const parameters = new URLSearchParams(withoutEmpty({ format: link.textContent, prefix: query.prefix.slice(folderOfURL.length) }));
      link.setAttribute("href", `${location.pathname}?${parameters}`);
    }
  }

  #pages(next) {
    const { after } = this.view.query;
    const links = [];
    if (after) {
      const trail = history.state?.trail ?? [];
      links.push(element("a", { rel: trail.length ? "prev" : "first", href: this.view.url({ after: trail.at(-1) || null }) },
        trail.length ? "Previous page" : "First page"));
    }
    if (next) {
      const start = new URL(next, location).searchParams.get("after");
      links.push(element("a", { rel: "next", href: this.view.url({ after: start }) }, this.view.words ? "Search the next keys" : "Next page"));
    }
    find("#pages").replaceChildren(...links);
  }

  #sortButtons() {
    const headers = [...document.querySelectorAll("#documents thead th")];
    Object.keys(COLUMNS).forEach((column, index) => {
      const text = headers[index].textContent;
      headers[index].replaceChildren(button(text, () => this.#sortBy(column), { class: "sort" }));
    });
    this.#showOrder();
  }

  #showOrder() {
    const { column, descending } = this.view.order;
    const headers = [...document.querySelectorAll("#documents thead th")];
    Object.keys(COLUMNS).forEach((name, index) => {
      if (name === column) headers[index].setAttribute("aria-sort", descending ? "descending" : "ascending");
      else headers[index].removeAttribute("aria-sort");
    });
  }

  async #sortBy(column) {
    const { column: before, descending } = this.view.order;
    this.view.remember({ column, descending: column === before && !descending });
    if (this.#listing) this.#show(this.#listing);
    else await this.reload();
  }

  async #onClick(event) {
    const link = event.target.closest("a");
    if (!link || link.hasAttribute("download") || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const target = new URL(link.href);
    if (target.origin !== location.origin || !target.pathname.startsWith(this.collection.mount)) return;
    event.preventDefault();
    if (!target.pathname.endsWith("/")) return this.open(this.keyOf(link));
    if (link.classList.contains("other")) this.view.remember({ flat: target.searchParams.has("delimiter") });
    const trail = history.state?.trail ?? [];
    const newTrail = { next: [...trail, this.view.query.after].slice(-MAX_TRAIL), prev: trail.slice(0, -1) }[link.rel] ?? [];
    await this.go(target.pathname + target.search, { trail: newTrail });
    if (link.closest("#pages")) scrollTo(0, 0);
    if (!this.body.contains(document.activeElement)) (this.body.querySelector("a") ?? this.search).focus({ preventScroll: true });
  }

  #onMode() {
    this.#describeSearch();
    this.search.focus();
    this.#onInput();
  }

  #onInput() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      const isWords = this.mode.value === "words";
      const prefix = (isWords ? this.base : this.base + this.search.value).slice(this.view.folderOfURL.length);
      const words = isWords ? this.search.value.trim() : "";
      this.go(this.view.url({ after: null, prefix: prefix || null, words: words || null }), { replace: true });
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
      if (time.className && seconds < 0) return void this.reload();
      time.textContent = formatAge(time.className ? seconds : -seconds);
    }
  }
}

const withoutEmpty = (parameters) => Object.fromEntries(Object.entries(parameters).filter(([, value]) => value));

const folderCells = () => [element("td", { class: "number" }), element("td", { colspan: Object.keys(COLUMNS).length - 2 }, "folder")];

const checkbox = (name) => element("input", { type: "checkbox", "aria-label": `Select ${name}` });

function row(attributes, href, name, image, ...rest) {
  const header = element("th", { scope: "row" }, image, element("a", { href }, element("bdi", {}, name)));
  return element("tr", attributes, element("td", { class: "select" }, checkbox(name)), header, ...rest);
}

function thumbnail(address, meta) {
  if (!THUMBNAIL.test(meta.media_type) || meta.size > THUMBNAIL_SIZE) return null;
  return element("img", { src: `${address}?version=${meta.version}`, alt: "", loading: "lazy" });
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
