// The photograph in OpenSeadragon, seen through one transform: screen = origin + scale × image.

const AWAY = 0.12; // share of the stage at its rim where a cell counts as out of sight
const LEAST_SIDE = 44; // screen px of a cell that needs no closer look
const CLOSE_SIDE = 120;
const STEP = 60; // screen px that an arrow key moves

export class View {
  constructor(element, { url, width, height, label, calm }) {
    withoutItsStyle();
    this.size = { width, height };
    this.viewer = OpenSeadragon({
      element,
      tileSources: { type: "image", url },
      drawer: "canvas",
      showNavigationControl: false,
      keyboardNavEnabled: false,
      animationTime: calm ? 0 : 0.4,
      visibilityRatio: 0.85,
      constrainDuringPan: true,
      minZoomImageRatio: 0.9,
      maxZoomPixelRatio: 8,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, pinchRotate: false },
    });
    this.plane = this.viewer.canvas;
    this.plane.setAttribute("role", "application");
    this.plane.setAttribute("aria-label", label);
  }

  get viewport() {
    return this.viewer.viewport;
  }

  isOpen() {
    return this.viewer.world.getItemCount() > 0;
  }

  transform() {
    const origin = this.viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const scale = (this.viewport.getContainerSize().x * this.viewport.getZoom(true)) / this.size.width;
    return { x: origin.x, y: origin.y, scale };
  }

  toImage({ x, y }) {
    const seen = this.transform();
    return { x: (x - seen.x) / seen.scale, y: (y - seen.y) / seen.scale };
  }

  move(right, down) {
    this.viewport.panBy(this.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(right * STEP, down * STEP)));
    this.viewport.applyConstraints();
  }

  zoom(factor) {
    this.viewport.zoomBy(factor);
    this.viewport.applyConstraints();
  }

  whole() {
    this.viewport.goHome();
  }

  // Only as far as needed: a view that the person chose stays where the cell can be seen in it.
  bringToSight(box) {
    if (!this.isOpen()) return;
    const { width } = this.size;
    const side = (Math.max(box[2], box[3]) * this.viewport.getContainerSize().x * this.viewport.getZoom()) / width;
    const centre = new OpenSeadragon.Point((box[0] + box[2] / 2) / width, (box[1] + box[3] / 2) / width);
    const isSmall = side < LEAST_SIDE;
    if (isSmall || !this.isInside(centre)) this.viewport.panTo(centre);
    if (isSmall) this.viewport.zoomTo((this.viewport.getZoom() * CLOSE_SIDE) / side);
    this.viewport.applyConstraints();
  }

  isInside(point) {
    const seen = this.viewport.getBounds();
    const right = (point.x - seen.x) / seen.width;
    const down = (point.y - seen.y) / seen.height;
    return Math.min(right, down) > AWAY && Math.max(right, down) < 1 - AWAY;
  }
}

// OpenSeadragon writes a style element, which the page's content security policy forbids, unless
// it finds its own. This one has the name it looks for, is in no namespace, and so styles nothing.
function withoutItsStyle() {
  const style = document.createElementNS("", "style");
  style.setAttribute("data-openseadragon-mobile-css", "");
  document.head.append(style);
}
