// The page of a collection: it connects listing, detail view, editor and uploads, and handles the URL, shortcuts and
// drops. Without this script the page is the list of links that the server rendered. Modules that the list does not need
// are loaded at their first use.

import { areShortcutsOff, button, element, openDialog, setShortcutsOff } from "./dom.js";
import { Collection } from "./http.js";
import { encode } from "./keys.js";
import { Listing } from "./listing.js";
import { Selection } from "./selection.js";
import { View } from "./view.js";

const { mount, keys, storedHeaders } = document.querySelector("main").dataset;
const requestNames = new Map(storedHeaders.split(" ").map((pair) => pair.split("=")));
const CHANGED_MS = 300;

const page = {
  collection: new Collection(new URL(mount, location).pathname, requestNames),
  rule: keys,
  // The page stores contents as browsers decode them, so it never sets a coding.
  storedHeaders: [...requestNames.keys()].filter((name) => name !== "content-encoding"),
  writable: false,
  removable: false,
  detail: null,

  open(key) {
    if (key === null || key === undefined) return;
    history.pushState({ ...history.state, detail: true }, "", `#${encode(key)}`);
    showDetail().catch(showError);
  },
  // Show another key in the detail view, or close the view if `key` is null. `step`: see openDetail.
  replaceDetail(key, step) {
    // Back in the browser may have closed the view under an open dialog.
    if (!page.detail) return page.open(key);
    if (key === null) return page.detail.close();
    history.replaceState(history.state, "", `#${encode(key)}`);
    page.detail.replaced = true;
    page.detail.close();
    showDetail(step).catch(showError);
  },
  // Reload the list after writes; writes in quick succession cause one reload.
  changed() {
    page.waiting ??= setTimeout(() => {
      page.waiting = null;
      page.listing.reload();
    }, CHANGED_MS);
  },
};
page.listing = new Listing(page.collection, new View(page.collection.mount, keys === "path"), page.open);

const loadFailed = () => {
  throw new Error("A part of this page can't be loaded. Check that the store runs, then reload the page.");
};
const load = {
  actions: () => import("./actions.js").catch(loadFailed),
  bulk: () => import("./bulk.js").catch(loadFailed),
  editing: () => import("./editing.js").catch(loadFailed),
  detail: () => import("./detail.js").catch(loadFailed),
  uploads: () => import("./uploads.js").catch(loadFailed),
};
page.selection = new Selection(page, load.bulk);
const showError = (error) => {
  openDialog("Action failed").showError(error);
};

async function upload(entries) {
  try {
    const { Uploads } = await load.uploads();
    page.uploads ??= new Uploads(page);
    await page.uploads.add(entries);
  } catch (error) {
    showError(error);
  }
}

async function showDetail(step) {
  const { hash } = location;
  if (hash.length < 2) return;
  let key;
  try {
    key = decodeURIComponent(hash.slice(1));
  } catch {
    return;
  }
  const { openDetail } = await load.detail();
  if (location.hash !== hash) return;
  const closed = openDetail(page, key, step);
  const { detail } = page;
  await closed;
  if (page.detail === detail) page.detail = null;
  // The URL may have changed meanwhile, because `close` events are asynchronous.
  if (page.detail || detail.replaced || location.hash !== hash) return;
  if (history.state?.detail) history.back();
  else history.replaceState(history.state, "", location.pathname + location.search);
}

const refresh = () => document.hidden || document.querySelector("dialog") || page.listing.refresh();
addEventListener("focus", refresh);
document.addEventListener("visibilitychange", refresh);

addEventListener("popstate", () => {
  page.detail?.close();
  showDetail().catch(showError);
  page.listing.follow();
});

const newDocument = () => load.editing().then(async ({ create }) => page.open(await create(page))).catch(showError);
const filePicker = (more) => {
  const picker = element("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files to upload", ...more });
  picker.addEventListener("change", () => {
    upload([...picker.files]);
    picker.value = "";
  });
  return picker;
};
const [picker, folderPicker] = [filePicker({ id: "files" }), filePicker({ id: "folder", webkitdirectory: true })];
const tools = document.querySelector("#tools");
tools.replaceChildren(element("span", { id: "filter" }, page.listing.mode, page.listing.search));
const announcement = element("p", { id: "announcement", class: "visually-hidden", role: "status" });
document.querySelector("main").append(announcement, element("ul", { id: "notes", "aria-label": "Notes" }));
document.querySelector("footer").append(" ", button("Shortcuts", shortcuts, { class: "link" }));

const letters = {
  "/": ["filter keys", () => page.listing.search.focus()],
  n: ["new document", () => page.writable && newDocument()],
  u: ["upload files", () => page.writable && picker.click()],
  x: ["select the focused row", () => document.activeElement.matches("#documents tbody a") && page.selection.toggle(document.activeElement)],
  "?": ["show shortcuts", () => shortcuts()],
};
const others = {
  "\u2191 \u2193 Home End": "move through the list",
  Enter: "open a document; in the search field, the first one",
  "j k \u2192 \u2190": "in a document: next, previous document",
  "+ - 0": "in an image: zoom in, zoom out, fit",
  "e r f s": "in a document: edit, rename, edit fields, share",
  Delete: "delete the open or focused document, or the selection",
  "Ctrl+S": "save while editing",
  Escape: "close the dialog; without one, clear the selection",
};

function shortcuts() {
  const off = element("input", { type: "checkbox", onchange: () => setShortcutsOff(off.checked) });
  off.checked = areShortcutsOff();
  const rows = { ...Object.fromEntries(Object.entries(letters).map(([key, [text]]) => [key, text])), ...others };
  openDialog("Shortcuts", {}, element("dl", {}, ...Object.entries(rows).flatMap(([key, text]) =>
    [element("dt", {}, element("kbd", {}, key)), element("dd", {}, text)])),
  element("p", {}, element("label", {}, off, " Disable single-key shortcuts")));
}

addEventListener("keydown", async (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.("input:not([type=checkbox]), textarea, select")) return;
  const dialogs = document.querySelectorAll("dialog");
  if (event.key.length === 1 && areShortcutsOff()) return;
  const action = dialogs.length === 1 && dialogs[0].querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (action) {
    event.preventDefault();
    action.click();
  } else if (!dialogs.length && event.key in letters) {
    event.preventDefault();
    letters[event.key][1]();
  } else if (!dialogs.length && event.key === "Escape" && !page.selection.isEmpty) {
    page.selection.clear();
  } else if (!dialogs.length && event.key === "Delete" && page.removable && !page.selection.isEmpty) {
    await page.selection.act("removeAll");
  } else if (!dialogs.length && event.key === "Delete" && page.removable && event.target.matches("tr:not(.folder) a")) {
    try {
      const { remove } = await load.actions();
      const meta = await page.collection.fetchMeta(page.listing.keyOf(event.target));
      if (meta) await remove(page, meta);
    } catch (error) {
      showError(error);
    }
  }
});

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.toggle("dropping", page.writable);
});
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (!page.writable || document.querySelector("dialog")) return;
  const entries = [...event.dataTransfer.items].filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  if (entries.length) upload(entries);
});

// Show the tools of what this client may do in the folder shown. A token may allow a part of the keys: ask for a new key,
// and for the first document.
async function showTools() {
  const { folder } = page.listing;
  if (folder === toolsOf) return;
  toolsOf = folder;
  const first = page.listing.body.querySelector("tr:not(.folder) a");
  const keys = [`${folder}any`, ...(first ? [page.listing.keyOf(first)] : [])];
  let shown = [];
  try {
    const rights = await Promise.all(keys.map((key) => page.collection.rights(key)));
    if (folder !== toolsOf) return;
    page.writable = rights.some(({ writable }) => writable);
    page.removable = rights.some(({ removable }) => removable);
    if (page.writable) shown = writing;
    else if (!page.removable) shown = [onlyReading];
  } catch (error) {
    if (folder !== toolsOf) return;
    toolsOf = null;
    shown = [element("small", { class: "alert", role: "alert" }, error.message)];
  }
  page.selection.showActions();
  const before = [...tools.children].slice(1);
  if (before[0] === shown[0]) return;
  before.forEach((node) => node.remove());
  tools.append(...shown);
}
let toolsOf = null;
const onlyReading = element("small", {}, "You may only read here.");
const writing = [
  button("New", newDocument, { class: "primary", "aria-keyshortcuts": "n" }),
  button("Upload", () => picker.click(), { "aria-keyshortcuts": "u" }),
  button("Upload folder", () => folderPicker.click()), picker, folderPicker];
const { onshow } = page.listing;
page.listing.onshow = () => {
  onshow();
  showTools();
};
showTools().finally(() => document.documentElement.setAttribute("data-ready", ""));
showDetail().catch(showError);
