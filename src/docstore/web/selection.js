// The selection: the rows that are checked, and the bar of actions on all of them. A reload keeps what still exists;
// another view of the list begins without a selection, so no action changes what is not shown.

import { announce, button, element, openDialog } from "./dom.js";
import { formatSize, plural, totalSize } from "./format.js";
import { encode } from "./keys.js";

// Servers accept at least 8,000 bytes in a request line.
const MAX_URL_SIZE = 8000;

export class Selection {
  #names = new Set();
  #place = "";
  #last = null;

  // `load` imports the module of the actions.
  constructor(page, load) {
    Object.assign(this, { page, load, body: page.listing.body });
    this.all = element("input", { type: "checkbox", "aria-label": "Select all on this page", onchange: () => this.#selectAll(this.all.checked) });
    document.querySelector("#documents thead .select").replaceChildren(this.all);
    this.status = element("b", { role: "status" });
    this.buttons = element("span", { class: "buttons" });
    this.bar = element("section", { id: "selection", "aria-label": "Selection", hidden: true }, this.status, this.buttons);
    document.querySelector("#pages").after(this.bar);
    this.body.addEventListener("click", (event) => this.#onClick(event));
    document.querySelector("#view").addEventListener("click", (event) => {
      const link = event.target.closest("[download]");
      if (!link) return;
      event.preventDefault();
      this.#start(link.href);
    });
    page.listing.onshow = () => this.#update();
    this.#place = this.#here();
    this.showActions();
  }

  get isEmpty() {
    return this.#names.size === 0;
  }

  // Show the buttons of what this client may do.
  showActions() {
    const run = (name) => () => this.act(name);
    const { writable, removable, rule } = this.page;
    const more = [
      writable && removable && rule === "path" ? button("Move", run("moveAll")) : null,
      writable ? button("Fields", run("editAll")) : null,
      removable ? button("Delete", run("removeAll"), { class: "danger", "aria-keyshortcuts": "Delete" }) : null,
    ];
    this.buttons.replaceChildren(...[button("Download zip", () => this.#download("zip")), button("Download tar", () => this.#download("tar")),
      ...more, button("Clear", () => this.clear(), { "aria-keyshortcuts": "Escape" })].filter(Boolean));
  }

  clear() {
    this.#names.clear();
    this.#check();
    if (!document.activeElement?.closest("#documents")) (this.body.querySelector("a") ?? this.page.listing.search).focus({ preventScroll: true });
  }

  toggle(link) {
    const box = link.closest("tr").querySelector(".select input");
    box.click();
  }

  // Run an action of bulk.js on the selected documents and folders.
  async act(name) {
    if (this.busy) return;
    this.busy = true;
    try {
      const actions = await this.load();
      await actions[name](this.page, await this.#selected());
    } catch (error) {
      openDialog("Action failed").showError(error);
    }
    this.busy = false;
  }

  // The selected documents and the names of the selected folders.
  async #selected() {
    const { documents, folders = [] } = await this.page.listing.listed();
    return { documents: documents.filter((meta) => this.#names.has(meta.key)), folders: folders.filter((name) => this.#names.has(name)) };
  }

  #name = (row) => this.page.listing.nameOf(row);

  #onClick(event) {
    const box = event.target.closest(".select input");
    if (!box) return;
    const rows = [...this.body.rows];
    const here = rows.indexOf(box.closest("tr"));
    // By name: the rows may have been drawn again since.
    const last = event.shiftKey ? rows.findIndex((row) => this.#name(row) === this.#last) : -1;
    const [first, end] = last < 0 ? [here, here] : [Math.min(here, last), Math.max(here, last)];
    for (const row of rows.slice(first, end + 1)) this.#set(this.#name(row), box.checked);
    this.#last = this.#name(rows[here]);
    this.#check();
  }

  #set(name, isSelected) {
    if (isSelected) this.#names.add(name);
    else this.#names.delete(name);
  }

  #selectAll(isSelected) {
    for (const row of this.body.rows) this.#set(this.#name(row), isSelected);
    this.#check();
  }

  #here = () => JSON.stringify([this.page.listing.view.query, this.page.listing.view.words]);

  // The list shows other rows now.
  #update() {
    const place = this.#here();
    const shown = new Set([...this.body.rows].map(this.#name));
    this.#names = place === this.#place ? new Set([...this.#names].filter((name) => shown.has(name))) : new Set();
    this.#place = place;
    this.#check();
  }

  async #check() {
    for (const row of this.body.rows) {
      const isSelected = this.#names.has(this.#name(row));
      row.classList.toggle("selected", isSelected);
      row.querySelector(".select input").checked = isSelected;
    }
    const count = this.#names.size;
    this.all.checked = count > 0 && count === this.body.rows.length;
    this.all.indeterminate = count > 0 && !this.all.checked;
    this.bar.hidden = !count;
    if (!count) return;
    this.status.textContent = `${count.toLocaleString("en")} selected`;
    const { documents, folders } = await this.#selected().catch(() => ({ documents: [], folders: [] }));
    if (!documents.length && !folders.length) return;
    const parts = [folders.length && plural(folders.length, "folder"), documents.length && `${plural(documents.length, "key")}, ${formatSize(totalSize(documents))}`];
    if (this.#names.size === count) this.status.textContent = `Selected: ${parts.filter(Boolean).join(", ")}`;
  }

  #download(format) {
    const { folder } = this.page.listing;
    const keys = [...this.#names].map((name) => name.slice(folder.length)).join("\n");
    return this.#start(`${this.page.collection.mount}${encode(folder)}?format=${format}&keys=${encodeURIComponent(keys)}`);
  }

  // Download an archive. The server is asked first whether it can, because browsers do not show why a download failed.
  async #start(url) {
    try {
      if (url.length > MAX_URL_SIZE) throw new Error("The names of these keys are too long for one download. Select fewer, or download the folder.");
      await this.page.collection.check(url);
      element("a", { href: url, download: "" }).click();
      announce("The download has started.");
    } catch (error) {
      openDialog("Download failed").showError(error);
    }
  }
}
