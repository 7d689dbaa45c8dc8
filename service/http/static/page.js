/** The page: what is drawn or given goes to the chosen model, one question at a time, and its answer is shown. */

import { showAnswer, showMessage, showNothing } from "./answer.js";
import { Problem, cardOf, classify, listModels, showModel } from "./api.js";
import { Drawing } from "./drawing.js";

const EXAMPLES = {
  digit: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"].map((name) => [`mnist-${name}`, name]),
  photo: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"].map((name) => [
    `cifar10-${name}`,
    name,
  ]),
};
const INVITATIONS = { digit: "Draw a digit here", photo: "Drop a photograph here" };

const element = (id) => document.getElementById(id);
const drawing = new Drawing(element("canvas"), () => {
  if (file) {
    file = null;
    subject++;
  }
  refresh();
});
let file = null; // what was given in place of a drawing
let preparation = "digit"; // of the chosen model
let subject = 0; // counts what is asked about: another picture or model, not one more stroke
let isBusy = false;
let isStale = false; // something changed while the server was asked

/** Ask about what is there now; whatever changes meanwhile is asked about afterwards, the latest alone. */
async function refresh() {
  element("undo").disabled = element("clear").disabled = drawing.isEmpty;
  element("invitation").hidden = !drawing.isEmpty;
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
    } else {
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

function showProblem(error) {
  showNothing();
  showMessage(error instanceof Problem ? error.message : `The page failed: ${error}`);
}

async function give(given) {
  if (!given) {
    return;
  }
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
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  element("card").href = cardOf(name);
  const card = await showModel(name);
  if (name !== element("model").value) {
    return; // another was chosen meanwhile
  }
  preparation = card.preparation;
  element("invitation").textContent = INVITATIONS[preparation] ?? "Drop an image here";
  element("about").textContent =
    `${card.class_names.length} classes, ${(100 * card.test.accuracy).toFixed(2)} % right on its ` +
    `${card.test.num_images.toLocaleString("en")} test images; ${card.precision} on ${card.device}.`;
  const examples = (EXAMPLES[preparation] ?? []).filter(([, label]) => card.class_names.includes(label));
  element("examples").replaceChildren(...examples.map(makeExample));
  element("examples-title").hidden = !examples.length;
  refresh();
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
  const asked = ++subject;
  const response = await fetch(url);
  if (!response.ok) {
    throw new Problem(`The server answered ${response.status}.`);
  }
  const content = await response.blob();
  if (asked === subject) {
    await give(new File([content], `${name}.png`, { type: "image/png" }));
  }
}

function undo() {
  drawing.undo();
  file = null;
  subject++;
  refresh();
}

function clear() {
  drawing.clear();
  file = null;
  subject++;
  refresh();
}

function listen() {
  element("undo").addEventListener("click", undo);
  element("clear").addEventListener("click", clear);
  element("explain").addEventListener("change", refresh);
  element("model").addEventListener("change", () => chooseModel().catch(showProblem));
  for (const [button, input] of [
    ["choose", "file"],
    ["photograph", "camera"],
  ]) {
    element(button).addEventListener("click", () => element(input).click());
    element(input).addEventListener("change", (event) => {
      give(event.target.files[0]);
      event.target.value = ""; // the same file may be chosen again
    });
  }
  document.addEventListener("keydown", (event) => {
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
      showMessage("What was dropped is no file: save the picture first, or copy and paste it.");
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
