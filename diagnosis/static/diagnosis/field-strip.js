// The cells in a row, most suspicious first: a listbox that holds only the options in sight.

import { nameOf, percent } from "./field-cells.js";
import { gettext } from "./words.js";

const PITCH = 92; // px from one option to the next, as in field.css
const SPARE = 4; // options drawn beyond each end of what is seen
const PICTURE = 72;
const AROUND = 1.2; // how much of the surroundings a picture shows

export class Strip {
  constructor(list, icons, choose) {
    Object.assign(this, { list, icons, choose, cells: [], selected: null });
    this.row = list.querySelector("[data-row]");
    this.photo = new Image();
    list.addEventListener("scroll", () => this.fill(), { passive: true });
    list.addEventListener("click", (event) => this.pick(event));
    new ResizeObserver(() => this.fill()).observe(list);
  }

  // The pictures are cut from the one photograph: a thousand cells cost no request more.
  takePhoto(url) {
    this.photo.addEventListener("load", () => this.show(this.cells, this.selected));
    this.photo.src = url;
  }

  show(cells, selected) {
    Object.assign(this, { cells, selected });
    this.row.style.width = `${cells.length * PITCH}px`;
    this.row.replaceChildren();
    this.list.hidden = !cells.length;
    this.fill();
  }

  follow(calm) {
    const index = this.index();
    if (index >= 0) this.reveal(index, calm);
  }

  index() {
    return this.cells.findIndex((cell) => cell.id === this.selected);
  }

  reveal(index, calm) {
    const { scrollLeft, clientWidth } = this.list;
    const start = index * PITCH;
    if (start >= scrollLeft && start + PITCH <= scrollLeft + clientWidth) return;
    const left = start - (clientWidth - PITCH) / 2;
    this.list.scrollTo({ left, behavior: calm ? "instant" : "smooth" });
  }

  fill() {
    const { scrollLeft, clientWidth } = this.list;
    const first = Math.max(0, Math.floor(scrollLeft / PITCH) - SPARE);
    const last = Math.min(this.cells.length, Math.ceil((scrollLeft + clientWidth) / PITCH) + SPARE);
    const wanted = new Set(Array.from({ length: Math.max(0, last - first) }, (_, index) => first + index));
    const chosen = this.index();
    if (chosen >= 0) wanted.add(chosen); // the listbox names it as its active option
    for (const option of [...this.row.children]) {
      if (!wanted.delete(Number(option.dataset.index))) option.remove();
    }
    for (const index of wanted) this.place(this.option(this.cells[index], index), index);
    this.nameActive(chosen);
  }

  // In the order of the cells, which is the order in which they are read aloud.
  place(option, index) {
    const next = [...this.row.children].find((other) => Number(other.dataset.index) > index);
    this.row.insertBefore(option, next ?? null);
  }

  nameActive(chosen) {
    if (chosen < 0) this.list.removeAttribute("aria-activedescendant");
    else this.list.setAttribute("aria-activedescendant", `option-${chosen}`);
  }

  option(cell, index) {
    const option = document.createElement("div");
    option.id = `option-${index}`;
    option.className = `field-option ${cell.counts_as}`;
    option.dataset.index = index;
    option.style.left = `${index * PITCH}px`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", cell.id === this.selected);
    option.setAttribute("aria-setsize", this.cells.length);
    option.setAttribute("aria-posinset", index + 1);
    option.setAttribute("aria-label", nameOf(cell));
    option.append(cut(this.photo, cell.box, PICTURE, AROUND), this.caption(cell));
    return option;
  }

  caption(cell) {
    const caption = document.createElement("span");
    caption.className = "field-caption";
    caption.append(icon(this.icons, cell.counts_as, cell.counts_as), cell.probability === null ? gettext("added") : percent(cell.probability));
    if (cell.review) caption.append(icon(this.icons, "user"));
    return caption;
  }

  // By place as well: the row may be drawn anew between the press of a button and its release.
  pick(event) {
    const option = event.target.closest("[role=option]");
    const place = Math.floor((event.clientX - this.row.getBoundingClientRect().left) / PITCH);
    const cell = this.cells[option ? Number(option.dataset.index) : place];
    if (cell) this.choose(cell.id);
  }
}

const ICONS = { edge: "cut", removed: "close" };

export function icon(address, name, extra = "") {
  const space = "http://www.w3.org/2000/svg";
  const drawn = document.createElementNS(space, "svg");
  drawn.setAttribute("class", `icon ${extra}`);
  drawn.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `${address}#${ICONS[name] ?? name}`);
  drawn.append(use);
  return drawn;
}

export function cut(photo, box, side, around = 1) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = Math.round(side * devicePixelRatio);
  if (!photo.naturalWidth) return canvas;
  const reach = Math.max(box[2], box[3]) * around;
  const left = box[0] + box[2] / 2 - reach / 2;
  const top = box[1] + box[3] / 2 - reach / 2;
  canvas.getContext("2d").drawImage(photo, left, top, reach, reach, 0, 0, canvas.width, canvas.height);
  return canvas;
}
