// A box for a cell that was missed: drawn with the pointer, or placed and moved with the keys.

const LEAST = 6; // px of the image: a smaller box is a click
const STEP = 0.06; // share of a box that an arrow key moves it

export class Draft {
  constructor(view, boxes, told) {
    Object.assign(this, { view, boxes, told, box: null, isOn: false });
    const plane = boxes.canvas;
    plane.addEventListener("pointerdown", (event) => this.start(event));
    plane.addEventListener("pointermove", (event) => this.stretch(event));
    plane.addEventListener("pointerup", (event) => this.end(event));
    plane.addEventListener("pointercancel", () => (this.from = null));
  }

  // With a box in the middle of the view for those who go on with the keys.
  begin(side) {
    this.isOn = true;
    this.side = side;
    this.boxes.canvas.classList.add("drawing");
    this.view.viewer.setMouseNavEnabled(false);
    const { clientWidth, clientHeight } = this.boxes.canvas;
    this.put(this.view.toImage({ x: clientWidth / 2, y: clientHeight / 2 }));
  }

  stop() {
    Object.assign(this, { isOn: false, box: null, from: null });
    this.boxes.canvas.classList.remove("drawing");
    this.view.viewer.setMouseNavEnabled(true);
    this.told();
  }

  start(event) {
    if (!this.isOn || event.button) return;
    event.preventDefault();
    event.stopPropagation();
    this.boxes.canvas.setPointerCapture(event.pointerId);
    this.from = this.point(event);
  }

  stretch(event) {
    if (!this.from) return;
    event.stopPropagation();
    const to = this.point(event);
    const left = Math.min(this.from.x, to.x);
    const top = Math.min(this.from.y, to.y);
    const width = Math.abs(this.from.x - to.x);
    const height = Math.abs(this.from.y - to.y);
    if (Math.min(width, height) >= LEAST) this.take([left, top, width, height]);
  }

  end(event) {
    if (!this.from) return;
    event.stopPropagation();
    const to = this.point(event);
    const isClick = Math.hypot(this.from.x - to.x, this.from.y - to.y) < LEAST;
    if (isClick) this.put(to);
    this.from = null;
  }

  point(event) {
    const { left, top } = this.boxes.canvas.getBoundingClientRect();
    return this.view.toImage({ x: event.clientX - left, y: event.clientY - top });
  }

  put({ x, y }) {
    this.take([x - this.side / 2, y - this.side / 2, this.side, this.side]);
  }

  nudge(right, down, resize) {
    const [x, y, width, height] = this.box;
    const by = Math.max(1, STEP * Math.max(width, height));
    if (!resize) return this.take([x + right * by, y + down * by, width, height]);
    this.take([x, y, Math.max(LEAST, width + right * by), Math.max(LEAST, height + down * by)]);
  }

  // Whole pixels inside the photograph.
  take([x, y, width, height]) {
    const { size } = this.view;
    const wide = Math.min(Math.round(width), size.width);
    const high = Math.min(Math.round(height), size.height);
    const left = Math.min(Math.max(0, Math.round(x)), size.width - wide);
    const top = Math.min(Math.max(0, Math.round(y)), size.height - high);
    this.box = [left, top, wide, high];
    this.told();
  }
}
