"""Layout, colours, accessibility and size of the page."""

import pytest
from playwright.sync_api import expect
from support.page import SEVEN, draw, expect_label, hand_over, noise_png, violations
from support.tools import needs

from service.http.page import STATIC

pytestmark = needs("chromium")


def test_phone_shows_the_page_and_accepts_touch(open_page):
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator("#photograph")).to_be_visible()
    expect(page.locator("#keys")).to_be_hidden()
    box = page.locator("#canvas").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#label")).not_to_have_text("?")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_phone_does_not_scroll_sideways_while_bars_move(open_page):
    page = open_page(viewport={"width": 390, "height": 664}, has_touch=True, is_mobile=True)
    excess = page.evaluate("""async () => {
        const list = document.getElementById("bars");
        let excess = 0;
        for (let moves = 0; moves < 20; ) {
            await new Promise(requestAnimationFrame);
            moves += list.getAnimations({ subtree: true }).some((animation) => !animation.transitionProperty);
            excess = Math.max(excess, document.documentElement.scrollWidth - 390);
        }
        return excess;
    }""")
    assert excess == 0


@pytest.mark.parametrize(("width", "height"), [(390, 664), (320, 568)])
def test_phone_shows_the_prediction_below_the_canvas(open_page, width, height):
    page = open_page(viewport={"width": width, "height": height}, has_touch=True, is_mobile=True)
    draw(page, SEVEN)
    expect_label(page, "7")
    canvas, winner, frame = (page.locator(part).bounding_box() for part in ("#canvas", "#winner", "#frame"))
    assert page.evaluate("scrollY") == 0
    assert winner["y"] >= canvas["y"] + canvas["height"]
    assert winner["y"] + winner["height"] <= height
    assert frame["y"] + frame["height"] <= height


def test_wide_window_is_filled(open_page):
    page = open_page(viewport={"width": 1920, "height": 1080})
    main, canvas, frame = (page.locator(part).bounding_box() for part in ("main", "#canvas", "#frame"))
    assert main["width"] > 1700
    assert min(canvas["width"], frame["width"]) > 500


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_canvas_follows_the_colour_scheme(open_page, scheme, is_dark):
    page = open_page(color_scheme=scheme)
    draw(page, SEVEN)
    expect_label(page, "7")
    corner = page.evaluate("[...document.getElementById('canvas').getContext('2d').getImageData(5, 5, 1, 1).data]")
    assert (max(corner[:3]) < 80) == is_dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible_in_every_state(open_page, scheme):
    page = open_page(color_scheme=scheme)
    assert violations(page) == []
    page.locator("#examples button").nth(5).click()
    expect_label(page, "5")
    page.check("#explain")
    expect(page.locator("#legend")).to_be_visible()
    assert violations(page) == []
    hand_over(page, "drop", noise_png())
    expect(page.locator("#unfamiliar")).to_be_visible()
    assert violations(page) == []
    page.click("#clear")
    expect_label(page, "?")
    assert violations(page) == []


def test_page_files_are_small():
    sizes = [path.stat().st_size for path in STATIC.iterdir() if path.is_file()]
    assert sum(sizes) < 80_000
