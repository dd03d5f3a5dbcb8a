// The keys of a page: one table, from which both the dialog that lists them and what they do come.

const SHOWN = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Delete: "Delete", Escape: "Esc", "-": "−" };
const dialog = document.querySelector("[data-keys]");
const part = (name) => dialog.querySelector(`[data-${name}]`);
const singly = part("singly");

// `table` holds rows [words, { key: act }]; an act of null is told and done elsewhere. `arrows`
// may take an event before the table does. Keys that are not letters act with single keys off.
export function listen(table, arrows = () => null) {
  const acts = Object.assign({}, ...table.map(([, keys]) => keys), { "?": open });
  part("list").replaceChildren(...table.flatMap(([words, keys]) => row(words, Object.keys(keys))));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTaken(event.target)) return;
    const act = arrows(event) ?? (singly.checked && names(event).map((name) => acts[name]).find(Boolean));
    if (!act) return;
    event.preventDefault();
    act();
  });
}

// What is printed on a key comes first; its digit where a French keyboard would want Shift for it.
function names({ key, code, shiftKey }) {
  const digit = (!shiftKey && /^Digit(\d)$/.exec(code)?.[1]) || "";
  return [key.length > 1 ? key : key.toLowerCase(), digit];
}

export function open() {
  dialog.showModal();
}

// A person who writes, or chooses something, is not disturbed; a dialog of keys of its own is.
function isTaken(target) {
  return Boolean(target.closest?.("input:not([type=radio]):not([type=checkbox]), textarea, select, dialog[data-keys]"));
}

function row(words, keys) {
  const term = document.createElement("dt");
  for (const key of keys) {
    const shown = document.createElement("kbd");
    shown.textContent = SHOWN[key] ?? key.toUpperCase();
    term.append(shown, " ");
  }
  const meaning = document.createElement("dd");
  meaning.textContent = words;
  return [term, meaning];
}

// Whoever speaks to the computer turns single keys off, or words would press them.
singly.checked = localStorage.getItem("single-keys") !== "off";
singly.addEventListener("change", () => localStorage.setItem("single-keys", singly.checked ? "on" : "off"));
part("close-keys").addEventListener("click", () => dialog.close());
for (const button of document.querySelectorAll("[data-help]")) button.addEventListener("click", open);
