// What the server is asked of a field's cells, and told of them.

import { ask, parsed, token } from "./outbox.js";

export class Server {
  constructor({ address, who, page }) {
    Object.assign(this, { address, who, page });
  }

  ask(options = {}) {
    const headers = { Accept: "application/json", ...options.headers };
    return ask(this.address, { ...options, who: this.who, headers }, understood);
  }

  tell(item) {
    if (item.whole) return this.tellWhole(item);
    return item.box && item.tried ? this.addAgain(item) : this.post(item.box ? "box" : "cell", item);
  }

  post(of, { label, comment, [of]: what }) {
    const headers = { "Content-Type": "application/json", "X-CSRFToken": token(this.page) };
    return this.ask({ method: "POST", body: JSON.stringify({ [of]: what, label, comment }), headers });
  }

  // A box may have arrived although its answer was lost: it must not be added twice, and what was
  // said since is of the cell that it became.
  async addAgain(item) {
    const before = await this.ask();
    const cell = before.answer?.cells.find((other) => isSame(other, item.box));
    if (cell && !isSaid(cell, item)) return this.post("cell", { ...item, cell: cell.id });
    return cell || !before.answer || isDropped(item) ? before : this.post("box", item);
  }

  tellWhole({ whole, label, comment, seen }) {
    const body = new URLSearchParams(label ? { label, comment, seen } : {});
    const headers = { "HX-Request": "true", "X-CSRFToken": token(this.page) };
    const understood = (text) => text.includes('id="field-opinion"') && { whole: text };
    return ask(whole, { method: "POST", body, who: this.who, headers }, understood);
  }
}

export const isDropped = ({ label }) => !label || label === "no-cell";

function understood(text) {
  const answer = parsed(text);
  return answer?.cells && answer;
}

function isSaid(cell, { label, comment }) {
  return (cell.review ?? "") === label && cell.comment === comment;
}

function isSame(cell, box) {
  return cell.by === "person" && cell.box.every((value, index) => value === box[index]);
}
