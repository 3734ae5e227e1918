// DOM helpers: elements, fields, dialogs with focus handling, notes, and announcements for screen readers; also whether
// shortcuts are off. They create text nodes and never parse markup, so a key or a content stays text. This module knows
// nothing of documents.

// Children are nodes, texts, null, or arrays of these; long lists of children are passed as an array.
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child != null) node.append(child);
  return node;
}

export const button = (text, onclick, attributes = {}) =>
  element("button", { type: "button", onclick, ...attributes }, text);

let ids = 0;

// Return a labelled control. Screen readers read `hint` after the label.
export function field(label, control, hint) {
  control.id = `field-${(ids += 1)}`;
  const note = hint && element("small", { id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return element("p", { class: "field" }, element("label", { for: control.id }, label), control, note);
}

export const input = (attributes) =>
  element("input", { autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...attributes });

// Return a text that can't be changed, with a button that copies it.
export function copyLine(label, text) {
  const shown = input({ readonly: true, value: text, "aria-label": label, onfocus: () => shown.select() });
  const copy = button("Copy", async () => {
    shown.select();
    // The clipboard API needs a secure context; execCommand works elsewhere.
    await (navigator.clipboard?.writeText(text) ?? document.execCommand("copy"));
    copy.textContent = "Copied";
  }, { "aria-label": `Copy ${label}`, "aria-live": "polite" });
  return element("p", {}, element("span", { "aria-hidden": true }, label), shown, copy);
}

const NO_SHORTCUTS = "docstore-no-shortcuts";

// Whether the user disabled shortcuts of a single key. Browsers that store nothing for this site throw.
export function areShortcutsOff() {
  try {
    return Boolean(localStorage.getItem(NO_SHORTCUTS));
  } catch {
    return false;
  }
}

export const setShortcutsOff = (isOff) => localStorage.setItem(NO_SHORTCUTS, isOff ? "1" : "");

export const announce = (text) => {
  document.getElementById("announcement").textContent = text;
};

// Open a modal dialog. Escape and the close button call `mayClose` first. On close, the focus returns to the element that
// had it, or to the list if that element was removed.
export function openDialog(title, { kind = "", mayClose = () => true, onclose = () => {} } = {}, ...children) {
  const before = document.activeElement;
  const heading = element("h2", { id: `title-${(ids += 1)}` }, element("bdi", {}, title));
  const alert = element("p", { class: "alert", role: "alert" });
  const dialog = element("dialog", { class: kind, "aria-labelledby": heading.id });
  const close = async () => (await mayClose()) && dialog.close();
  const cross = button("\u00d7", close, { class: "cross", "aria-label": "Close" });
  dialog.append(element("div", { class: "title" }, heading, cross), alert, ...children);
  const onEscape = (event) => {
    event.preventDefault();
    close();
  };
  // Browsers fire `cancel` if nothing has the focus, and for gestures. After a second Escape they may close the dialog
  // without firing it, so Escape is handled here too.
  dialog.addEventListener("keydown", (event) => event.key === "Escape" && !event.defaultPrevented && onEscape(event));
  dialog.addEventListener("cancel", onEscape);
  dialog.addEventListener("close", () => {
    dialog.remove();
    const next = before?.isConnected ? before : document.querySelector("#documents a, #search");
    next?.focus();
    onclose();
  });
  document.body.append(dialog);
  dialog.showModal();
  (dialog.querySelector("[autofocus]") ?? cross).focus();
  return Object.assign(dialog, {
    showError: (text) => {
      alert.textContent = text instanceof Error ? text.message : text;
    },
  });
}

// Ask a question and return the name of the answer, or `otherwise` after Escape. `answers` are [name, text, class].
export function ask(title, answers, otherwise, ...children) {
  return new Promise((resolve) => {
    let answer = otherwise;
    const choose = (name) => () => {
      answer = name;
      dialog.close();
    };
    const buttons = answers.map(([name, text, kind], index) =>
      button(text, choose(name), { class: kind, autofocus: index === 0 }));
    const dialog = openDialog(title, { kind: "question", onclose: () => resolve(answer) }, ...children,
      element("p", { class: "buttons" }, ...buttons));
  });
}

// Show a note with one action at the end of the page, until it is dismissed or three newer notes follow.
export function showNote(text, action, act, ondismiss = () => {}) {
  const dismiss = () => {
    line.remove();
    ondismiss();
  };
  const done = button(action, async () => {
    done.disabled = true;
    try {
      await act();
      dismiss();
    } catch (error) {
      done.disabled = false;
      message.textContent = error.message;
    }
  });
  const message = element("span", {}, text);
  const line = element("li", {}, message, done, button("\u00d7", dismiss, { class: "cross", "aria-label": "Dismiss" }));
  line.dismiss = dismiss;
  const notes = document.getElementById("notes");
  notes.append(line);
  while (notes.children.length > 3) notes.firstElementChild.dismiss();
  announce(`${text} ${action} is at the end of the page.`);
  return dismiss;
}
