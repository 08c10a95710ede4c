"""Markup in titles, prompts and file names, in a real Chromium: it is shown as it was typed and does nothing."""

import re

from test_page import PATIENCE, browser, create_tune, expect, open_tab  # noqa: F401

MARKUP = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>{{constructor}}<b>bold</b>'


def test_markup_is_shown_and_not_obeyed(browser, public_app, tmp_path, astronaut_path):  # noqa: F811
    photo = tmp_path / "<img src=x onerror=window.hurt=1>.jpg"
    photo.write_bytes(astronaut_path.read_bytes())
    blank = tmp_path / "<i>blank<i>.jpg"
    blank.write_bytes(b"<svg onload=window.hurt=1>")
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(public_app.url)
    expect(page.locator("#people")).to_contain_text("No tune yet", timeout=PATIENCE)
    create_tune(page, MARKUP, [blank])
    expect(page.locator("#create-result [role=alert]")).to_contain_text(
        "<i>blank<i>.jpg: This is not", timeout=PATIENCE
    )
    page.reload()
    create_tune(page, MARKUP, [photo])
    expect(page.locator("#create-result")).to_contain_text(f"“{MARKUP}” is ready", timeout=PATIENCE)
    open_tab(page, "My tunes")
    card = page.locator("#tunes .tune")
    expect(card.locator("h3")).to_have_text(MARKUP, timeout=PATIENCE)
    open_tab(page, "Generate")
    expect(page.locator("#people .person span")).to_have_text(MARKUP)
    prompt = page.locator("#prompt textarea")
    expect(prompt).to_have_value(re.compile(r"^<faceid:\d+:1>"), timeout=PATIENCE)
    prompt.fill(f"{prompt.input_value()} {MARKUP}")
    page.locator("#generate").click()
    expect(page.locator("#progress [role=alert]")).to_contain_text(re.compile("tag|characteristic"), timeout=PATIENCE)
    assert page.evaluate("window.hurt") is None
    assert page.locator("#tunes b, #people b, #create-result b, #progress b, img[src=x]").count() == 0
    context.close()
