/** A page to draw on, by pointer or keyboard, that can also show a picture. */

const INK = "#000";
const PAPER = "#fff";
const PEN = 0.066; // its width, of the page's side
const STEP = 0.03; // of the side, an arrow key
const SENT = 252; // pixels a side; as much as the server decodes without a thread
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Drawing {
  #canvas;
  #changed;
  #strokes = []; // each a list of [x, y], 0..1
  #picture = null; // an ImageBitmap, a name where the browser cannot show the file, or null
  #pen = null; // where the keyboard's pen is, null while it is not used
  #isDown = false;

  /** @param changed is called without arguments after every change by hand */
  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#extend(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => (this.#isDown = false));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#leave());
    this.#paint();
  }

  get isEmpty() {
    return !this.#strokes.length && !this.#picture;
  }

  /** Take back the picture, else the last stroke. */
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

  /** Show a picture, or the name of a file that the browser cannot show. */
  show(picture) {
    this.#picture = picture;
    this.#strokes = [];
    this.#isDown = false;
    this.#paint();
  }

  /** @returns {Promise<Blob|null>} what is drawn as a PNG; null if nothing is */
  toBlob() {
    if (!this.#strokes.length) {
      return Promise.resolve(null);
    }
    const copy = document.createElement("canvas");
    copy.width = copy.height = SENT;
    this.#paintStrokes(copy);
    return new Promise((resolve) => copy.toBlob(resolve, "image/png"));
  }

  #begin(event) {
    if (event.button !== 0 || !event.isPrimary) {
      return;
    }
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
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== " ") {
      return;
    }
    event.preventDefault(); // the page would scroll
    this.#pen ??= [0.5, 0.5];
    if (arrow) {
      this.#pen = this.#pen.map((at, axis) => Math.min(1, Math.max(0, at + STEP * arrow[axis])));
      if (this.#isDown) {
        this.#strokes.at(-1).push(this.#pen);
        this.#changed();
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
    this.#changed();
  }

  #place(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  }

  #paint() {
    this.#paintStrokes(this.#canvas);
    const context = this.#canvas.getContext("2d");
    const side = this.#canvas.width;
    if (typeof this.#picture === "string") {
      context.fillStyle = "#555";
      context.font = `${side / 18}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.fillText(this.#picture, side / 2, side / 2, 0.9 * side);
    } else if (this.#picture) {
      const { width, height } = this.#picture;
      const scale = side / Math.max(width, height);
      context.imageSmoothingEnabled = scale < 2; // of a test image, one sees the pixels
      context.drawImage(
        this.#picture,
        (side - width * scale) / 2,
        (side - height * scale) / 2,
        width * scale,
        height * scale,
      );
    }
    if (this.#pen) {
      context.beginPath();
      context.arc(this.#pen[0] * side, this.#pen[1] * side, (PEN * side) / 2, 0, 7);
      context.lineWidth = 2;
      context.strokeStyle = this.#isDown ? "#dc2626" : "#2563eb";
      context.stroke();
    }
  }

  #paintStrokes(canvas) {
    const context = canvas.getContext("2d");
    const side = canvas.width;
    context.fillStyle = PAPER;
    context.fillRect(0, 0, side, side);
    context.lineWidth = PEN * side;
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = INK;
    for (const stroke of this.#strokes) {
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
}
