// Share: a signed link to one document. It is made, copied and revoked here; the server keeps no list of links.

import { form } from "./actions.js";
import { announce, button, copyLine, element, field, input, openDialog } from "./dom.js";
import { parseTTL } from "./format.js";
import { revokeLink, signLink } from "./http.js";

const LONGEST_S = 366 * 86_400;

const choice = (text, checked = false) => {
  const box = element("input", { type: "checkbox", checked });
  return { box, label: element("label", {}, box, ` ${text}`) };
};

export async function share(page, meta, { writable, removable }) {
  // Behind a proxy, the service has the path of the proxy too, and the server does not know that path.
  const links = new URL("links", document.querySelector("#login").href).href;
  const root = new URL("..", links).pathname;
  const ttl = input({ value: "1 h", autofocus: true });
  const methods = { GET: choice("Read", true), ...(writable && { PUT: choice("Store") }), ...(removable && { DELETE: choice("Delete") }) };
  const once = choice("Only once");
  const choices = element("fieldset", {}, element("legend", {}, "Anyone with the link may"),
    ...Object.values(methods).map(({ label }) => label));
  const controls = [field("For", ttl, "such as 10 min, 2 h or 7 d; at most a year"), choices, element("p", {}, once.label)];
  const link = await form(`Share ${meta.key}`, "share", controls, "Make a link", async () => {
    const seconds = parseTTL(ttl.value);
    if (!seconds || seconds > LONGEST_S) throw new Error("Invalid time. Write a duration such as 10 min, 2 h or 7 d, at most a year.");
    const chosen = Object.keys(methods).filter((name) => methods[name].box.checked);
    if (!chosen.length) throw new Error("Choose what the link is for.");
    const path = page.collection.address(meta.key).slice(root.length - 1);
    return signLink(links, { path, ttl: seconds, methods: chosen, once: once.box.checked });
  });
  if (link) show(meta, links, link);
}

// Show a new link; the promise of the caller does not wait for the dialog.
function show(meta, links, { id, url }) {
  const revoke = button("Revoke", async () => {
    revoke.disabled = true;
    try {
      await revokeLink(links, id);
      dialog.close();
      announce("The link is revoked.");
    } catch (error) {
      revoke.disabled = false;
      dialog.showError(error);
    }
  }, { class: "danger" });
  const dialog = openDialog(`Link to ${meta.key}`, { kind: "share" },
    element("p", {}, "It is shown this once. Send it as you would send a password."),
    element("section", { class: "addresses" }, copyLine("Link", url), copyLine("Id", id)),
    element("p", { class: "hint" }, "docstore sign --revoke and the id end the link later. It also ends with your token."),
    element("p", { class: "buttons" }, button("Done", () => dialog.close(), { class: "primary" }), revoke));
}
