// What is done to a document beside its content: delete and undo, rename, fields and life. Each reads the content and
// stores it again under conditions, for HTTP has no other way; nothing is overwritten that was not looked at.

import { button, element, field, input, note, openDialog, question, say } from "./elements.js";
import { life, moment, parseLife, size } from "./figures.js";
import { fits, rule } from "./keys.js";
import { etagOf, headersOf, now, Problem } from "./store.js";

const COPIED = 512 * 2 ** 20;
const KEPT = 64 * 2 ** 20;
let kept = 0;

// Stored in a coding, which a browser takes off: the bytes can't be stored again as they are.
export const unpacked = (meta) => meta.fields?.["content-encoding"];

function checkCopied(meta) {
  if (unpacked(meta)) {
    throw new Error(`It is stored in the coding ${unpacked(meta)}, which a browser takes off. Use a program, such as curl.`);
  }
  if (meta.size > COPIED) throw new Error(`It has more than ${size(COPIED)}. Use a program, such as curl.`);
}

// Here and below the result is the key whose sheet to show next, null for none, undefined for no change.
export async function remove(page, meta) {
  const keeps = !unpacked(meta) && kept + meta.size <= KEPT;
  const words = "It is too large, or stored in a coding, to be kept here for an undo.";
  const answers = [["keep", "Keep it"], ["delete", "Delete for good", "danger"]];
  if (!keeps && (await question(`Delete ${meta.key}?`, answers, "keep", element("p", {}, words))) !== "delete") return undefined;
  const content = keeps ? await page.collection.content(meta) : null;
  await page.collection.remove(meta);
  page.changed();
  if (!content) return say(`Deleted ${meta.key}.`) ?? null;
  kept += meta.size;
  const undo = async () => {
    if (meta.expires && Date.parse(meta.expires) <= now()) throw new Error(`The time of ${meta.key} has passed.`);
    await page.collection.put(meta.key, content, headersOf(meta), null).catch((error) => {
      throw error.status === 412 ? new Error(`Another document is ${meta.key} now.`) : error;
    });
    page.changed();
    say(`${meta.key} is back.`);
  };
  note(`Deleted ${meta.key}.`, "Undo", undo, () => {
    kept -= meta.size;
  });
  return null;
}

const saving = (event) => {
  if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.currentTarget.requestSubmit();
};

// A dialog with a form. `store` throws what goes wrong; its result is the dialog's.
export function form(title, kind, controls, text, store, mayClose) {
  return new Promise((resolve) => {
    let result;
    const save = element("button", { class: "primary" }, text);
    const made = element("form", { novalidate: true, onkeydown: saving, onsubmit: async (event) => {
      event.preventDefault();
      if (save.disabled) return;
      dialog.wrong("");
      save.disabled = true;
      try {
        result = await store(dialog);
        if (result !== undefined) dialog.close();
      } catch (error) {
        dialog.wrong(error);
      }
      save.disabled = false;
    } }, ...controls, element("p", { class: "buttons" }, save, button("Cancel", () => dialog.leave())));
    const dialog = openDialog(title, { kind, mayClose, onclose: () => resolve(result) }, made);
    dialog.leave = async () => (await (mayClose?.() ?? true)) && dialog.close();
  });
}

export function keyField(page, value) {
  return field("Key", input({ value, autofocus: true, name: "key" }), rule(page.rule));
}

export function checkKey(page, control) {
  const key = control.value;
  if (!fits(page.rule, key)) throw new Error(`A key here is ${rule(page.rule)}.`);
  return key;
}

export async function rename(page, meta) {
  checkCopied(meta);
  const named = keyField(page, meta.key);
  return form(`Rename ${meta.key}`, "", [named], "Rename", async () => {
    const key = checkKey(page, named.children[1]);
    if (key === meta.key) return null;
    const content = await page.collection.content(meta);
    await page.collection.put(key, content, headersOf(meta), null).catch((error) => {
      throw error.status === 412 ? new Error(`There is a document ${key} already.`) : error;
    });
    page.changed();
    try {
      await page.collection.remove(meta);
    } catch (error) {
      throw new Problem(error.status, `Stored as ${key}, but ${meta.key} was not deleted`, error.message);
    }
    say(`Renamed to ${key}.`);
    return key;
  }).then((key) => key ?? undefined);
}

// The fields that are stored with a document, as controls; `read` gives the header fields, or throws.
export function fieldControls(meta) {
  const left = meta.expires ? life(Math.max(1, Math.ceil((Date.parse(meta.expires) - now()) / 1000))) : "";
  const type = input({ value: meta.media_type });
  const lives = input({ value: left, placeholder: "for ever" });
  const others = Object.entries(meta.fields ?? {}).map(([name, value]) => `${name}: ${value}\n`).join("");
  const more = element("textarea", { value: others, rows: 3, spellcheck: "false" });
  const read = () => {
    const headers = { "Content-Type": type.value.trim() };
    const seconds = parseLife(lives.value);
    if (seconds === undefined) throw new Error("A life is a number of s, min, h, d or y, as in 12 h.");
    // Who did not touch the life did not mean to prolong it.
    if (seconds !== null) headers.TTL = lives.value === left ? headersOf(meta).TTL : String(seconds);
    for (const line of more.value.split("\n").filter((line) => line.trim())) {
      const [, name, value] = /^\s*((?:meta-[^\s:]+)|content-(?:language|disposition)|cache-control)\s*:\s*(.*?)\s*$/i.exec(line) ?? [];
      if (!name) throw new Error(`"${line}" is no field that is stored: Meta-\u2026, Cache-Control, Content-Language, Content-Disposition.`);
      headers[name] = value;
    }
    return headers;
  };
  const until = meta.expires ? `until ${moment(meta.expires)}; nothing is for ever` : "as in 90 s, 12 h, 7 d; nothing is for ever";
  return { read, controls: [field("Type", type), field("Lives for", lives, until),
    field("Other fields", more, "one a line, as in Meta-Author: Ann or Cache-Control: max-age=60")] };
}

export async function change(page, meta) {
  checkCopied(meta);
  const { read, controls } = fieldControls(meta);
  return form(`Fields of ${meta.key}`, "", controls, "Save", async () => {
    const headers = read();
    const content = await page.collection.content(meta);
    await page.collection.put(meta.key, content, headers, etagOf(meta));
    page.changed();
    say("Saved.");
    return meta.key;
  });
}
