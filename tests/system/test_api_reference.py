"""The API reference, in a real browser against a real server."""

from playwright.sync_api import expect
from support.paths import IMAGES
from support.tools import needs

pytestmark = needs("chromium")


def test_api_reference_executes_a_request(open_page):
    page = open_page("/docs")
    call = page.locator(".opblock", has=page.locator("[data-path='/v1/models/{model}/classify']"))
    call.locator(".opblock-summary").click()
    call.get_by_placeholder("model").fill("mnist")
    call.locator("input[type=file]").set_input_files(IMAGES / "mnist-7.png")
    call.get_by_role("button", name="Execute").click()
    response = call.locator(".live-responses-table .response")
    expect(response.locator(".response-col_status")).to_contain_text("200")
    expect(response).to_contain_text('"label": "7"')
