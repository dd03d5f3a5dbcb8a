// One cell, large: what the model said, what a person said, and what can be said of it.

import { percent, word } from "./field-cells.js";
import { cut, icon } from "./field-strip.js";
import { gettext } from "./words.js";

const SIDE = 260;

export class Card {
  constructor(element, { icons, photo, drafts }) {
    Object.assign(this, { element, icons, photo, drafts, isHot: false });
    this.part = (name) => element.querySelector(`[data-${name}]`);
    this.buttons = [...element.querySelectorAll("button[data-say]")];
  }

  show(cell, total) {
    this.cell = cell;
    this.part("none").hidden = Boolean(cell);
    this.part("about").hidden = !cell;
    if (!cell) return;
    this.part("title").textContent = gettext("Cell %(number)s of %(total)s", { number: cell.number, total });
    this.showPicture(cell);
    this.showAnswer(cell);
    this.showButtons(cell);
    this.part("take-back").hidden = !cell.mine;
    this.showNotes(cell);
  }

  // A note that is being written stays as it is.
  showNotes(cell) {
    const input = this.part("comment");
    const isSame = input.dataset.of === `${cell.id}`;
    if (!isSame || document.activeElement !== input) input.value = cell.comment || this.drafts.of(cell.id);
    input.dataset.of = cell.id;
    this.part("remarks").replaceChildren(...(cell.remarks ?? []).map(asItem));
  }

  showDraft(box) {
    this.cell = null;
    this.part("none").hidden = true;
    this.part("about").hidden = false;
    this.part("title").textContent = gettext("A missed cell");
    this.picture(cut(this.photo, box, SIDE));
    this.part("heat").hidden = true;
    this.part("badge").replaceChildren();
    this.part("probability").textContent = "";
    this.part("said").textContent = gettext("Draw a box around it, then say what it is.");
    this.part("reasons").replaceChildren();
    for (const button of this.buttons) this.label(button, false, null, button.dataset.say === "no-cell");
    this.part("take-back").hidden = true;
    if (this.part("comment").dataset.of !== "") this.showNotes({ id: "" });
  }

  // What the network saw comes from the server; until it is here the photograph does.
  showPicture(cell) {
    const key = `${cell.id}`;
    this.part("heat").hidden = !cell.heatmap;
    this.part("heat").setAttribute("aria-pressed", this.isHot && Boolean(cell.heatmap));
    if (this.pictured !== key || !this.part("picture").firstChild) this.picture(cut(this.photo, cell.box, SIDE), key);
    this.part("picture").querySelector(".heat")?.remove();
    if (this.isHot && cell.heatmap) this.lay(cell);
  }

  picture(canvas, key = "") {
    this.pictured = key;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", gettext("The cell, large"));
    this.part("picture").replaceChildren(canvas);
  }

  lay(cell) {
    const heat = new Image();
    heat.className = "heat";
    heat.alt = gettext("Heatmap");
    heat.src = cell.heatmap;
    const seen = new Image();
    seen.alt = "";
    seen.src = cell.crop;
    const box = document.createElement("div");
    box.className = "heat";
    box.append(seen, heat);
    this.part("picture").append(box);
  }

  showAnswer(cell) {
    const badge = document.createElement("span");
    badge.className = `badge ${cell.counts_as}`;
    badge.append(icon(this.icons, cell.counts_as), word(cell.counts_as));
    this.part("badge").replaceChildren(badge);
    this.part("probability").textContent = percent(cell.probability);
    this.part("said").textContent = sentence(cell);
    this.part("reasons").replaceChildren(...cell.reasons.map(asItem));
  }

  showButtons(cell) {
    for (const button of this.buttons) {
      const agrees = button.dataset.say === cell.decision;
      this.label(button, agrees, cell.review, false);
    }
  }

  label(button, agrees, review, hidden) {
    const name = word(button.dataset.say);
    button.querySelector("span").textContent = agrees ? gettext("Agree: %(answer)s", { answer: name.toLowerCase() }) : name;
    button.setAttribute("aria-pressed", review === button.dataset.say);
    button.hidden = hidden;
  }

  heat() {
    if (!this.cell?.heatmap) return;
    this.isHot = !this.isHot;
    this.showPicture(this.cell);
  }
}

function sentence(cell) {
  const parts = [
    cell.by === "person" ? gettext("Added by a person.") : gettext("Model: %(answer)s.", { answer: word(cell.decision).toLowerCase() }),
    cell.edge && gettext("Cut by the edge of the photograph: not counted."),
    cell.review && gettext("Reviewed: %(answer)s.", { answer: word(cell.review).toLowerCase() }),
    cell.unsent && gettext("Not sent yet."),
  ];
  return parts.filter(Boolean).join(" ");
}

function asItem(reason) {
  const item = document.createElement("li");
  item.textContent = reason;
  return item;
}
