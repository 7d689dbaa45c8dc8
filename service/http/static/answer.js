/** The right half of the page: what a model says. */

const MOST_BARS = 12; // of more classes, only the likeliest are shown
const TIMES = { network: "network and browser", decode: "decoding", queue: "queue", inference: "inference" };

const SETTLED_MS = 700; // without a newer answer: while one draws, a screen reader need not say them all

let speaking;

const element = (id) => document.getElementById(id);

/** Show an answer, with what was asked beside it. */
export function showAnswer({ answer, times }) {
  showMessage("");
  element("label").textContent = answer.label;
  element("confidence").textContent = percent(answer.confidence);
  element("unfamiliar").hidden = answer.familiar !== false;
  element("winner").classList.toggle("doubtful", answer.familiar === false);
  showBars(answer);
  showPixels(answer);
  const facts = Object.entries(TIMES).map(([name, title]) => [title, `${(times[name] ?? 0).toFixed(1)} ms`]);
  if (answer.familiarity !== undefined) {
    facts.unshift(["familiarity", `${answer.familiarity} of 1`]);
  }
  showFacts([...facts, ["answered by", `${answer.model} ${answer.version}`]]);
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    element("spoken").textContent = element("winner").innerText;
  }, SETTLED_MS);
}

/** Go back to the beginning. */
export function showNothing() {
  showMessage("");
  element("label").textContent = "?";
  element("confidence").textContent = "no picture yet";
  element("unfamiliar").hidden = true;
  element("winner").classList.remove("doubtful");
  element("pixels").hidden = element("saliency").hidden = true;
  element("bars").replaceChildren();
  showFacts([]);
  clearTimeout(speaking);
  element("spoken").textContent = "";
}

/** Show why there is no answer; an empty text hides it. */
export function showMessage(text) {
  element("message").textContent = text;
  element("message").hidden = !text;
}

function showBars({ probabilities, label }) {
  let classes = Object.entries(probabilities);
  if (classes.length > MOST_BARS) {
    classes = classes.sort(([, one], [, other]) => other - one).slice(0, MOST_BARS);
  }
  const bars = element("bars");
  while (bars.children.length > classes.length) {
    bars.lastChild.remove();
  }
  while (bars.children.length < classes.length) {
    bars.append(element("bar").content.cloneNode(true));
  }
  classes.forEach(([name, probability], index) => {
    const bar = bars.children[index];
    bar.classList.toggle("winner", name === label);
    bar.querySelector(".name").textContent = name;
    bar.querySelector(".share").textContent = percent(probability);
    bar.querySelector(".fill").style.transform = `scaleX(${probability})`;
  });
}

function showPixels({ pixels, saliency }) {
  const image = element("pixels");
  image.src = pixels;
  image.alt = "The picture as the model saw it, framed and shrunk";
  image.hidden = false;
  element("saliency").hidden = !saliency;
  element("saliency").style.maskImage = saliency ? `url("${saliency}")` : "";
}

function showFacts(facts) {
  const entries = facts.flatMap(([name, value]) => {
    const [term, description] = ["dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    description.textContent = value;
    return [term, description];
  });
  element("facts").replaceChildren(...entries);
}

function percent(share) {
  return share < 1 && share >= 0.9995 ? "> 99.9 %" : `${(100 * share).toFixed(1)} %`;
}
