// The page of a collection: joins the list, the sheet, the editor and the uploads, and holds the address and the keys of
// the keyboard. Without it the page is the list of links that the server made. What is not the list is loaded when it is
// first asked for.

import { button, element, openDialog } from "./elements.js";
import { Listing } from "./listing.js";
import { Collection, encode, Problem } from "./store.js";

const { mount, keys } = document.querySelector("main").dataset;
const NO_SHORTCUTS = "docstore-no-shortcuts";
const CHANGED_MS = 300;

const page = {
  collection: new Collection(mount),
  rule: keys,
  writable: false,
  sheet: null,

  open(key) {
    if (key === null || key === undefined) return;
    history.pushState({ ...history.state, sheet: true }, "", `#${encode(key)}`);
    showSheet().catch(tell);
  },
  // The sheet of another key, or null for none, in place of the open one.
  replaceSheet(key) {
    // It may have been left by the browser's Back, with a dialog still open over it.
    if (!page.sheet) return page.open(key);
    if (key === null) return page.sheet.close();
    history.replaceState(history.state, "", `#${encode(key)}`);
    page.sheet.replaced = true;
    page.sheet.close();
    showSheet().catch(tell);
  },
  // Documents were written; many writes are one look at the list.
  changed() {
    page.waiting ??= setTimeout(() => {
      page.waiting = null;
      page.listing.reload();
    }, CHANGED_MS);
  },
};
page.listing = new Listing(page.collection, page.open);

const broken = () => {
  throw new Problem(0, "a part of this page can't be loaded", "", "Look whether the store runs, then load the page again.");
};
const load = {
  changes: () => import("./changes.js").catch(broken),
  editing: () => import("./editing.js").catch(broken),
  sheet: () => import("./sheet.js").catch(broken),
  uploads: () => import("./uploads.js").catch(broken),
};
const tell = (error) => {
  openDialog("That did not work").wrong(error);
};

async function upload(entries) {
  try {
    const { Uploads } = await load.uploads();
    page.uploads ??= new Uploads(page);
    await page.uploads.add(entries);
  } catch (error) {
    tell(error);
  }
}

async function showSheet() {
  const { hash } = location;
  if (hash.length < 2) return;
  let key;
  try {
    key = decodeURIComponent(hash.slice(1));
  } catch {
    return;
  }
  const { openSheet } = await load.sheet();
  if (location.hash !== hash) return;
  const closed = openSheet(page, key);
  const { sheet } = page;
  await closed;
  if (page.sheet === sheet) page.sheet = null;
  // The address may lead elsewhere by now: closing is told a moment later.
  if (page.sheet || sheet.replaced || location.hash !== hash) return;
  if (history.state?.sheet) history.back();
  else history.replaceState(history.state, "", location.pathname + location.search);
}

addEventListener("popstate", () => {
  page.sheet?.close();
  showSheet().catch(tell);
  page.listing.follow();
});

const newDocument = () => load.editing().then(async ({ create }) => page.open(await create(page))).catch(tell);
const files = (more) => {
  const picker = element("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files to upload", ...more });
  picker.addEventListener("change", () => {
    upload([...picker.files]);
    picker.value = "";
  });
  return picker;
};
const [picker, folderPicker] = [files({ id: "files" }), files({ id: "folder", webkitdirectory: true })];
const tools = document.querySelector("#tools");
tools.replaceChildren(page.listing.search);
const said = element("p", { id: "said", class: "unseen", role: "status" });
document.querySelector("main").append(said, element("ul", { id: "notes", "aria-label": "Notes" }));
document.querySelector("footer").append(" ", button("shortcuts", shortcuts, { class: "link" }));

const letters = {
  "/": ["find a key", () => page.listing.search.focus()],
  n: ["new document", () => page.writable && newDocument()],
  u: ["upload files", () => page.writable && picker.click()],
  "?": ["these shortcuts", () => shortcuts()],
};
const others = {
  "\u2191 \u2193 Home End": "go through the keys",
  Enter: "open a key; from the search, the first one",
  "e r f": "in a document: edit, rename, fields",
  Delete: "delete the document that is open, or that the focus is on",
  "Ctrl+S": "save while editing",
  Escape: "close what is open",
};

function shortcuts() {
  const off = element("input", { type: "checkbox", onchange: () => localStorage.setItem(NO_SHORTCUTS, off.checked ? "1" : "") });
  off.checked = Boolean(localStorage.getItem(NO_SHORTCUTS));
  const rows = { ...Object.fromEntries(Object.entries(letters).map(([key, [text]]) => [key, text])), ...others };
  openDialog("Shortcuts", {}, element("dl", {}, ...Object.entries(rows).flatMap(([key, text]) =>
    [element("dt", {}, element("kbd", {}, key)), element("dd", {}, text)])),
  element("p", {}, element("label", {}, off, " No shortcuts of single letters")));
}

addEventListener("keydown", async (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.("input, textarea, select")) return;
  const dialogs = document.querySelectorAll("dialog");
  if (event.key.length === 1 && localStorage.getItem(NO_SHORTCUTS)) return;
  const action = dialogs.length === 1 && dialogs[0].querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (action) {
    event.preventDefault();
    action.click();
  } else if (!dialogs.length && event.key in letters) {
    event.preventDefault();
    letters[event.key][1]();
  } else if (!dialogs.length && event.key === "Delete" && page.writable && event.target.matches("tr:not(.folder) a")) {
    try {
      const { remove } = await load.changes();
      const meta = await page.collection.describe(page.listing.keyOf(event.target));
      if (meta) await remove(page, meta);
    } catch (error) {
      tell(error);
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

page.collection.allowed().then((allowed) => {
  page.writable = allowed.has("PUT");
  if (!page.writable) return tools.append(element("small", {}, "This store is open for reading only."));
  tools.append(
    button("New", newDocument, { class: "primary", "aria-keyshortcuts": "n" }),
    button("Upload", () => picker.click(), { "aria-keyshortcuts": "u" }),
    button("Folder", () => folderPicker.click(), { "aria-label": "Upload a folder" }), picker, folderPicker);
}).catch((error) => tools.append(element("small", { class: "alert", role: "alert" }, error.message)))
  .finally(() => document.documentElement.setAttribute("data-ready", ""));
showSheet().catch(tell);
