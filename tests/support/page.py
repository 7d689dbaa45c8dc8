"""Actions on the page, and what a browser shows."""

import base64
import io

import numpy as np
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.58, 0.5), (0.46, 0.82)]
# Whether the canvas changes within 30 frames without an action.
CANVAS_MOVES = """async () => {
    const canvas = document.getElementById("canvas");
    const before = canvas.toDataURL();
    for (let frame = 0; frame < 30; frame++) {
        await new Promise(requestAnimationFrame);
    }
    return canvas.toDataURL() !== before;
}"""

expect.set_options(timeout=20_000)  # milliseconds, for busy machines


def draw(page, points, *, lift=True):
    box = page.locator("#canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    if lift:
        page.mouse.up()


def hand_over(page, event, content, name="picture.png", kind="image/png"):
    """Drop or paste a file."""
    page.evaluate(
        """([event, content, name, kind]) => {
            const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type: kind }));
            const options = { bubbles: true, cancelable: true };
            const made = event === "paste"
                ? new ClipboardEvent(event, { ...options, clipboardData: data })
                : new DragEvent(event, { ...options, dataTransfer: data });
            document.body.dispatchEvent(made);
        }""",
        [event, base64.b64encode(content).decode(), name, kind],
    )


def choose_model(page, name):
    page.select_option("#model", name)
    prefix = "cifar10" if name == "cifar10" else "mnist"
    expect(page.locator(f"#examples img[src*='{prefix}-']")).to_have_count(10)


def noise_png():
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90), dtype=np.uint8)).save(noise, "PNG")
    return noise.getvalue()


def canvas_moves(page):
    return page.evaluate(CANVAS_MOVES)


def style(page, selector, name):
    return page.eval_on_selector(selector, "(element, name) => getComputedStyle(element)[name]", name)


def pixels(length):
    return float(length.removesuffix("px"))


def violations(page):
    """Return what axe finds once all transitions are over."""
    page.evaluate("Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {})))")
    return [(found["id"], found["nodes"][0]["html"]) for found in Axe().run(page).response["violations"]]


def expect_label(page, label):
    """Wait for the label of the prediction."""
    expect(page.locator("#label")).to_have_text(label)
