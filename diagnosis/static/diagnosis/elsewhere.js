// On every page: opinions that this browser keeps for another page and the server has not heard.

import { keptOf, store } from "./outbox.js";
import { gettext, ngettext } from "./words.js";

const bar = document.querySelector("[data-elsewhere]");
const { who } = bar.dataset; // empty where nobody is signed in
const NAME = /^unsent:/;

// Of this person; where nobody is signed in, of whoever was.
function stores() {
  return Object.keys(localStorage).filter((name) => (who ? name.startsWith(`unsent:${who}:`) : NAME.test(name)));
}

function unsent() {
  return stores().flatMap(keptOf);
}

function ofOtherPages() {
  return unsent().filter((item) => item.at !== location.pathname);
}

function show() {
  const items = ofOtherPages();
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

function pages(items) {
  return [...new Map(items.filter(({ at }) => at).map(({ at, title }) => [at, title]))];
}

function links(items) {
  return pages(items).flatMap(([at, title], index) => {
    const link = document.createElement("a");
    link.href = at;
    link.textContent = title;
    return index ? [", ", link] : [link];
  });
}

// Their page may be gone, or not be this person's any more: then nothing would ever send them.
function discard() {
  const items = ofOtherPages();
  if (!mayDiscard(items)) return;
  const keys = new Set(items.map(({ key }) => key));
  for (const name of stores()) store(name, keptOf(name).filter(({ key }) => !keys.has(key)));
  show();
}

function mayDiscard(items) {
  const titles = pages(items).map(([, title]) => title).join(", ");
  return confirm(
    ngettext(
      "%(number)s opinion on %(titles)s was never sent. Discard it for good?",
      "%(number)s opinions on %(titles)s were never sent. Discard them for good?",
      items.length,
      { titles },
    ),
  );
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
  bar.querySelector("[data-discard]")?.addEventListener("click", discard);
  document.querySelector("[data-sign-out]")?.addEventListener("submit", (event) => mayLeave() || event.preventDefault());
}

try {
  watch();
} catch {
  // A browser that stores nothing keeps nothing unsent.
}
