/** The page: sends the drawing or image to the chosen model, one request at a time, and shows the prediction. */

import { setModel, showAnswer, showMessage, showNothing, subjectOf } from "./answer.js";
import { Problem, cardOf, classify, listModels, showModel } from "./api.js";
import { openCard } from "./card.js";
import { drawnScenes, partOf, photoScenes, play } from "./demo.js";
import { Drawing, renderStrokes } from "./drawing.js";

const EXAMPLES = {
  digit: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"].map((name) => [`mnist-${name}`, name]),
  photo: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"].map((name) => [
    `cifar10-${name}`,
    name,
  ]),
};
const SHOWN_PHOTOS = ["horse", "ship", "frog", "cat"]; // played as the example

const element = (id) => document.getElementById(id);
const drawing = new Drawing(element("canvas"), {
  started: act,
  changed: () => {
    if (file) {
      file = null;
      subject++;
    }
    refresh();
  },
  picked: () => element("file").click(),
});
let file = null; // an image that was given instead of a drawing
let card = null; // of the chosen model
let subject = 0; // counts images and models, not strokes: answers to an earlier one are ignored
let isBusy = false;
let isStale = false; // something changed while a request was running
let hasActed = false; // the example plays until then
let round = 0; // counts starts and stops of the example

/** Request a prediction. Changes during a request lead to one more request, for the latest state. */
async function refresh() {
  showTools();
  if (isBusy) {
    isStale = true;
    return;
  }
  isBusy = true;
  const asked = subject;
  try {
    const image = file ?? (await drawing.toBlob());
    if (image) {
      const found = await classify(element("model").value, image, { explain: element("explain").checked });
      asked === subject && showAnswer(found);
    } else if (hasActed) {
      showNothing();
    }
  } catch (error) {
    asked === subject && showProblem(error);
  }
  isBusy = false;
  if (isStale) {
    isStale = false;
    refresh();
  }
}

function showTools() {
  element("undo").disabled = element("clear").disabled = drawing.isEmpty;
  element("invitation").hidden = !drawing.isEmpty;
  element("invitation").classList.toggle("aside", drawing.hasExample);
  element("stop").hidden = hasActed || !drawing.hasExample;
}

function showProblem(error) {
  showNothing();
  showMessage(error instanceof Problem ? error.message : `The page failed: ${error}`);
}

/** End the example: from now on the page belongs to the visitor. */
function act() {
  if (!hasActed) {
    hasActed = true;
    round++;
    drawing.showExample(null);
    showNothing();
    showTools();
  }
}

/** Play the example for the chosen model until the visitor acts or chooses another model. */
async function playExample() {
  const current = ++round;
  const isWanted = () => current === round;
  const { name, class_names: classNames, preparation } = card;
  drawing.showExample(null);
  const photos = SHOWN_PHOTOS.filter((label) => classNames.includes(label));
  const scenes =
    preparation === "digit"
      ? drawnScenes(classNames)
      : photoScenes(photos, (label) => fetchExample(`static/examples/cifar10-${label}.png`));
  if (!scenes.length) {
    return;
  }
  try {
    await play(scenes, {
      isWanted,
      isStill: matchMedia("(prefers-reduced-motion: reduce)").matches,
      settings: () => String(element("explain").checked),
      paint: ({ strokes, picture }, progress) => {
        drawing.showExample(picture ?? partOf(strokes, progress));
        showTools();
      },
      ask: async ({ strokes, blob }, progress) =>
        classify(name, blob ?? (await renderStrokes(partOf(strokes, progress))), {
          explain: element("explain").checked,
        }),
      show: (answer) => showAnswer(answer, { isExample: true }),
    });
  } catch (error) {
    isWanted() && showProblem(error);
  }
}

async function give(given) {
  if (!given) {
    return;
  }
  act();
  file = given;
  subject++;
  const picture = await createImageBitmap(given).catch(() => given.name || "no preview");
  if (file === given) {
    drawing.show(picture);
    refresh();
  }
}

async function chooseModel() {
  const name = element("model").value;
  subject++;
  round++;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  const found = await showModel(name);
  if (name !== element("model").value) {
    return; // Another model was chosen meanwhile.
  }
  card = found;
  setModel(card);
  describeInput();
  const examples = (EXAMPLES[card.preparation] ?? []).filter(([, label]) => card.class_names.includes(label));
  element("examples").replaceChildren(...examples.map(makeExample));
  element("examples-title").hidden = !examples.length;
  if (hasActed) {
    refresh();
  } else {
    playExample();
  }
}

/** Fit all instructions to the chosen model. */
function describeInput() {
  const isDrawn = card.preparation === "digit";
  drawing.isPaper = isDrawn;
  document.body.dataset.input = isDrawn ? "draw" : "photo";
  const subjects = subjectOf(card) === "a digit" ? "a digit" : "something";
  element("input-title").textContent = isDrawn ? "Your drawing" : "Your photo";
  element("canvas").setAttribute("aria-label", isDrawn ? "Drawing area" : "Photo: press Enter to open an image");
  element("invitation").textContent = isDrawn ? `Draw ${subjects} here` : "Drop or open a photo";
  element("tip").textContent = isDrawn
    ? "Draw with mouse, finger or pen, large and in one piece. You can also drop, paste or open an image."
    : `Drop, paste or open a photo of one of these: ${card.class_names.slice(0, 20).join(", ")}` +
      `${card.class_names.length > 20 ? " and others" : ""}. One clear subject works best.`;
  element("keys").hidden = !isDrawn;
  const accuracy = card.test && `${(100 * card.test.accuracy).toFixed(2)} % of`;
  element("about").textContent = accuracy
    ? `${card.name} classifies ${accuracy} ${card.test.num_images.toLocaleString("en")} test images correctly.`
    : `The accuracy of ${card.name} was not measured.`;
}

function makeExample([name, label]) {
  const item = element("example").content.cloneNode(true);
  const image = item.querySelector("img");
  image.src = `static/examples/${name}.png`;
  image.alt = `test image: ${label}`;
  item.querySelector("button").addEventListener("click", () => giveExample(image.src, name).catch(showProblem));
  return item;
}

async function giveExample(url, name) {
  act();
  const asked = ++subject;
  const content = await fetchExample(url);
  if (asked === subject) {
    await give(new File([content], `${name}.png`, { type: "image/png" }));
  }
}

async function fetchExample(url) {
  const response = await fetch(url).catch(() => {
    throw new Problem("The server cannot be reached.");
  });
  if (!response.ok) {
    throw new Problem(`The server answered ${response.status}.`);
  }
  return response.blob();
}

function undo() {
  act();
  drawing.undo();
  file = null;
  subject++;
  refresh();
}

function clear() {
  act();
  drawing.clear();
  file = null;
  subject++;
  refresh();
}

function listen() {
  const panel = element("panel");
  element("undo").addEventListener("click", undo);
  element("clear").addEventListener("click", clear);
  element("stop").addEventListener("click", () => {
    clear();
    element("canvas").focus();
  });
  element("explain").addEventListener("change", () => hasActed && refresh());
  element("model").addEventListener("change", () => chooseModel().catch(showProblem));
  element("card").addEventListener("click", () => card && openCard(card, cardOf(card.name)));
  element("close").addEventListener("click", () => panel.close());
  panel.addEventListener("click", (event) => event.target === panel && panel.close()); // on the backdrop
  for (const [button, input] of [
    ["choose", "file"],
    ["photograph", "camera"],
  ]) {
    element(button).addEventListener("click", () => element(input).click());
    element(input).addEventListener("change", (event) => {
      give(event.target.files[0]);
      event.target.value = ""; // The same file may be chosen again.
    });
  }
  document.addEventListener("keydown", (event) => {
    if (panel.open) {
      return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      event.preventDefault();
      undo();
    } else if (event.key === "Escape") {
      clear();
    }
  });
  document.addEventListener("paste", (event) => give(event.clipboardData.files[0]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    event.relatedTarget ?? document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    if (event.dataTransfer.files.length) {
      give(event.dataTransfer.files[0]);
    } else {
      showMessage("This is not a file. Save the image first, or copy and paste it.");
    }
  });
}

async function start() {
  listen();
  const names = (await listModels()).map((model) => model.name);
  element("model").replaceChildren(...names.map((name) => new Option(name, name)));
  const wanted = names.find((name) => `#${encodeURIComponent(name)}` === location.hash);
  element("model").value = wanted ?? (names.includes("mnist") ? "mnist" : names[0]);
  await chooseModel();
}

start().catch(showProblem);
