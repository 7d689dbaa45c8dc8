"""The example that plays on the page until the visitor acts."""

from playwright.sync_api import expect
from support.page import CANVAS_MOVES, SEVEN, canvas_moves, choose_model, draw, expect_label
from support.paths import IMAGES
from support.tools import needs

pytestmark = needs("chromium")


def test_example_plays_until_the_visitor_draws(open_page):
    page = open_page()
    assert page.locator("#bars li").count() == 10
    expect(page.locator("#label")).not_to_have_text("?")
    expect(page.locator("#stop")).to_be_visible()
    page.wait_for_function(CANVAS_MOVES)
    expect(page.locator("#spoken")).to_be_empty()
    expect(page.locator("#undo")).to_be_disabled()
    draw(page, SEVEN)
    expect_label(page, "7")
    expect(page.locator("#stop")).to_be_hidden()
    assert not canvas_moves(page)


def test_example_does_not_move_with_reduced_motion(open_page):
    page = open_page(reduced_motion="reduce")
    expect(page.locator("#label")).not_to_have_text("?")
    expect(page.locator("#pixels")).to_be_visible()
    assert not any(canvas_moves(page) for _ in range(3))  # 1.5 s, so that an announcement would have come
    expect(page.locator("#spoken")).to_be_empty()


def test_stopped_example_leaves_the_classes(open_page):
    page = open_page()
    page.click("#stop")
    expect_label(page, "?")
    assert page.locator("#bars li").all_inner_texts() == list("0123456789")
    expect(page.locator("#confidence")).to_have_text("It can tell 10 digits apart")
    assert not canvas_moves(page)


def test_photo_model_plays_photos_without_mentioning_drawing(open_page):
    page = open_page()
    choose_model(page, "cifar10")
    expect(page.locator("#label")).not_to_have_text("?")
    expect(page.locator("#tip")).to_contain_text("photo of one of these: airplane, automobile")
    assert "draw" not in page.locator("main").inner_text().lower()
    expect(page.locator("#keys")).to_be_hidden()
    with page.expect_file_chooser() as chooser:
        page.locator("#canvas").click()
    chooser.value.set_files(IMAGES / "photo-ship.jpg")
    expect_label(page, "ship")
