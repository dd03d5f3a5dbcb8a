// On every page: opinions that this browser keeps for another page and the server has not heard.

import { keptOf } from "./outbox.js";
import { gettext, ngettext } from "./words.js";

const bar = document.querySelector("[data-elsewhere]");
const { who } = bar.dataset; // empty where nobody is signed in
const NAME = /^unsent:/;

// Of this person; where nobody is signed in, of whoever was.
function unsent() {
  const stores = Object.keys(localStorage).filter((name) => (who ? name.startsWith(`unsent:${who}:`) : NAME.test(name)));
  return stores.flatMap(keptOf);
}

function show() {
  const items = unsent().filter((item) => item.at !== location.pathname);
  bar.hidden = !items.length;
  if (!items.length) return;
  const sentence = ngettext(
    "%(number)s opinion is kept in this browser and not sent yet.",
    "%(number)s opinions are kept in this browser and not sent yet.",
    items.length,
  );
  const how = who ? gettext("Open its page to send it:") : gettext("Sign in, and open its page to send it.");
  bar.querySelector("span").replaceChildren(`${sentence} ${how} `, ...(who ? links(items) : []));
}

function links(items) {
  const pages = new Map(items.filter(({ at }) => at).map(({ at, title }) => [at, title]));
  return [...pages].flatMap(([at, title], index) => {
    const link = document.createElement("a");
    link.href = at;
    link.textContent = title;
    return index ? [", ", link] : [link];
  });
}

function mayLeave() {
  const number = unsent().length;
  if (!number) return true;
  return confirm(
    ngettext(
      "%(number)s opinion of yours is not sent yet. It stays in this browser until you sign in again and open its page. Sign out?",
      "%(number)s opinions of yours are not sent yet. They stay in this browser until you sign in again and open their pages. Sign out?",
      number,
    ),
  );
}

function watch() {
  show();
  addEventListener("storage", show);
  document.querySelector("[data-sign-out]")?.addEventListener("submit", (event) => mayLeave() || event.preventDefault());
}

try {
  watch();
} catch {
  // A browser that stores nothing keeps nothing unsent.
}
