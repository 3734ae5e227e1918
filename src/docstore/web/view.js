// The state of the list: the URL says which part of the collection it shows; how it is shown, by folders or flat and in
// which order, is remembered for each mount. This module knows neither the server nor the elements of the page.

export const COLUMNS = {
  key: (meta) => meta.key,
  size: (meta) => meta.size,
  type: (meta) => meta.media_type,
  age: (meta) => -Date.parse(meta.modified),
  expires: (meta) => (meta.expires ? Date.parse(meta.expires) : Infinity),
};

const isLess = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

export class View {
  #memory;

  // `hasFolders` is whether the keys of the mount may have slashes.
  constructor(mount, hasFolders) {
    Object.assign(this, { mount, hasFolders });
    this.#memory = { flat: false, column: "key", descending: false, ...this.#recall() };
    if (!Object.hasOwn(COLUMNS, this.#memory.column)) this.#memory.column = "key";
  }

  // Browsers that store nothing for this site throw.
  #recall() {
    try {
      return JSON.parse(localStorage.getItem(`docstore-view ${this.mount}`)) ?? {};
    } catch {
      return {};
    }
  }

  remember(changes) {
    Object.assign(this.#memory, changes);
    try {
      localStorage.setItem(`docstore-view ${this.mount}`, JSON.stringify(this.#memory));
    } catch {
      // The choice holds until the page is closed.
    }
  }

  get order() {
    const { column, descending } = this.#memory;
    return { column, descending };
  }

  // Whether the server rendered the list in another way than it is to be shown.
  get differsFromServer() {
    const { column, descending } = this.order;
    const isFlat = this.hasFolders && this.#memory.flat && !this.#given.has("delimiter");
    return column !== "key" || descending || isFlat || Boolean(this.words);
  }

  get #given() {
    return new URLSearchParams(location.search);
  }

  // The folder of the URL, "" for the collection.
  get folderOfURL() {
    return decodeURIComponent(location.pathname.slice(this.mount.length));
  }

  get query() {
    const given = this.#given;
    const remembered = this.hasFolders && !this.#memory.flat ? "/" : "";
    return { prefix: this.folderOfURL + (given.get("prefix") ?? ""), delimiter: given.get("delimiter") ?? remembered,
      after: given.get("after") ?? "", limit: given.get("limit") ?? "" };
  }

  // The words that keys must contain; "" for a list that is not filtered by words.
  get words() {
    return (this.#given.get("words") ?? "").trim();
  }

  // The folder shown, in which new documents are created.
  get folder() {
    const { prefix, delimiter } = this.query;
    return delimiter ? prefix.slice(0, prefix.lastIndexOf("/") + 1) : this.folderOfURL;
  }

  // The URL of this view with other parameters; null removes one.
  url(changes) {
    const parameters = this.#given;
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) parameters.delete(name);
      else parameters.set(name, value);
    }
    return location.pathname + (parameters.size ? `?${parameters}` : "");
  }

  // Sort documents as remembered. The server sends them in the order of their keys.
  sort(documents) {
    const { column, descending } = this.order;
    const value = COLUMNS[column];
    const sorted = column === "key" ? [...documents] : documents.toSorted((a, b) => isLess(value(a), value(b)));
    return descending ? sorted.reverse() : sorted;
  }
}
