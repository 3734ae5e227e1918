// An image that can be zoomed: it fits the view at first, and a click or the buttons show its own pixels or more of them.

import { button, element } from "./dom.js";

const STEPS = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8];

export function image(img) {
  let zoom = null;
  const box = element("div", { class: "media content", tabindex: 0, role: "group", "aria-label": "Image" }, img);
  const status = element("span", { role: "status" });
  const show = (next) => {
    const middle = [(box.scrollLeft + box.clientWidth / 2) / box.scrollWidth, (box.scrollTop + box.clientHeight / 2) / box.scrollHeight];
    zoom = next;
    box.classList.toggle("zoomed", zoom !== null);
    box.classList.toggle("pixels", zoom >= 3);
    if (zoom === null) img.removeAttribute("width");
    else img.width = Math.max(1, Math.round(img.naturalWidth * zoom));
    box.scrollTo(middle[0] * box.scrollWidth - box.clientWidth / 2, middle[1] * box.scrollHeight - box.clientHeight / 2);
    status.textContent = `${img.naturalWidth} \u00d7 ${img.naturalHeight} pixels, ${Math.round(current() * 100)} %`;
  };
  const current = () => zoom ?? img.clientWidth / img.naturalWidth;
  const larger = () => show(STEPS.find((step) => step > current() * 1.01) ?? STEPS.at(-1));
  const smaller = () => show(STEPS.findLast((step) => step < current() * 0.99) ?? STEPS[0]);
  const fit = () => show(null);
  img.addEventListener("click", () => show(zoom === null ? Math.max(1, STEPS.find((step) => step > current() * 1.01) ?? 1) : null));
  img.addEventListener("load", fit, { once: true });
  return element("div", {}, element("p", { class: "views" },
    button("\u2212", smaller, { "aria-label": "Zoom out", "data-key": "-", "aria-keyshortcuts": "-" }),
    button("+", larger, { "aria-label": "Zoom in", "data-key": "+", "aria-keyshortcuts": "+" }),
    button("Fit", fit, { "data-key": "0", "aria-keyshortcuts": "0" }), button("100 %", () => show(1)), status), box);
}
