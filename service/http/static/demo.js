/** The example that plays while the visitor has not done anything yet. */

const STEPS = 12; // predictions per drawn digit
const DRAWING_MS = 1500;
const PHOTO_MS = 1;
const HOLD_MS = 2400; // a finished example stays this long
const STILL_MS = 200; // between looks at the settings where nothing moves

// prettier-ignore
/** Control points of one stroke per digit, 0..1, from the pen's first position to its last. */
const DIGITS = {
  3: [
    [0.33, 0.27], [0.45, 0.19], [0.6, 0.21], [0.66, 0.32], [0.58, 0.43], [0.46, 0.48],
    [0.61, 0.53], [0.69, 0.65], [0.61, 0.78], [0.46, 0.82], [0.32, 0.75],
  ],
  2: [
    [0.31, 0.34], [0.37, 0.22], [0.5, 0.17], [0.63, 0.24], [0.65, 0.37], [0.56, 0.54], [0.43, 0.69],
    [0.31, 0.8], [0.33, 0.8], [0.5, 0.79], [0.7, 0.79],
  ],
  6: [
    [0.6, 0.17], [0.46, 0.29], [0.36, 0.46], [0.33, 0.65], [0.41, 0.8], [0.55, 0.82], [0.65, 0.72],
    [0.62, 0.58], [0.5, 0.52], [0.38, 0.6],
  ],
};

/** @returns {Array} scenes that draw digits, for a model that knows them */
export function drawnScenes(classNames) {
  return Object.keys(DIGITS)
    .filter((name) => classNames.includes(name))
    .map((name) => ({ name, duration: DRAWING_MS, steps: STEPS, strokes: [smooth(DIGITS[name])] }));
}

/** @returns {Array} scenes that show finished pictures; `load` returns a Blob */
export function photoScenes(names, load) {
  return names.map((name) => ({
    name,
    duration: PHOTO_MS,
    steps: 1,
    async prepare() {
      this.blob ??= await load(name);
      this.picture ??= await createImageBitmap(this.blob);
    },
  }));
}

/**
 * Play scenes in a loop until `isWanted` returns false.
 *
 * Each prediction is requested once: later rounds show the first round's answers.
 *
 * @param scenes what to play
 * @param isStill true to show the first scene, finished, without motion
 * @param isWanted whether to continue
 * @param settings returns a string; when it changes, the prediction is requested with the new settings
 * @param paint receives a scene and its progress, 0..1
 * @param ask receives the same and returns a promise of an answer
 * @param show receives an answer
 */
export async function play(scenes, { isStill, isWanted, settings, paint, ask, show }) {
  const answers = new Map();
  let failure = null;
  for (let index = 0; isWanted(); index = (index + 1) % scenes.length) {
    const scene = scenes[index];
    await scene.prepare?.();
    const started = performance.now();
    let shown = "";
    let isBusy = false;
    let painted = -1;
    for (let elapsed = 0; isWanted() && (isStill || elapsed < scene.duration + HOLD_MS); ) {
      const progress = isStill ? 1 : Math.min(1, elapsed / scene.duration);
      if (progress !== painted) {
        painted = progress;
        paint(scene, progress);
      }
      const step = Math.floor(progress * scene.steps);
      const key = `${index} ${step} ${settings()}`;
      if (step && key !== shown && !isBusy) {
        isBusy = true;
        shown = key;
        if (!answers.has(key)) {
          answers.set(key, ask(scene, step / scene.steps));
        }
        const current = index;
        answers
          .get(key)
          .then((answer) => current === index && isWanted() && show(answer))
          .catch((error) => (failure = error))
          .finally(() => (isBusy = false));
      }
      await (isStill ? pause(STILL_MS) : nextFrame());
      if (failure) {
        throw failure;
      }
      elapsed = performance.now() - started;
    }
  }
}

/** @returns {Array} the part of the strokes that is drawn at a progress of 0..1 */
export function partOf(strokes, progress) {
  return strokes.map((points) => points.slice(0, Math.max(1, Math.round(progress * points.length))));
}

/** Interpolate between control points (a Catmull-Rom spline), ten points per segment. */
function smooth(points) {
  const at = (index) => points[Math.min(points.length - 1, Math.max(0, index))];
  const between = (a, b, c, d, t) =>
    b + (t / 2) * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  const result = [];
  for (let index = 0; index < points.length - 1; index++) {
    const [before, from, to, after] = [-1, 0, 1, 2].map((offset) => at(index + offset));
    for (let part = 0; part < 10; part++) {
      result.push([0, 1].map((axis) => between(before[axis], from[axis], to[axis], after[axis], part / 10)));
    }
  }
  return [...result, points.at(-1)];
}

const nextFrame = () => new Promise(requestAnimationFrame);
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
