"""A browser on the page of a real server: Debian's chromium, or another program of this name."""

import os
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
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
