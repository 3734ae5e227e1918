// Text, written anew or in place. A save names the version that it replaces; when another was faster, both are shown
// side by side and the person decides. It knows nothing of what else a document can be.

import { checkKey, fieldControls, form, keyField } from "./changes.js";
import { button, element, question, say } from "./elements.js";
import { etagOf, headersOf } from "./store.js";

export const EDITED = 2 ** 20;
const COMPARED = 4_000_000;

const area = (value, label) => element("textarea", { value, class: "text", "aria-label": label, spellcheck: "false" });
const leaving = () => question("Leave without saving?", [["stay", "Go on editing"], ["leave", "Leave", "danger"]], "stay");

function guard(isChanged) {
  const warn = (event) => isChanged() && event.preventDefault();
  addEventListener("beforeunload", warn);
  return () => removeEventListener("beforeunload", warn);
}

export async function create(page) {
  const named = keyField(page, page.listing.folder);
  const { read, controls } = fieldControls({ media_type: "text/plain; charset=utf-8" });
  const content = area("", "Content");
  const unguard = guard(() => content.value);
  const mayClose = async () => !content.value || (await leaving()) === "leave";
  const key = await form("New document", "wide", [named, content, element("details", {}, element("summary", {}, "Type, life, fields"), ...controls)],
    "Store", async () => {
      const key = checkKey(page, named.children[1]);
      await page.collection.put(key, new Blob([content.value]), read(), null).catch((error) => {
        throw error.status === 412 ? new Error(`There is a document ${key} already. Choose another key, or edit that one.`) : error;
      });
      page.changed();
      say(`Stored ${key}.`);
      return key;
    }, mayClose);
  unguard();
  return key;
}

// The text with its line ends, which a textarea would make all alike.
async function read(page, meta) {
  const bytes = await (await page.collection.content(meta)).arrayBuffer();
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error("Only UTF-8 text can be edited here. Download it, and upload it when it is changed.");
  }
  const [all, windows] = [text.match(/\r\n?|\n/g) ?? [], text.match(/\r\n/g) ?? []];
  const end = all.length && all.length === windows.length ? "\r\n" : "\n";
  const mixed = text.replaceAll("\r\n", "\n") !== text && end === "\n" || /\r(?!\n)/.test(text);
  return { text: text.replace(/\r\n?/g, "\n"), end, mixed };
}

export async function edit(page, first) {
  if (/charset="?(?!utf-8|us-ascii)[^;]/i.test(first.media_type)) throw new Error("Only UTF-8 text can be edited here.");
  let base = { meta: first, ...(await read(page, first)) };
  const mine = area(base.text, "Content");
  mine.autofocus = true;
  const columns = element("div", { class: "columns" }, mine);
  const unguard = guard(() => mine.value !== base.text);
  const mayClose = async () => mine.value === base.text || (await leaving()) === "leave";
  let dialog;
  const store = async (opened) => {
    dialog = opened;
    const content = new Blob([mine.value.replaceAll("\n", base.end)]);
    const { meta } = base;
    try {
      await page.collection.put(first.key, content, headersOf(meta ?? first), meta && etagOf(meta));
    } catch (error) {
      if (error.status !== 412 && error.status !== 409) throw error;
      await compare();
      return undefined;
    }
    page.changed();
    say(`Saved ${first.key}.`);
    return first.key;
  };
  // From here on a save replaces what is shown as theirs, and nothing newer.
  const compare = async () => {
    const meta = await page.collection.describe(first.key);
    const theirs = meta ? await read(page, meta).catch(() => ({ text: "", end: base.end, binary: true })) : null;
    base = { ...base, meta, end: theirs?.end ?? base.end };
    const use = () => {
      mine.value = base.text = theirs.text;
      columns.replaceChildren(mine);
      dialog.classList.remove("conflict");
      dialog.wrong("");
      mine.focus();
    };
    const lines = theirs && !theirs.binary ? compared(mine.value.split("\n"), theirs.text.split("\n")) : [];
    const shown = !theirs ? "It was deleted." : theirs.binary ? "It is no text any more." :
      element("pre", { tabindex: 0, "aria-label": "Theirs" }, ...lines.flatMap(([line, same]) => [same ? line : element("mark", {}, line), "\n"]));
    columns.replaceChildren(
      element("section", {}, element("h3", {}, "Mine"), mine),
      element("section", {}, element("h3", {}, "Theirs"), shown, theirs && !theirs.binary ? button("Use theirs", use) : null));
    dialog.classList.add("conflict");
    dialog.wrong("Somebody else was faster. Merge by hand on the left, or use theirs; Save then replaces what is on the right.");
    mine.focus();
  };
  const notes = base.mixed ? element("p", { class: "told" }, "Its line ends are of several kinds; saved they are all alike.") : null;
  const key = await form(`Edit ${first.key}`, "wide", [notes, columns].filter(Boolean), "Save", store, mayClose);
  unguard();
  return key;
}

// The lines of `theirs`, each with whether it is in `mine` too, in order (longest common subsequence).
function compared(mine, theirs) {
  let first = 0;
  while (first < Math.min(mine.length, theirs.length) && mine[first] === theirs[first]) first += 1;
  let [a, b] = [mine.length, theirs.length];
  while (a > first && b > first && mine[a - 1] === theirs[b - 1]) [a, b] = [a - 1, b - 1];
  const [left, right] = [mine.slice(first, a), theirs.slice(first, b)];
  const same = new Set();
  if (left.length * right.length <= COMPARED) {
    const width = right.length + 1;
    const length = new Uint32Array((left.length + 1) * width);
    for (let i = left.length - 1; i >= 0; i -= 1) {
      for (let j = right.length - 1; j >= 0; j -= 1) {
        const [down, across] = [length[(i + 1) * width + j], length[i * width + j + 1]];
        length[i * width + j] = left[i] === right[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(down, across);
      }
    }
    for (let [i, j] = [0, 0]; i < left.length && j < right.length; ) {
      if (left[i] === right[j]) same.add(first + j), (i += 1), (j += 1);
      else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i += 1;
      else j += 1;
    }
  }
  return theirs.map((line, index) => [line, index < first || index >= b || same.has(index)]);
}
