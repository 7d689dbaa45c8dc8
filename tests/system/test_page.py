"""Input and predictions of the page, in a real browser against a real server."""

import re

import pytest
from playwright.sync_api import expect
from support.page import SEVEN, choose_model, draw, expect_label, hand_over
from support.paths import IMAGES
from support.tools import needs

pytestmark = needs("chromium")


def test_drawn_digit_is_classified_and_its_pixels_are_shown(open_page, request):
    page = open_page(viewport={"width": 1280, "height": 800})
    draw(page, SEVEN)
    expect_label(page, "7")
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


def test_screen_reader_announces_only_a_settled_prediction(open_page):
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


def test_predictions_appear_during_a_stroke(open_page):
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


def test_keyboard_pen_does_not_change_a_given_image(open_page):
    page = open_page()
    page.locator("#canvas").focus()
    page.keyboard.press(" ")
    hand_over(page, "paste", (IMAGES / "mnist-3.png").read_bytes())
    expect_label(page, "3")
    page.keyboard.press("ArrowDown")
    expect_label(page, "3")
    page.locator("#clear").click()
    expect_label(page, "?")
    expect(page.locator("#undo")).to_be_disabled()


def test_invalid_hash_is_ignored(open_page):
    page = open_page("/#%")
    expect(page.locator("#examples button")).to_have_count(10)


def test_drawing_can_be_undone_and_cleared(open_page):
    page = open_page()
    undo, clear = page.locator("#undo"), page.locator("#clear")
    expect(undo).to_be_disabled()
    draw(page, SEVEN)
    expect_label(page, "7")
    draw(page, [(0.35, 0.5), (0.75, 0.5)])
    undo.click()
    expect_label(page, "7")
    page.keyboard.press("Control+z")
    expect_label(page, "?")
    expect(undo).to_be_disabled()
    expect(page.locator("#invitation")).to_be_visible()
    draw(page, SEVEN)
    expect_label(page, "7")
    clear.click()
    expect_label(page, "?")
    expect(page.locator("#bars li")).to_have_count(10)
    expect(page.locator("#bars li.top")).to_have_count(0)


def test_digit_can_be_drawn_with_the_keyboard(open_page):
    page = open_page()
    page.locator("#canvas").focus()
    for key, count in (("ArrowUp", 9), (" ", 1), ("ArrowDown", 18), (" ", 1)):
        for _ in range(count):
            page.keyboard.press(key)
    expect_label(page, "1")
    page.keyboard.press("Escape")
    expect_label(page, "?")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_dropped_or_pasted_photo_is_classified(open_page, event):
    page = open_page()
    choose_model(page, "cifar10")
    hand_over(page, event, (IMAGES / "photo-ship.jpg").read_bytes(), "ship.jpg", "image/jpeg")
    expect_label(page, "ship")
    assert page.eval_on_selector("#pixels", "image => image.naturalWidth") == 32
    assert page.url.endswith("#cifar10")


def test_file_can_be_chosen_twice(open_page):
    page = open_page()
    for _ in range(2):
        with page.expect_file_chooser() as chooser:
            page.locator("#choose").click()
        chooser.value.set_files(IMAGES / "digit-4-exif-turned.jpg")
        expect_label(page, "4")
        page.locator("#clear").click()
        expect_label(page, "?")


@pytest.mark.parametrize("model", ["mnist", "cifar10"])
def test_every_example_is_classified_correctly(open_page, model):
    page = open_page()
    choose_model(page, model)
    for button in page.locator("#examples button").all():
        button.click()
        expect_label(page, button.locator("img").get_attribute("alt").removeprefix("test image: "))


def test_broken_file_shows_the_message_of_the_server(open_page):
    page = open_page()
    hand_over(page, "drop", b"\x89PNG\r\n\x1a\n" + b"broken", "broken.png")
    expect(page.locator("#message")).to_contain_text("cannot be decoded")
    expect_label(page, "?")
    hand_over(page, "drop", b"plain text", "notes.txt", "text/plain")
    expect(page.locator("#message")).to_contain_text("send PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC")
    draw(page, SEVEN)
    expect_label(page, "7")
    expect(page.locator("#message")).to_be_hidden()


def test_unreachable_server_is_reported(open_page):
    page = open_page()
    page.route("**/classify*", lambda route: route.abort())
    page.locator("#examples button").first.click()
    expect(page.locator("#message")).to_have_text("The server cannot be reached.")
