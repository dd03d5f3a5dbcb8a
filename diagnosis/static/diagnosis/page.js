// On every page: light or dark, menus that close, a word when the connection is lost, and one of
// opinions that wait for another page.

import "./elsewhere.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
root.classList.add("scripting");

function shown() {
  return root.dataset.theme || (dark.matches ? "dark" : "light");
}

// The server writes the choice into the page, so it never flashes. Choosing what the system
// shows anyway forgets the choice: from then on the page follows the system again.
function choose(theme) {
  const own = theme !== (dark.matches ? "dark" : "light");
  if (own) root.dataset.theme = theme;
  else delete root.dataset.theme;
  const secure = location.protocol === "https:" ? ";secure" : "";
  document.cookie = `theme=${own ? theme : ""};path=/;samesite=lax;max-age=${own ? 31536000 : 0}${secure}`;
}

document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
  choose(shown() === "dark" ? "light" : "dark");
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("[data-menu][open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A page that fills in by itself says when it cannot; the next answer takes the word back.
const lineDown = document.querySelector("[data-line-down]");
document.addEventListener("htmx:error", ({ target }) => target.closest?.("[data-calm]") || (lineDown.hidden = false));
document.addEventListener("htmx:before:response", () => (lineDown.hidden = true));

// What changes without this page, the bell and what waits, is looked at anew, while somebody may be
// looking at it.
const CALM = 60_000; // ms
let looked = Date.now();

function look() {
  if (document.hidden || Date.now() - looked < CALM) return;
  looked = Date.now();
  document.body.dispatchEvent(new Event("look"));
}

setInterval(look, CALM / 10);
document.addEventListener("visibilitychange", look);

// Kept by the browser as it was left, a page may say what is true no more, or be of somebody who has
// signed out. Where something was written, or chosen to be sent, that stays.
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  if (!isWritten()) return location.reload();
  for (const name of ["look", "refresh"]) document.body.dispatchEvent(new Event(name));
});

function isWritten() {
  const fields = document.querySelectorAll("[method=post] input:not([type=hidden]), [method=post] textarea, input[data-comment]");
  const isToSend = document.querySelector(".file:not(.done)") !== null;
  return isToSend || [...fields].some(({ value, defaultValue }) => value !== defaultValue);
}
