// Broken JSON is stored with a JSON type only after a question. Also the line below an editor that says where it is broken.

import { ask, button, element } from "./dom.js";
import { findJSONError, formatJSON } from "./json_text.js";

const CHECK_MS = 300;
const MAX_CHECK_SIZE = 16 * 2 ** 20;
const UNCHECKED = { at: 0, message: "It is too large to be checked here." };

export const isJSONType = (type) => /[/+]json\s*(?:;|$)/i.test(type);
// The type that the server gives to a key without one, where it is JSON.
export const isJSONKey = (key) => /[^/]\.(?:geo)?json$/i.test(key);

// Whether a document would get a JSON type. One that has it keeps it.
export const becomesJSON = (meta, type) => isJSONType(type) && !isJSONType(meta.media_type);

// The text of a Blob, null if it is too large to be checked.
export const textToCheck = async (content) => (content.size <= MAX_CHECK_SIZE ? content.text() : null);

// Return what is wrong with a text as JSON, null if nothing is.
export const errorInJSON = (text) => (text === null ? UNCHECKED : findJSONError(text));

// Return the type to store the text with: `type`, text/plain, or null if the user goes on editing.
export async function confirmJSON(text, type, control) {
  const error = errorInJSON(text);
  if (!error) return type;
  const answers = [["edit", "Keep editing"], ["text", "Save as text/plain"], ["broken", "Save as JSON anyway", "danger"]];
  const answer = await ask(text === null ? "This may not be valid JSON" : "This is not valid JSON", answers, "edit", element("p", {}, error.message),
    element("p", {}, "Programs that read broken JSON fail."));
  if (answer === "broken") return type;
  if (answer === "text") return "text/plain; charset=utf-8";
  control?.focus();
  control?.setSelectionRange(error.at, error.at + 1);
  return null;
}

// Return a line for a text area with JSON: where it is broken, and a button that formats it. `isJSON()` tells whether it is.
export function jsonTools(area, isJSON) {
  const status = element("span", { role: "status" });
  const format = button("Format", () => {
    const error = findJSONError(area.value);
    if (error) return area.setSelectionRange(error.at, error.at + 1), area.focus();
    replaceText(area, formatJSON(area.value));
  });
  const line = element("p", { class: "views json-tools" }, format, status);
  let timer;
  const check = () => {
    line.hidden = !isJSON();
    const error = area.value && !line.hidden ? findJSONError(area.value) : null;
    status.classList.toggle("alert", Boolean(error));
    status.textContent = error ? error.message : "Valid JSON";
  };
  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, CHECK_MS);
  });
  check();
  return Object.assign(line, { check });
}

// Replace the text of an area so that the browser's Undo restores it.
export function replaceText(area, text) {
  area.focus();
  area.select();
  if (!document.execCommand("insertText", false, text)) area.value = text;
  area.setSelectionRange(0, 0);
}
