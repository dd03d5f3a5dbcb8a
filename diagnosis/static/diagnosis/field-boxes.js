// All boxes of a field on one canvas over the photograph: a colour and a line for each group.

import { GROUPS, isShown } from "./field-cells.js";

const LINES = {
  uninfected: { width: 1.5 },
  edge: { width: 1.75, dash: [2, 4] },
  rejected: { width: 1.5, crossed: true },
  removed: { width: 1.5, crossed: true, dash: [2, 4] },
  uncertain: { width: 2.5, dash: [7, 5] },
  parasitized: { width: 3, flagged: true },
};
const ORDER = [...GROUPS].reverse(); // what matters most is drawn last
const FAINT = 0.22;
const FLAG = 11; // px
const MARGIN = 8; // px around the view in which boxes are still drawn

export class Boxes {
  constructor(view) {
    this.view = view;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "field-boxes";
    this.pen = this.canvas.getContext("2d");
    this.state = { cells: [], group: "all", selected: null, draft: null, hidden: false };
    view.plane.append(this.canvas);
    for (const event of ["update-viewport", "resize", "open"]) view.viewer.addHandler(event, () => this.draw());
    this.takeColours();
  }

  // From the style sheet, so that the legend and the boxes cannot differ.
  takeColours() {
    const style = getComputedStyle(this.canvas);
    const read = (name) => style.getPropertyValue(name).trim();
    this.colours = Object.fromEntries(ORDER.map((group) => [group, read(`--box-${group}`)]));
    this.casings = Object.fromEntries(ORDER.map((group) => [group, read(`--casing-${group}`)]));
    this.chosen = read("--box-chosen");
  }

  show(state) {
    Object.assign(this.state, state);
    this.groups = new Map(ORDER.map((group) => [group, []]));
    for (const cell of this.state.cells) this.groups.get(cell.counts_as).push(cell);
    this.redraw();
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.fit();
    const { cells, selected, draft, hidden } = this.state;
    if (!this.view.isOpen()) return;
    this.seen = this.view.transform();
    if (!hidden && cells.length) for (const group of ORDER) this.drawGroup(group, this.groups.get(group));
    const chosen = draft ?? cells.find((cell) => cell.id === selected);
    if (chosen) this.drawChosen(chosen.box);
  }

  fit() {
    const ratio = devicePixelRatio;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.pen.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
  }

  drawGroup(group, cells) {
    if (group === "removed" && this.state.group !== "removed") return;
    const boxes = cells.map((cell) => ({ cell, box: this.onScreen(cell.box) })).filter(({ box }) => this.isSeen(box));
    if (!boxes.length) return;
    const faint = this.state.group !== "all" && !isShown(cells[0], this.state.group);
    const line = LINES[group];
    this.pen.globalAlpha = faint ? FAINT : 1;
    if (!faint) this.stroke(boxes, this.casings[group], line.width + 2);
    this.stroke(boxes, this.colours[group], line.width, line.dash);
    if (line.crossed) this.cross(boxes);
    if (!faint) this.mark(boxes, line, group);
    this.pen.globalAlpha = 1;
  }

  // One by one: a path of a thousand boxes takes several times as long to fill in.
  stroke(boxes, colour, width, dash = []) {
    this.pen.setLineDash(dash);
    this.pen.lineWidth = width;
    this.pen.strokeStyle = colour;
    for (const { box } of boxes) this.pen.strokeRect(...box);
    this.pen.setLineDash([]);
  }

  cross(boxes) {
    this.pen.beginPath();
    for (const { box: [x, y, width, height] } of boxes) {
      this.pen.moveTo(x, y + height);
      this.pen.lineTo(x + width, y);
    }
    this.pen.stroke();
  }

  // A flag for parasitized, a dot where a person has spoken.
  mark(boxes, { flagged }, group) {
    this.pen.fillStyle = this.colours[group];
    this.pen.beginPath();
    for (const { cell, box } of boxes) {
      if (flagged) this.flag(box);
      if (cell.review) this.dot(box);
    }
    this.pen.fill();
  }

  flag([x, y, width, height]) {
    const side = Math.min(FLAG, width / 2, height / 2);
    this.pen.moveTo(x, y);
    this.pen.lineTo(x + side, y);
    this.pen.lineTo(x, y + side);
    this.pen.closePath();
  }

  dot([x, y, width]) {
    this.pen.moveTo(x + width + 4, y);
    this.pen.arc(x + width, y, 4, 0, 2 * Math.PI);
  }

  drawChosen(box) {
    const [x, y, width, height] = this.onScreen(box);
    const frame = [{ box: [x - 5, y - 5, width + 10, height + 10] }];
    this.stroke(frame, "rgb(0 0 0 / 75%)", 6);
    this.stroke(frame, this.chosen, 3);
  }

  onScreen([x, y, width, height]) {
    const { scale } = this.seen;
    return [this.seen.x + x * scale, this.seen.y + y * scale, width * scale, height * scale];
  }

  isSeen([x, y, width, height]) {
    const right = this.canvas.clientWidth + MARGIN;
    const bottom = this.canvas.clientHeight + MARGIN;
    return x < right && y < bottom && x + width > -MARGIN && y + height > -MARGIN;
  }

  // The smallest box there: of two that overlap, the one that is harder to hit.
  at({ x, y }) {
    const { cells, group, hidden } = this.state;
    if (hidden) return null;
    const holds = ({ box }) => x >= box[0] && y >= box[1] && x <= box[0] + box[2] && y <= box[1] + box[3];
    const found = cells.filter((cell) => holds(cell) && (cell.counts_as !== "removed" || group === "removed"));
    return found.sort((one, other) => one.box[2] * one.box[3] - other.box[2] * other.box[3])[0] ?? null;
  }
}
