// A button that copies the field beside it. Without https the clipboard API is not there.

import { gettext } from "./words.js";

async function copy(field) {
  if (navigator.clipboard) return navigator.clipboard.writeText(field.value);
  field.select();
  document.execCommand("copy");
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = button.parentElement.querySelector("input");
  const word = button.querySelector("span");
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", async () => {
    await copy(field);
    word.textContent = gettext("Copied");
    setTimeout(() => { word.textContent = gettext("Copy"); }, 2000);
  });
}
