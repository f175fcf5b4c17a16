#!/usr/bin/env python3
"""The page at /docs in a real browser: a person opens it, sends a file and reads the transcript. Exit code 1 when that fails.

usage: docs_page.py [--binary PATH] --screenshot FILE.png [--chromium PATH]

A service is started on loopback and a free port, and stopped. Headless Chromium opens /docs, unfolds POST /transcribe/, presses
"Try it out", picks a file, presses "Execute" and waits for a 200 with text. Errors in the console and requests to any other
host are failures. Look at the screenshot: it shows what the person sees at the end.
Needs `pip install -r requirements.txt` and a Chromium: the system's, or `playwright install chromium`.
"""

import json
import os
import shutil
import sys
import tempfile
import urllib.parse

import server as service
from speech import Speech

#: Milliseconds until the transcript must stand on the page.
PATIENCE = 120_000


def use(page, server, path):
    """Sends the file as a person would; (status, body) as they stand on the page."""
    page.goto(f"{server.url}/docs", wait_until="networkidle")
    block = page.locator(".opblock-post").filter(has=page.locator('[data-path="/transcribe/"]'))
    block.locator(".opblock-summary").click()
    block.get_by_role("button", name="Try it out").click()
    block.locator('input[type="file"]').set_input_files(path)
    block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table .response")
    live.wait_for(timeout=PATIENCE)
    return (
        live.locator(".response-col_status").inner_text().split()[0],
        live.locator(".response-col_description .microlight, .response-col_description code").first.inner_text(),
        block,
    )


def main():
    parser = service.parser(__doc__)
    parser.add_argument("--screenshot", required=True, help="where the picture goes")
    parser.add_argument(
        "--chromium",
        default=shutil.which("chromium") or shutil.which("google-chrome"),
        help="the browser's program (default: the system's, or playwright's)",
    )
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    speech, bounds = Speech(arguments.binary, arguments.data), service.Bounds()
    errors, elsewhere = [], []
    with service.Server(arguments.binary) as server, tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = os.path.join(folder, "speech.wav")
        with open(path, "wb") as file:
            file.write(speech.wav(10))
        # Without a sandbox, since containers run as root; nothing but the service's own page is opened.
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox", "--disable-background-networking"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda request: elsewhere.append(request.url) if urllib.parse.urlparse(request.url).hostname not in ("127.0.0.1", None, "") else None,
        )
        try:
            status, body, block = use(page, server, path)
            block.locator(".live-responses-table").scroll_into_view_if_needed()
        finally:
            page.screenshot(path=arguments.screenshot)
            browser.close()
        bounds.check("status on the page", status, "200", status == "200")
        text = json.loads(body).get("full_text", "") if body.startswith("{") else ""
        bounds.check("text on the page", repr(text[:60]), "some", bool(text.strip()))
        bounds.check("errors in the console", "; ".join(errors)[:300] or "0", "0", not errors)
        bounds.check("requests to other hosts", "; ".join(elsewhere)[:300] or "0", "0", not elsewhere)
        service.check_end(server, bounds)
    return bounds.finish()


if __name__ == "__main__":
    sys.exit(main())
