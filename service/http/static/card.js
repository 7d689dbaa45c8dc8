/** The panel that shows a model card as text and tables. */

const element = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 6 });
const COMPACT = { notation: "compact", compactDisplay: "long", maximumSignificantDigits: 3 };
const KINDS = {
  digit: "drawing or scan, ink on paper",
  photo: "photo",
  "center-crop": "photo; the model sees its centre",
  squash: "photo; the model sees all of it, with another aspect ratio",
};
const compact = (value) => value.toLocaleString("en", COMPACT);
const perCent = (share, digits = 2) => `${(100 * share).toFixed(digits)} %`;

/** Open the panel with the card from `GET /v1/models/{model}`, which is at `url`. */
export function openCard(card, url) {
  element("panel-title").textContent = `${card.name}, version ${card.version}`;
  const use = card.intended_use ?? card.description ?? "";
  element("use").textContent = typeof use === "string" ? use : Object.values(use).join(" ");
  element("use").hidden = !use;
  fillFigures(card);
  fillTable(element("details"), details(card));
  const recipe = flatten(card.recipe ?? {});
  fillTable(element("recipe"), recipe);
  element("recipe").closest("details").hidden = !recipe.length;
  element("json").href = url;
  element("panel").showModal();
  element("panel").scrollTop = 0;
}

function fillFigures({ test, parameters }) {
  const measurements = [];
  if (test) {
    measurements.push(
      [perCent(test.accuracy), "accuracy", `on ${number(test.num_images)} test images`],
      [perCent(test.ece), "calibration error", "average gap between confidence and accuracy"],
    );
  }
  if (!test) {
    measurements.push(["–", "accuracy", "not measured"]);
  }
  if (parameters) {
    measurements.push([compact(parameters), "parameters", "learned weights"]);
  }
  element("figures").replaceChildren(
    ...measurements.map(([value, name, note]) => {
      const group = document.createElement("div");
      group.append(make("dt", name), make("dd", value), make("dd", note));
      return group;
    }),
  );
}

function details(card) {
  const shape = card.inputs?.images?.shape?.slice(1) ?? [];
  const input = `${shape[1]} × ${shape[0]} pixels, ${shape.length > 2 ? "colour" : "greyscale"}`;
  const rows = [
    [`Classes (${card.class_names.length})`, card.class_names.join(", ")],
    ["Input", shape.length ? input : ""],
    ["Kind of image", KINDS[card.preparation] ?? card.preparation],
    ["Created", card.date && formatDate(card.date)],
    ["Numbers stored as", card.precision],
    ["Runs on", card.device && card.device.toUpperCase()],
    ["Operations per image", card.multiply_adds && `${compact(card.multiply_adds)} multiply-adds`],
    ["Calibration temperature", card.temperature ? card.temperature.toFixed(3) : "not calibrated"],
    ["Test loss", card.test?.nll && `${card.test.nll.toFixed(4)} nats per image`],
    ["Adopted from", card.adopted && card.adopted.file],
    ["Licence", card.license ?? card.licence],
    ["Dataset files", Object.keys(card.dataset ?? {}).join(", ")],
    ["Trained with", ["torch", "onnx"].map((name) => card.libraries?.[name] && `${name} ${card.libraries[name]}`)],
    ["Source commit", card.git_commit?.slice(0, 12)],
  ];
  return rows
    .map(([name, value]) => [name, Array.isArray(value) ? value.filter(Boolean).join(", ") : value])
    .filter(([, value]) => value);
}

function formatDate(date) {
  const format = { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" };
  return new Date(date).toLocaleDateString("en-GB", format);
}

/** Turn nested settings into rows: {augmentation: {degrees: 12}} becomes ["augmentation: degrees", "12"]. */
function flatten(settings, prefix = "") {
  return Object.entries(settings).flatMap(([key, value]) => {
    const name = prefix + key.replaceAll("_", " ");
    if (value && typeof value === "object" && !Array.isArray(value)) {
      return flatten(value, `${name}: `);
    }
    return [[name, toText(value)]];
  });
}

function toText(value) {
  if (typeof value === "boolean") {
    return value ? "yes" : "no";
  }
  return value === "" || value === null ? "none" : Array.isArray(value) ? value.join(", ") : String(value);
}

function fillTable(body, rows) {
  body.replaceChildren(
    ...rows.map(([name, value]) => {
      const row = document.createElement("tr");
      const head = make("th", name);
      head.scope = "row";
      row.append(head, make("td", value));
      return row;
    }),
  );
}

function make(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
