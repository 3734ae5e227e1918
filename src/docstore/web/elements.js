// Elements made of text, never of markup: a key or a content can't become anything else. Dialogs with their focus, and
// what is said to those who don't see the page. It knows nothing of documents.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export const button = (text, onclick, attributes = {}) =>
  element("button", { type: "button", onclick, ...attributes }, text);

let fields = 0;

// A labelled control; `hint` is read with it.
export function field(label, control, hint) {
  control.id = `field-${(fields += 1)}`;
  const told = hint && element("small", { id: `${control.id}-hint` }, hint);
  if (told) control.setAttribute("aria-describedby", told.id);
  return element("p", { class: "field" }, element("label", { for: control.id }, label), control, told);
}

export const input = (attributes) =>
  element("input", { autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...attributes });

export const say = (text) => {
  document.getElementById("said").textContent = text;
};

// A dialog over the page. `mayClose` is asked before it is closed by Escape or its cross. Where the focus was it goes
// back to, or to the list when that is gone.
export function openDialog(title, { kind = "", mayClose = () => true, onclose = () => {} } = {}, ...children) {
  const before = document.activeElement;
  const heading = element("h2", { id: `title-${(fields += 1)}` }, element("bdi", {}, title));
  const alert = element("p", { class: "alert", role: "alert" });
  const dialog = element("dialog", { class: kind, "aria-labelledby": heading.id });
  const close = async () => (await mayClose()) && dialog.close();
  const cross = button("\u00d7", close, { class: "cross", "aria-label": "Close" });
  dialog.append(element("div", { class: "title" }, heading, cross), alert, ...children);
  const asked = (event) => {
    event.preventDefault();
    close();
  };
  // A browser asks with `cancel` when the focus is nowhere, or for a gesture; after Escape it may close unasked.
  dialog.addEventListener("keydown", (event) => event.key === "Escape" && !event.defaultPrevented && asked(event));
  dialog.addEventListener("cancel", asked);
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
    wrong: (text) => {
      alert.textContent = text instanceof Error ? text.message : text;
    },
  });
}

// One question and the name of the answer; Escape is `otherwise`. `answers` are triples of name, text and class.
export function question(title, answers, otherwise, ...children) {
  return new Promise((resolve) => {
    let given = otherwise;
    const choose = (name) => () => {
      given = name;
      dialog.close();
    };
    const buttons = answers.map(([name, text, kind], index) =>
      button(text, choose(name), { class: kind, autofocus: index === 0 }));
    const dialog = openDialog(title, { kind: "question", onclose: () => resolve(given) }, ...children,
      element("p", { class: "buttons" }, ...buttons));
  });
}

// A note at the foot of the page with what can be done about it; it stays until it is dismissed or three newer come.
export function note(text, action, act, forget = () => {}) {
  const dismiss = () => {
    line.remove();
    forget();
  };
  const done = button(action, async () => {
    done.disabled = true;
    try {
      await act();
      dismiss();
    } catch (error) {
      done.disabled = false;
      told.textContent = error.message;
    }
  });
  const told = element("span", {}, text);
  const line = element("li", {}, told, done, button("\u00d7", dismiss, { class: "cross", "aria-label": "Dismiss" }));
  line.dismiss = dismiss;
  const notes = document.getElementById("notes");
  notes.append(line);
  while (notes.children.length > 3) notes.firstElementChild.dismiss();
  say(`${text} ${action} is offered at the end of the page.`);
  return dismiss;
}
