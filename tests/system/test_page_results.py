"""Details of a prediction on the page: familiarity, saliency and the model card."""

import httpx
import pytest
from playwright.sync_api import expect
from support.foreign_models import CLASSES, Foreign
from support.page import SEVEN, choose_model, draw, expect_label, hand_over, noise_png, pixels, style, violations
from support.served import serve
from support.tools import needs

from training.adoption.adopting import adopt, examine
from training.adoption.facts import AdoptionOptions

pytestmark = needs("chromium")


@pytest.mark.parametrize(("model", "subject"), [("mnist", "a digit"), ("cifar10", "any of the 10 classes")])
def test_unfamiliar_image_looks_unfamiliar(open_page, model, subject):
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


@pytest.mark.parametrize("model", ["mnist", "cifar10"])
def test_model_card_opens_as_a_readable_panel(open_page, url, model):
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
    expect_label(page, "7")
    page.click("#card")
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    expect_label(page, "7")
    expect(page.locator("#undo")).to_be_enabled()


def test_saliency_is_shown_on_request_with_a_legend(open_page):
    page = open_page()
    page.locator("#examples button").nth(3).click()
    expect_label(page, "3")
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


@pytest.fixture
def adopted_url(tmp_path):
    """The address of a service with an adopted model alone."""
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    options = AdoptionOptions(
        name="net", labels=tmp_path / "labels.txt", preparation="squash", interpolation="bilinear"
    )
    adopt(examine(Foreign(dtype="uint8").save(tmp_path / "net.onnx"), options), out=tmp_path / "models")
    with serve(models_dir=tmp_path / "models") as served:
        yield served.url


def test_page_says_that_an_adopted_model_is_not_measured(browser, adopted_url):
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(adopted_url)
    expect(page.locator("#about")).to_have_text("The accuracy of net was not measured.")
    page.click("#card")
    expect(page.locator("#figures")).to_contain_text("not measured")
    expect(page.locator("#details")).to_contain_text("not calibrated")
    expect(page.locator("#details")).to_contain_text("net.onnx")
    page.close()
    assert errors == []
