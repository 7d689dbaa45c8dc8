/** The prediction and the model's view of the image. */

const TOP = 3; // classes with a large bar
const MOST_CLASSES = 24; // a model with more shows only the likeliest
const STAYS = 0.005; // a class gives up its large bar only to one that is likelier by this much
const CAUTIOUS = 0.15; // familiarity below this, or confidence below SURE, weakens the wording
const SURE = 0.8;
const GRID = 64; // larger views get no lines between pixels
const SETTLED_MS = 700; // A screen reader reads an answer once no newer one has come for this long.
const MOVE_MS = 220;

const element = (id) => document.getElementById(id);
const prefersStill = matchMedia("(prefers-reduced-motion: reduce)");

let speaking;
let model = { class_names: [], preparation: "digit" };

/** Set the model whose answers are shown. */
export function setModel(card) {
  model = card;
  const shape = card.inputs?.images?.shape ?? [];
  const [height, width] = shape.slice(1);
  element("size").textContent = width ? `${width} × ${height} pixels` : "";
  element("frame").style.aspectRatio = width ? `${width} / ${height}` : "1";
  element("grid").hidden = !(width <= GRID);
  element("grid").style.backgroundSize = `${100 / width}% ${100 / height}%`;
  element("bars").replaceChildren();
  showNothing();
}

/** Name what the model can recognise: "a digit", or "one of the 10 classes". */
export function subjectOf({ class_names: names }) {
  return names.every((name) => /^\d$/.test(name)) ? "a digit" : `one of the ${names.length} classes`;
}

/** Show an answer. Announce it to screen readers unless it belongs to the example. */
export function showAnswer({ answer, times }, { isExample = false } = {}) {
  const { confidence, familiarity, familiar } = answer;
  const isUnfamiliar = familiar === false;
  const isCautious = confidence < SURE || familiarity < CAUTIOUS;
  showMessage("");
  const subject = subjectOf(model);
  element("unfamiliar").hidden = !isUnfamiliar;
  element("unfamiliar").textContent = `This does not look like ${subject.replace("one of", "any of")}`;
  element("verdict").textContent = isUnfamiliar ? "Best guess, not reliable:" : isCautious ? "Perhaps" : "Most likely";
  setLabel(answer.label);
  element("confidence").textContent = isUnfamiliar ? "" : `${percent(confidence)}, if this is ${subject}`;
  document.body.dataset.state = isUnfamiliar ? "unfamiliar" : isCautious ? "cautious" : "familiar";
  showBars(answer.probabilities, isUnfamiliar);
  showPixels(answer);
  showTypicality(familiarity, isUnfamiliar);
  const { network, ...server } = times;
  const time = Object.values(server).reduce((sum, part) => sum + part, 0);
  element("timing").textContent =
    `Answered in ${milliseconds(time)}; ${milliseconds(time + network)} with network. ` +
    `${answer.model} ${answer.version}.`;
  clearTimeout(speaking);
  if (!isExample) {
    speaking = setTimeout(() => (element("spoken").textContent = element("winner").innerText), SETTLED_MS);
  }
}

/** Show the classes without a prediction. */
export function showNothing() {
  showMessage("");
  const count = model.class_names.length;
  const noun = subjectOf(model) === "a digit" ? "digits" : "classes";
  element("unfamiliar").hidden = true;
  element("verdict").textContent =
    model.preparation === "digit" ? "Waiting for your drawing" : "Waiting for your photo";
  setLabel("?");
  element("confidence").textContent = count ? `It can tell ${count} ${noun} apart` : "";
  document.body.dataset.state = "rest";
  element("pixels").hidden = element("saliency").hidden = element("legend").hidden = true;
  element("pixels").removeAttribute("src");
  element("size").hidden = false;
  showBars(Object.fromEntries(model.class_names.slice(0, MOST_CLASSES).map((name) => [name, 0])), true);
  element("typicality").hidden = true;
  element("timing").textContent = "";
  clearTimeout(speaking);
  element("spoken").textContent = "";
}

/** Show why there is no answer. An empty text hides the message. */
export function showMessage(text) {
  element("message").textContent = text;
  element("message").hidden = !text;
}

function setLabel(text) {
  element("label").textContent = text;
  element("label").style.setProperty("--letters", Math.max(1, text.length));
}

/** Give the likeliest classes a large bar each, and list the others in class order below. */
function showBars(probabilities, isQuiet) {
  const list = element("bars");
  const items = new Map(Array.from(list.children, (item) => [item.dataset.name, item]));
  const isKept = (name) => items.get(name)?.classList.contains("top");
  const ranked = Object.entries(probabilities)
    .map(([name, share]) => ({ name, share, rank: share + (isKept(name) ? STAYS : 0) }))
    .sort((one, other) => other.rank - one.rank)
    .slice(0, MOST_CLASSES);
  const hasShares = ranked.some(({ share }) => share);
  const top = hasShares ? ranked.slice(0, TOP).sort((one, other) => other.share - one.share) : [];
  const place = Object.fromEntries(model.class_names.map((name, index) => [name, index]));
  const rest = ranked.slice(top.length).sort((one, other) => place[one.name] - place[other.name]);
  const entries = [...top, ...rest];

  const before = new Map(Array.from(items, ([name, item]) => [name, item.getBoundingClientRect()]));
  const wanted = entries.map(({ name, share }, index) => {
    const item = items.get(name) ?? makeBar(name);
    item.classList.toggle("top", index < top.length);
    item.classList.toggle("winner", index === 0 && hasShares);
    const text = index < top.length || share >= 0.005 ? percent(share) : "";
    item.querySelector(".share").textContent = hasShares ? text : "";
    item.querySelector(".fill").style.transform = `scaleX(${share})`;
    return item;
  });
  list.classList.toggle("quiet", isQuiet);
  if (wanted.length !== list.children.length || wanted.some((item, index) => item !== list.children[index])) {
    list.replaceChildren(...wanted);
    slide(wanted, before);
  }
}

function makeBar(name) {
  const item = element("bar").content.cloneNode(true).firstElementChild;
  item.dataset.name = item.querySelector(".name").textContent = name;
  return item;
}

/** Move the items from where they were to where they are. */
function slide(items, before) {
  if (prefersStill.matches) {
    return;
  }
  for (const item of items) {
    const from = before.get(item.dataset.name);
    const to = item.getBoundingClientRect();
    if (from && (from.left !== to.left || from.top !== to.top)) {
      const start = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
      item.animate([{ transform: start }, { transform: "none" }], { duration: MOVE_MS, easing: "ease-out" });
    }
  }
}

function showPixels({ pixels, saliency }) {
  const image = element("pixels");
  image.src = pixels;
  image.alt = "The image as the model sees it, framed and scaled down";
  image.hidden = false;
  element("size").hidden = true;
  element("saliency").hidden = element("legend").hidden = !saliency;
  element("saliency").style.setProperty("--mask", saliency ? `url("${saliency}")` : "none");
}

function showTypicality(familiarity, isUnfamiliar) {
  element("typicality").hidden = familiarity === undefined;
  if (familiarity !== undefined) {
    const share = Math.round(100 * familiarity);
    const text =
      share === 0
        ? "Less typical than all real examples"
        : isUnfamiliar || share < 50
          ? `Less typical than ${100 - share} % of real examples`
          : `More typical than ${share} % of real examples`;
    element("typicality").querySelector("p").textContent = text;
    element("typicality").querySelector(".scale span").style.left = `calc(0.5rem + ${familiarity} * (100% - 1rem))`;
  }
}

/** Round to whole per cent: a model's softmax does not deserve more digits. */
function percent(share) {
  return share >= 0.995 ? "over 99 %" : share < 0.005 ? "under 1 %" : `${Math.round(100 * share)} %`;
}

function milliseconds(time) {
  return time < 1 ? "under 1 ms" : `${Math.round(time)} ms`;
}
