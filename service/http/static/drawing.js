/** A drawing area for pointer and keyboard that can also show a picture. */

const SENT_COLORS = { paper: "#fff", ink: "#000" };
const COLORS = {
  light: { paper: "#fff", ink: "#1b1d2a", example: "#4f46e5", text: "#555" },
  dark: { paper: "#1f2430", ink: "#f1f3fa", example: "#a5b0ff", text: "#b4bac8" },
};
const PEN = 0.066; // width of a line, relative to the side
const STEP = 0.03; // distance of one arrow key, relative to the side
const SENT = 252; // pixels per side: the largest image that the server decodes without a thread
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

export class Drawing {
  #canvas;
  #events;
  #isPaper = true;
  #strokes = []; // each a list of [x, y], 0..1
  #picture = null; // an ImageBitmap, a file name if the browser cannot show the file, or null
  #example = null; // strokes or an ImageBitmap that do not belong to the visitor, or null
  #pen = null; // position of the keyboard's pen, null while it is not used
  #isDown = false;

  /** @param events `started` and `changed` are called before and after a change by hand, `picked` if paper is off */
  constructor(canvas, events) {
    this.#canvas = canvas;
    this.#events = events;
    prefersDark.addEventListener("change", () => this.#paint());
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#extend(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => (this.#isDown = false));
    }
    canvas.addEventListener("click", () => this.#isPaper || this.#events.picked());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#leave());
    this.#paint();
  }

  /** Whether one can draw; otherwise a click asks for a picture. */
  set isPaper(value) {
    this.#isPaper = value;
  }

  get hasExample() {
    return Boolean(this.#example);
  }

  get isEmpty() {
    return !this.#strokes.length && !this.#picture;
  }

  /** Show strokes or an ImageBitmap as an example, which does not count as content; null removes it. */
  showExample(example) {
    this.#example = example;
    this.#paint();
  }

  /** Remove the picture, or else the last stroke. */
  undo() {
    if (this.#picture) {
      this.#picture = null;
    } else {
      this.#strokes.pop();
    }
    this.#isDown = false;
    this.#paint();
  }

  clear() {
    this.#strokes = [];
    this.#picture = null;
    this.#isDown = false;
    this.#paint();
  }

  /** Show an ImageBitmap, or the name of a file that the browser cannot show. */
  show(picture) {
    this.#picture = picture;
    this.#strokes = [];
    this.#isDown = false;
    this.#paint();
  }

  /** @returns {Promise<Blob|null>} the drawing as a PNG, or null if it is empty */
  toBlob() {
    return this.#strokes.length ? renderStrokes(this.#strokes) : Promise.resolve(null);
  }

  #begin(event) {
    if (event.button !== 0 || !event.isPrimary) {
      return;
    }
    if (!this.#isPaper) {
      return;
    }
    this.#events.started();
    this.#canvas.setPointerCapture(event.pointerId);
    this.#isDown = true;
    this.#pen = null;
    this.#startStroke(this.#place(event));
  }

  #extend(event) {
    if (!this.#isDown || this.#pen || !event.isPrimary) {
      return;
    }
    const events = event.getCoalescedEvents?.() ?? [];
    this.#strokes.at(-1).push(...(events.length ? events : [event]).map((part) => this.#place(part)));
    this.#drawn();
  }

  #key(event) {
    if (!this.#isPaper) {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.#events.picked();
      }
      return;
    }
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== " ") {
      return;
    }
    event.preventDefault(); // The page would scroll.
    this.#events.started();
    this.#pen ??= [0.5, 0.5];
    if (arrow) {
      this.#pen = this.#pen.map((at, axis) => Math.min(1, Math.max(0, at + STEP * arrow[axis])));
      if (this.#isDown) {
        this.#strokes.at(-1).push(this.#pen);
        this.#events.changed();
      }
    } else if ((this.#isDown = !this.#isDown)) {
      this.#startStroke(this.#pen);
    }
    this.#paint();
  }

  #leave() {
    if (this.#pen) {
      this.#pen = null;
      this.#isDown = false;
      this.#paint();
    }
  }

  #startStroke(place) {
    this.#picture = null;
    this.#strokes.push([place]);
    this.#drawn();
  }

  #drawn() {
    this.#paint();
    this.#events.changed();
  }

  #place(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  }

  #paint() {
    const colors = COLORS[prefersDark.matches ? "dark" : "light"];
    const strokes = Array.isArray(this.#example) ? this.#example : this.#strokes;
    paintStrokes(this.#canvas, strokes, this.#example ? { ...colors, ink: colors.example } : colors);
    const picture = Array.isArray(this.#example) ? null : (this.#example ?? this.#picture);
    const context = this.#canvas.getContext("2d");
    const side = this.#canvas.width;
    if (typeof picture === "string") {
      context.fillStyle = colors.text;
      context.font = `${side / 18}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.fillText(picture, side / 2, side / 2, 0.9 * side);
    } else if (picture) {
      const { width, height } = picture;
      const scale = side / Math.max(width, height);
      context.imageSmoothingQuality = "high";
      context.drawImage(
        picture,
        (side - width * scale) / 2,
        (side - height * scale) / 2,
        width * scale,
        height * scale,
      );
    }
    if (this.#pen) {
      context.beginPath();
      context.arc(this.#pen[0] * side, this.#pen[1] * side, (PEN * side) / 2, 0, 7);
      context.lineWidth = side / 200;
      context.strokeStyle = this.#isDown ? "#ea580c" : "#6366f1";
      context.stroke();
    }
  }
}

/** @returns {Promise<Blob>} strokes as the PNG that is sent: black on white in every colour scheme */
export function renderStrokes(strokes) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SENT;
  paintStrokes(canvas, strokes, SENT_COLORS);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function paintStrokes(canvas, strokes, { paper, ink }) {
  const context = canvas.getContext("2d");
  const side = canvas.width;
  context.fillStyle = paper;
  context.fillRect(0, 0, side, side);
  context.lineWidth = PEN * side;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = ink;
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [x * side, y * side]);
    context.beginPath();
    context.moveTo(...points[0]);
    for (let index = 1; index < points.length - 1; index++) {
      const [[x, y], [nextX, nextY]] = points.slice(index, index + 2);
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    context.lineTo(...points.at(-1));
    context.stroke();
  }
}
