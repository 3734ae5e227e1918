// The login of users who have logged in: when it has ended, ask for a token and repeat the request, so that nothing that was
// typed is lost. The token is sent once and kept nowhere.

import { element, field, input, openDialog } from "./dom.js";
import { exchange, setRenewal } from "./http.js";

const link = document.querySelector("#login");

async function logIn(token) {
  const headers = [["Content-Type", "application/json"], ["Accept", "application/json"], ["X-Requested-With", "fetch"]];
  const { status, text } = await exchange("POST", link.href, { headers, body: JSON.stringify({ token }) });
  const answer = JSON.parse(text);
  if (status !== 200) throw new Error(answer.detail);
  link.replaceChildren("Logged in as ", element("bdi", {}, answer.token.note || answer.token.id));
}

const ask = () => new Promise((resolve) => {
  let renewed = false;
  const token = input({ type: "password", autocomplete: "current-password", required: true, autofocus: true });
  const form = element("form", {}, field("Token", token), element("p", { class: "buttons" },
    element("button", { class: "primary" }, "Log in")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await logIn(token.value);
      renewed = true;
      dialog.close();
    } catch (error) {
      dialog.showError(error);
    }
  });
  const dialog = openDialog("Your login has ended", { kind: "question", onclose: () => resolve(renewed) },
    element("p", {}, "Log in again to go on. What you have typed is kept."), form);
});

// Several requests may fail at once: they wait for one dialog.
let asking = null;
setRenewal(() => (asking ??= ask().finally(() => {
  asking = null;
})));
