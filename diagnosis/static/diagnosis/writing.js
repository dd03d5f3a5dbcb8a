// The forms of an opinion. Whoever writes a note in one is not disturbed: what would replace it waits
// until they have left it.

let isPressed = false;
addEventListener("pointerdown", () => (isPressed = true), true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (isPressed = false), true);

// The note that is being written within an element.
export function noteIn(element) {
  const focused = document.activeElement;
  return focused?.name === "comment" && element?.contains(focused) ? focused : null;
}

// Not when the window alone is left: the note has the focus still.
export function whenLeft(note, act) {
  const left = () => {
    if (document.activeElement === note) return;
    note.removeEventListener("blur", left);
    onceReleased(act);
  };
  note.addEventListener("blur", left);
}

// What is pressed must not be replaced before it is let go, or nothing was pressed.
function onceReleased(act) {
  setTimeout(() => (isPressed ? onceReleased(act) : act()), 20);
}

export function press(form, label) {
  for (const button of form.querySelectorAll("[name=label]")) button.setAttribute("aria-pressed", button.value === label);
}

// What was said and is not sent yet.
export function showSaid(form, { label, comment }) {
  press(form, label);
  const note = form.querySelector("[name=comment]");
  if (note && note !== document.activeElement) note.value = comment;
}
