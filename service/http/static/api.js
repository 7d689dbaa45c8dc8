/** Requests to the server. */

/** An error response; the message is the server's. */
export class Problem extends Error {}

/** @returns {Promise<Array<{name: string, default: string}>>} the served models */
export async function listModels() {
  return (await fetchJson("v1/models")).body.models;
}

/** @returns {Promise<Object>} the card of a model's default version */
export async function showModel(name) {
  return (await fetchJson(cardOf(name))).body;
}

export function cardOf(name) {
  return `v1/models/${encodeURIComponent(name)}`;
}

/** Classify an encoded image. `times` has milliseconds per stage: those of Server-Timing, and `network`. */
export async function classify(name, image, { explain }) {
  const started = performance.now();
  const { body, headers } = await fetchJson(`${cardOf(name)}/classify?pixels=true&explain=${explain}`, {
    method: "POST",
    body: image,
    headers: { "content-type": image.type || "application/octet-stream" },
  });
  const total = performance.now() - started;
  const parts = readServerTiming(headers.get("server-timing") ?? "");
  const atServer = Object.values(parts).reduce((sum, part) => sum + part, 0);
  return { answer: body, times: { network: Math.max(0, total - atServer), ...parts } };
}

async function fetchJson(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Problem("The server cannot be reached.");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Problem(body.detail ?? `The server answered ${response.status}.`);
  }
  return { body, headers: response.headers };
}

/** Parse `decode;dur=0.1, queue;dur=0.2` as {decode: 0.1, queue: 0.2}. */
function readServerTiming(header) {
  const entries = header.matchAll(/(\w+);dur=([\d.]+)/g);
  return Object.fromEntries(Array.from(entries, ([, name, duration]) => [name, Number(duration)]));
}
