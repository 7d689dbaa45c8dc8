"""The page, in a real browser before a real server: Debian's chromium, or any that is named so."""

import base64
import io
import os
import shutil

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


def answers(page, label):
    expect(page.locator("#label")).to_have_text(label)


def test_a_drawn_digit_is_read_and_shown_as_the_model_saw_it(open_page, request):
    page = open_page(viewport={"width": 1080, "height": 790})
    draw(page, SEVEN)
    answers(page, "7")
    shares = [float(text.strip(" >%")) for text in page.locator("#bars .share").all_text_contents()]
    assert len(shares) == 10
    assert sum(shares) == pytest.approx(100, abs=1)
    assert shares[7] == max(shares)
    assert page.locator("#bars .winner .name").text_content() == "7"
    assert page.eval_on_selector("#pixels", "image => [image.naturalWidth, image.naturalHeight]") == [28, 28]
    facts = page.locator("#facts").text_content()
    assert all(part in facts for part in ("inference", "queue", "network", "mnist", "familiarity"))
    if path := request.config.getoption("--screenshot"):
        page.check("#explain")
        expect(page.locator("#saliency")).to_be_visible()
        page.mouse.move(0, 0)
        page.screenshot(path=path)


def test_a_screen_reader_is_told_the_answer_once_it_stays(open_page):
    page = open_page()
    page.evaluate("""() => {
        window.spoken = [];
        const say = (changes) => window.spoken.push(changes[0].target.innerText);
        new MutationObserver(say).observe(document.getElementById("spoken"), { childList: true });
    }""")
    for _ in range(3):
        draw(page, SEVEN, lift=False)
    page.mouse.up()
    expect(page.locator("#spoken")).to_contain_text("%")
    assert page.locator("#spoken").inner_text().split() == page.locator("#winner").inner_text().split()
    assert len(page.evaluate("window.spoken")) <= 2
    page.click("#clear")
    expect(page.locator("#spoken")).to_be_empty()


def test_answers_come_while_one_draws(open_page):
    page = open_page()
    page.evaluate("""() => {
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
    expect(page.locator("#bars li")).to_have_count(0)


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


def test_what_the_model_does_not_know_is_said(open_page):
    page = open_page()
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90), dtype=np.uint8)).save(noise, "PNG")
    hand_over(page, "drop", noise.getvalue())
    expect(page.locator("#unfamiliar")).to_be_visible()
    page.locator("#examples button").first.click()
    answers(page, "0")
    expect(page.locator("#unfamiliar")).to_be_hidden()


def test_the_pixels_that_an_answer_rests_on_are_shown_where_that_is_asked_for(open_page):
    page = open_page()
    page.locator("#examples button").nth(3).click()
    answers(page, "3")
    saliency = page.locator("#saliency")
    expect(saliency).to_be_hidden()
    page.check("#explain")
    expect(saliency).to_be_visible()
    assert "data:image/png" in page.eval_on_selector("#saliency", "element => getComputedStyle(element).maskImage")
    page.uncheck("#explain")
    expect(saliency).to_be_hidden()


def test_a_phone_shows_all_of_it_and_takes_a_finger(open_page):
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator("#photograph")).to_be_visible()
    box = page.locator("#canvas").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#label")).not_to_have_text("?")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_before_and_after_an_answer(open_page, scheme):
    page = open_page(color_scheme=scheme)
    for _ in range(2):
        found = Axe().run(page).response["violations"]
        assert [(violation["id"], violation["nodes"][0]["html"]) for violation in found] == []
        page.locator("#examples button").nth(5).click()
        answers(page, "5")


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
    sizes = [path.stat().st_size for path in STATIC.rglob("*") if path.is_file() and not path.name.startswith("docs.")]
    assert sum(sizes) < 60_000
