"""The page, in a real browser before a real server: Debian's chromium, or any that is named so."""

import base64
import io
import os
import re
import shutil

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from support.paths import IMAGES
from support.tools import needs

from service.http.page import STATIC

CHROMIUM = shutil.which("chromium")
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.58, 0.5), (0.46, 0.82)]
# Whether the canvas changes within 30 frames without an action.
MOVES = """async () => {
    const canvas = document.getElementById("canvas");
    const before = canvas.toDataURL();
    for (let frame = 0; frame < 30; frame++) {
        await new Promise(requestAnimationFrame);
    }
    return canvas.toDataURL() !== before;
}"""

expect.set_options(timeout=20_000)  # milliseconds, on a machine that is busy with something else

pytestmark = needs("chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(url, browser):
    """Return a function that opens the page; at the end, nothing may have gone wrong or to another host."""
    opened, complaints, requests = [], [], []

    def open_page(path="/", **options):
        page = browser.new_page(**options)
        opened.append(page)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(url + path)
        if path == "/":
            expect(page.locator("#examples button")).to_have_count(10)
        return page

    yield open_page
    for page in opened:
        page.close()
    assert [text for text in complaints if "Failed to load resource" not in text] == []  # it logs every refused picture
    assert {request for request in requests if not request.startswith((url, "data:", "blob:"))} == set()


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


def style(page, selector, name):
    return page.eval_on_selector(selector, "(element, name) => getComputedStyle(element)[name]", name)


def pixels(length):
    return float(length.removesuffix("px"))


def violations(page):
    """Return what axe finds once all transitions are over."""
    page.evaluate("Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {})))")
    return [(found["id"], found["nodes"][0]["html"]) for found in Axe().run(page).response["violations"]]


def answers(page, label):
    expect(page.locator("#label")).to_have_text(label)


def test_a_drawn_digit_is_classified_and_shown_as_the_model_sees_it(open_page, request):
    page = open_page(viewport={"width": 1280, "height": 800})
    draw(page, SEVEN)
    answers(page, "7")
    expect(page.locator("#bars li")).to_have_count(10)
    expect(page.locator("#bars li.top")).to_have_count(3)
    expect(page.locator("#bars .top .share").first).to_have_text("over 99 %")
    assert page.locator("#bars .winner .name").all_text_contents() == ["7"]
    expect(page.locator("#confidence")).to_have_text("over 99 %, if this is a digit")
    assert page.eval_on_selector("#pixels", "image => [image.naturalWidth, image.naturalHeight]") == [28, 28]
    expect(page.locator("#typicality")).to_have_text(
        re.compile(r"^\s*(More|Less) typical than \d+ % of real examples\s*$")
    )
    expect(page.locator("#timing")).to_have_text(re.compile(r"^Answered in .+ ms; \d+ ms with network\. mnist \d+\.$"))
    if path := request.config.getoption("--screenshot"):
        page.check("#explain")
        expect(page.locator("#saliency")).to_be_visible()
        page.mouse.move(0, 0)
        page.evaluate("Promise.all(document.getAnimations().map((animation) => animation.finished))")
        page.screenshot(path=path)


def test_a_screen_reader_announces_only_a_settled_answer(open_page):
    page = open_page()
    page.evaluate("""() => {
        window.spoken = [];
        const say = (changes) => window.spoken.push(changes[0].target.innerText);
        new MutationObserver(say).observe(document.getElementById("spoken"), { childList: true });
    }""")
    for _ in range(3):
        draw(page, SEVEN, lift=False)
    page.mouse.up()
    expect(page.locator("#spoken")).not_to_be_empty()
    assert page.locator("#spoken").inner_text().split() == page.locator("#winner").inner_text().split()
    assert len(page.evaluate("window.spoken")) <= 2
    page.click("#clear")
    expect(page.locator("#spoken")).to_be_empty()


def test_answers_come_while_one_draws(open_page):
    page = open_page()
    page.evaluate("""() => {
        document.getElementById("stop").click();
        window.seen = 0;
        const count = () => window.seen++;
        new MutationObserver(count).observe(document.getElementById("pixels"), { attributeFilter: ["src"] });
    }""")
    for _ in range(6):  # without a pause
        draw(page, SEVEN, lift=False)
    assert page.evaluate("window.seen") >= 3
    page.mouse.up()
    expect(page.locator("#label")).not_to_have_text("?")


def test_the_pen_of_the_keyboard_leaves_a_given_picture_alone(open_page):
    page = open_page()
    page.locator("#canvas").focus()
    page.keyboard.press(" ")
    hand_over(page, "paste", (IMAGES / "mnist-3.png").read_bytes())
    answers(page, "3")
    page.keyboard.press("ArrowDown")
    answers(page, "3")
    page.locator("#clear").click()
    answers(page, "?")
    expect(page.locator("#undo")).to_be_disabled()


def test_a_strange_hash_does_no_harm(open_page):
    page = open_page("/#%")
    expect(page.locator("#examples button")).to_have_count(10)


def test_what_is_drawn_can_be_taken_back_and_cleared(open_page):
    page = open_page()
    undo, clear = page.locator("#undo"), page.locator("#clear")
    expect(undo).to_be_disabled()
    draw(page, SEVEN)
    answers(page, "7")
    draw(page, [(0.35, 0.5), (0.75, 0.5)])
    undo.click()
    answers(page, "7")
    page.keyboard.press("Control+z")
    answers(page, "?")
    expect(undo).to_be_disabled()
    expect(page.locator("#invitation")).to_be_visible()
    draw(page, SEVEN)
    answers(page, "7")
    clear.click()
    answers(page, "?")
    expect(page.locator("#bars li")).to_have_count(10)
    expect(page.locator("#bars li.top")).to_have_count(0)


def test_one_can_draw_by_keyboard_alone(open_page):
    page = open_page()
    page.locator("#canvas").focus()
    for key, count in (("ArrowUp", 9), (" ", 1), ("ArrowDown", 18), (" ", 1)):
        for _ in range(count):
            page.keyboard.press(key)
    answers(page, "1")
    page.keyboard.press("Escape")
    answers(page, "?")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_photograph_that_is_dropped_or_pasted_is_classified(open_page, event):
    page = open_page()
    choose_model(page, "cifar10")
    hand_over(page, event, (IMAGES / "photo-ship.jpg").read_bytes(), "ship.jpg", "image/jpeg")
    answers(page, "ship")
    assert page.eval_on_selector("#pixels", "image => image.naturalWidth") == 32
    assert page.url.endswith("#cifar10")


def test_a_file_is_chosen_and_the_same_again(open_page):
    page = open_page()
    for _ in range(2):
        with page.expect_file_chooser() as chooser:
            page.locator("#choose").click()
        chooser.value.set_files(IMAGES / "digit-4-exif-turned.jpg")
        answers(page, "4")
        page.locator("#clear").click()
        answers(page, "?")


@pytest.mark.parametrize("model", ["mnist", "cifar10"])
def test_every_example_is_read_right(open_page, model):
    page = open_page()
    choose_model(page, model)
    for button in page.locator("#examples button").all():
        button.click()
        answers(page, button.locator("img").get_attribute("alt").removeprefix("test image: "))


def test_a_broken_file_is_answered_in_the_servers_words_and_the_page_goes_on(open_page):
    page = open_page()
    hand_over(page, "drop", b"\x89PNG\r\n\x1a\n" + b"broken", "broken.png")
    expect(page.locator("#message")).to_contain_text("cannot be decoded")
    answers(page, "?")
    hand_over(page, "drop", b"plain text", "notes.txt", "text/plain")
    expect(page.locator("#message")).to_contain_text("send PNG, JPEG, WebP, GIF, BMP or TIFF")
    draw(page, SEVEN)
    answers(page, "7")
    expect(page.locator("#message")).to_be_hidden()


@pytest.mark.parametrize(("model", "subject"), [("mnist", "a digit"), ("cifar10", "any of the 10 classes")])
def test_an_unfamiliar_image_looks_unfamiliar(open_page, model, subject):
    page = open_page()
    choose_model(page, model)
    page.locator("#examples button").nth(8).click()
    expect(page.locator("#bars .winner")).to_have_count(1)
    usual = style(page, "#label", "fontSize"), style(page, "#label", "color")
    hand_over(page, "drop", noise_png())
    expect(page.locator("#unfamiliar")).to_have_text(f"This does not look like {subject}")
    expect(page.locator("#confidence")).to_be_empty()
    assert "%" not in page.locator("#winner").inner_text()
    assert pixels(style(page, "#label", "fontSize")) < pixels(usual[0])
    assert pixels(style(page, "#label", "fontSize")) < pixels(style(page, "#unfamiliar", "fontSize")) * 1.5
    assert style(page, "#label", "color") != usual[1]
    assert style(page, "#label", "fontWeight") == style(page, "#bars .winner .name", "fontWeight") == "400"
    expect(page.locator("#typicality")).to_contain_text("Less typical than")
    page.locator("#examples button").first.click()
    expect(page.locator("#unfamiliar")).to_be_hidden()
    expect(page.locator("#confidence")).to_contain_text("%")


def test_an_example_plays_at_rest_until_the_visitor_draws(open_page):
    page = open_page()
    assert page.locator("#bars li").count() == 10
    expect(page.locator("#label")).not_to_have_text("?")
    expect(page.locator("#stop")).to_be_visible()
    page.wait_for_function(MOVES)
    expect(page.locator("#spoken")).to_be_empty()
    expect(page.locator("#undo")).to_be_disabled()
    draw(page, SEVEN)
    answers(page, "7")
    expect(page.locator("#stop")).to_be_hidden()
    assert not page.evaluate(MOVES)


def test_the_example_does_not_move_with_reduced_motion(open_page):
    page = open_page(reduced_motion="reduce")
    expect(page.locator("#label")).not_to_have_text("?")
    expect(page.locator("#pixels")).to_be_visible()
    assert not any(page.evaluate(MOVES) for _ in range(3))  # 1.5 s, so that an announcement would have come
    expect(page.locator("#spoken")).to_be_empty()


def test_the_example_can_be_stopped_and_leaves_the_classes(open_page):
    page = open_page()
    page.click("#stop")
    answers(page, "?")
    assert page.locator("#bars li").all_inner_texts() == list("0123456789")
    expect(page.locator("#confidence")).to_have_text("It can tell 10 digits apart")
    assert not page.evaluate(MOVES)


def test_a_photo_model_plays_photos_and_does_not_speak_of_drawing(open_page):
    page = open_page()
    choose_model(page, "cifar10")
    expect(page.locator("#label")).not_to_have_text("?")
    expect(page.locator("#tip")).to_contain_text("photo of one of these: airplane, automobile")
    assert "draw" not in page.locator("main").inner_text().lower()
    expect(page.locator("#keys")).to_be_hidden()
    with page.expect_file_chooser() as chooser:
        page.locator("#canvas").click()
    chooser.value.set_files(IMAGES / "photo-ship.jpg")
    answers(page, "ship")


@pytest.mark.parametrize("model", ["mnist", "cifar10"])
def test_the_model_card_opens_as_a_readable_panel(open_page, url, model):
    page = open_page()
    choose_model(page, model)
    card = httpx.get(f"{url}/v1/models/{model}").json()
    page.click("#card")
    panel = page.locator("#panel")
    expect(panel).to_be_visible()
    expect(page.locator("#panel-title")).to_have_text(f"{model}, version {card['version']}")
    expect(panel).to_contain_text(f"{100 * card['test']['accuracy']:.2f} %")
    expect(panel).to_contain_text(f"{100 * card['test']['ece']:.2f} %")
    expect(panel).to_contain_text(", ".join(card["class_names"]))
    expect(panel).to_contain_text(card["date"][:4])
    panel.locator("summary").click()
    expect(panel.locator("#recipe")).to_contain_text("augmentation: cutout")
    expect(panel.locator("#recipe")).to_contain_text(str(card["recipe"]["epochs"]))
    assert "{" not in panel.inner_text()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator("#card")).to_be_focused()
    assert page.url.startswith(url + "/#")


def test_escape_closes_the_model_card_and_keeps_the_drawing(open_page):
    page = open_page()
    draw(page, SEVEN)
    answers(page, "7")
    page.click("#card")
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    answers(page, "7")
    expect(page.locator("#undo")).to_be_enabled()


def test_saliency_is_shown_on_request_with_a_legend(open_page):
    page = open_page()
    page.locator("#examples button").nth(3).click()
    answers(page, "3")
    saliency, legend = page.locator("#saliency"), page.locator("#legend")
    expect(saliency).to_be_hidden()
    expect(legend).to_be_hidden()
    page.check("#explain")
    expect(saliency).to_be_visible()
    expect(legend).to_contain_text("little a lot")
    mask = page.eval_on_selector("#saliency", "element => getComputedStyle(element, '::before').maskImage")
    assert "data:image/png" in mask
    assert "blur" in style(page, "#saliency", "filter")
    page.uncheck("#explain")
    expect(saliency).to_be_hidden()
    expect(legend).to_be_hidden()


def test_a_phone_shows_all_of_it_and_takes_a_finger(open_page):
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator("#photograph")).to_be_visible()
    expect(page.locator("#keys")).to_be_hidden()
    box = page.locator("#canvas").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#label")).not_to_have_text("?")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "height"), [(390, 664), (320, 568)])
def test_a_phone_shows_the_prediction_below_the_canvas(open_page, width, height):
    page = open_page(viewport={"width": width, "height": height}, has_touch=True, is_mobile=True)
    draw(page, SEVEN)
    answers(page, "7")
    canvas, winner, frame = (page.locator(part).bounding_box() for part in ("#canvas", "#winner", "#frame"))
    assert page.evaluate("scrollY") == 0
    assert winner["y"] >= canvas["y"] + canvas["height"]
    assert winner["y"] + winner["height"] <= height
    assert frame["y"] + frame["height"] <= height


def test_a_wide_window_is_used(open_page):
    page = open_page(viewport={"width": 1920, "height": 1080})
    main, canvas, frame = (page.locator(part).bounding_box() for part in ("main", "#canvas", "#frame"))
    assert main["width"] > 1700
    assert min(canvas["width"], frame["width"]) > 500


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_the_canvas_follows_the_colour_scheme(open_page, scheme, is_dark):
    page = open_page(color_scheme=scheme)
    draw(page, SEVEN)
    answers(page, "7")
    corner = page.evaluate("[...document.getElementById('canvas').getContext('2d').getImageData(5, 5, 1, 1).data]")
    assert (max(corner[:3]) < 80) == is_dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_in_every_state(open_page, scheme):
    page = open_page(color_scheme=scheme)
    assert violations(page) == []
    page.locator("#examples button").nth(5).click()
    answers(page, "5")
    page.check("#explain")
    expect(page.locator("#legend")).to_be_visible()
    assert violations(page) == []
    hand_over(page, "drop", noise_png())
    expect(page.locator("#unfamiliar")).to_be_visible()
    assert violations(page) == []
    page.click("#clear")
    answers(page, "?")
    assert violations(page) == []


def test_a_server_that_is_gone_is_said(open_page):
    page = open_page()
    page.route("**/classify*", lambda route: route.abort())
    page.locator("#examples button").first.click()
    expect(page.locator("#message")).to_have_text("The server cannot be reached.")


def test_the_api_reference_tries_a_call_out(open_page):
    page = open_page("/docs")
    call = page.locator(".opblock", has=page.locator("[data-path='/v1/models/{model}/classify']"))
    call.locator(".opblock-summary").click()
    call.get_by_placeholder("model").fill("mnist")
    call.locator("input[type=file]").set_input_files(IMAGES / "mnist-7.png")
    call.get_by_role("button", name="Execute").click()
    answer = call.locator(".live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer).to_contain_text('"label": "7"')


def test_the_page_is_small():
    sizes = [path.stat().st_size for path in STATIC.iterdir() if path.is_file()]
    assert sum(sizes) < 80_000
