"""The page in a real Chromium, at a desk's and at a phone's width: a person makes a tune, draws, cancels, deletes."""

import re
import shutil
from pathlib import Path

import httpx
import pytest
from conftest import running_app
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed (Debian: apt-get install chromium)", allow_module_level=True)

from playwright.sync_api import Locator, Page, expect, sync_playwright  # noqa: E402

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
at_a_desk = pytest.mark.parametrize("page", ["desk"], indirect=True)  # where the width makes no difference
PATIENCE = 60_000  # ms; never waited for where things go well
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_url(tmp_path_factory):
    """An app of these tests' own: what its one local user sees is what they made."""
    with running_app(tmp_path_factory.mktemp("page")) as url:
        yield url


@pytest.fixture(scope="module")
def visitors(browser):
    """Somebody at a desk and somebody with a phone: browsers that have been here before, but for the first time."""
    schemes = {"desk": "light", "phone": "dark"}
    visitors = {name: browser.new_context(viewport=SIZES[name], color_scheme=schemes[name]) for name in SIZES}
    yield visitors
    for context in visitors.values():
        context.close()


@pytest.fixture(params=SIZES)
def page(request, visitors, page_url):
    """The page, loaded, with nothing to bring back. Afterwards: no other machine was asked, no script failed."""
    for prompt in httpx.get(f"{page_url}/prompts").json():
        httpx.delete(f"{page_url}/prompts/{prompt['id']}").raise_for_status()
    page = visitors[request.param].new_page()
    page.set_default_timeout(PATIENCE)
    requested, complaints = [], []
    page.on("request", lambda asked: requested.append(asked.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(page_url)
    expect(page.locator("#people")).to_contain_text(re.compile(r"No tune yet|\w"), timeout=PATIENCE)
    yield page
    page.close()
    assert complaints == []
    assert [url for url in requested if not url.startswith((page_url, "data:", "blob:"))] == []


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def create_tune(page: Page, title: str, photos: list[Path]) -> None:
    open_tab(page, "New person")
    page.locator("#photo-files input[type=file]").set_input_files(photos)
    expect(page.locator("#create-result")).to_contain_text("photos can be used", timeout=PATIENCE)
    page.locator("#tune-title textarea, #tune-title input").fill(title)
    page.locator("#tune-consent input").check()
    page.locator("#create-tune").click()


def delete_tune(page: Page, title: str) -> None:
    open_tab(page, "My tunes")
    card = page.locator("#tunes .tune", has_text=title)
    card.get_by_role("button", name="Delete…").click()
    card.get_by_role("button", name="Keep").click()
    expect(card).to_be_visible()
    card.get_by_role("button", name="Delete…").click()
    card.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#tunes-result")).to_contain_text("Deleted", timeout=PATIENCE)
    expect(card).to_have_count(0, timeout=PATIENCE)


def no_overflow(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_person_makes_a_tune_draws_with_it_and_deletes_it(page, astronaut_path):
    create_tune(page, "Eileen", [astronaut_path])
    expect(page.locator("#create-result")).to_contain_text("“Eileen” is ready", timeout=PATIENCE)
    assert no_overflow(page)

    open_tab(page, "Generate")
    prompt = page.locator("#prompt textarea")
    expect(prompt).to_have_value(re.compile(r"^<faceid:\d+:1> person$"), timeout=PATIENCE)
    expect(page.locator("#people .person.chosen")).to_contain_text("Eileen")
    prompt.fill(prompt.input_value() + ", beach")
    page.locator("#num-images input[type=number]").fill("2")
    page.locator("#settings > button").click()
    expect(page.locator("#seed input")).to_have_value("")  # random until it is asked for
    page.locator("#generate").click()
    expect(page.locator("#progress")).to_contain_text("2 pictures are done", timeout=PATIENCE)
    pictures = page.locator("#gallery .grid-container img")
    expect(pictures).to_have_count(2)
    assert pictures.first.evaluate("image => image.naturalWidth") == 256
    expect(page.locator("#gallery")).to_contain_text("seed")

    pictures.first.click()
    expect(page.locator("#reuse-seed")).to_contain_text("Reuse seed", timeout=PATIENCE)
    seed = re.search(r"\d+", page.locator("#reuse-seed").inner_text()).group()
    page.locator("#reuse-seed").click()
    expect(page.locator("#seed input")).to_have_value(seed, timeout=PATIENCE)
    with page.expect_download() as download:
        page.locator("#download").click()
    assert Image.open(download.value.path()).format == "PNG"
    assert no_overflow(page)

    open_tab(page, "Call it")
    expect(page.locator("#call-python")).to_contain_text(re.compile(r"faceid:\d+:1"), timeout=PATIENCE)
    expect(page.locator("#call-python")).to_contain_text(page.url.rstrip("/"))
    assert no_overflow(page)
    delete_tune(page, "Eileen")
    assert no_overflow(page)


@at_a_desk
def test_an_idea_draws_on_the_first_click(page):
    page.get_by_text("black and white photo, studio").first.click()
    expect(page.locator("#progress")).to_contain_text("4 pictures are done", timeout=PATIENCE)
    expect(page.locator("#prompt textarea")).to_have_value(re.compile(r"^<faceid:\d+:1> woman, black and white photo"))
    delete_tune(page, "Example: astronaut")


@at_a_desk
def test_what_is_wrong_is_said_where_one_looks(page, tmp_path, astronaut_path):
    page.locator("#prompt textarea").fill("<faceid:17:9> woman")
    page.locator("#generate").click()
    expect(page.locator("#progress [role=alert]")).to_contain_text("outside 0 to 3. (column 12)", timeout=PATIENCE)

    blank = tmp_path / "<b>blank.png"
    Image.new("RGB", (400, 400), "white").save(blank)
    create_tune(page, "Nobody", [astronaut_path, blank])
    expect(page.locator("#photos-seen .photo.bad")).to_contain_text("No face was found", timeout=PATIENCE)
    expect(page.locator("#photos-seen .photo img")).to_have_count(1)
    expect(page.locator("#create-result [role=alert]")).to_contain_text("No face was found", timeout=PATIENCE)
    page.locator("#tune-consent input").uncheck()
    page.locator("#create-tune").click()
    expect(page.locator("#create-result [role=alert]")).to_contain_text("Please tick", timeout=PATIENCE)
    assert page.locator("#photos-seen b b, #create-result b").count() == 0


@at_a_desk
def test_cancel_stops_and_the_next_one_runs(page):
    page.locator("#prompt textarea").fill("a woman")
    page.locator("#num-images input[type=number]").fill("8")
    page.locator("#settings > button").click()
    page.locator("#steps input[type=number]").fill("50")
    page.locator("#generate").click()
    expect(page.locator("#progress")).to_contain_text("Picture 1 of 8: step", timeout=PATIENCE)
    page.locator("#cancel").click()
    expect(page.locator("#progress")).to_contain_text("Cancelled.", timeout=PATIENCE)
    expect(page.locator("#cancel")).to_be_hidden()
    page.locator("#steps input[type=number]").fill("1")
    page.locator("#num-images input[type=number]").fill("1")
    page.locator("#generate").click()
    expect(page.locator("#progress")).to_contain_text("1 picture is done", timeout=PATIENCE)
    page.reload()
    expect(page.locator("#gallery .caption-label")).to_have_text(re.compile(r"seed \d+"), timeout=PATIENCE)


def choose(page: Page, dropdown: Locator, option: str) -> None:
    dropdown.click()
    page.get_by_role("option", name=option, exact=True).click()


def test_finishing_is_offered_or_off_with_the_reason_and_a_picture_s_settings_come_back(page):
    page.locator("#finishing > button").click()
    swap, hires = page.locator("#face-swap"), page.locator("#hires-fix")
    expect(swap).to_contain_text("Off: its weights are for non-commercial research only", timeout=PATIENCE)
    expect(hires).to_contain_text("no part of a larger picture")
    expect(swap.locator("input")).to_be_disabled()
    grain = page.locator("#film-grain")
    expect(grain).to_contain_text("grain of a fast film")
    grain.locator("input").check()
    page.locator("#super-resolution input").check()
    page.locator("#prompt textarea").fill("a woman, snow")
    page.locator("#num-images input[type=number]").fill("1")
    page.locator("#generate").click()
    expect(page.locator("#progress")).to_contain_text("1 picture is done", timeout=PATIENCE)
    picture = page.locator("#gallery .grid-container img").first
    assert picture.evaluate("image => image.naturalWidth") == 1024

    picture.click()
    expect(page.locator("#reuse-seed")).to_contain_text("Reuse seed", timeout=PATIENCE)
    with page.expect_download() as download:
        page.locator("#download").click()
    saved = download.value.path()
    grain.locator("input").uncheck()
    style, film = page.locator("#style input"), page.locator("#color-grading input")
    expect(style).to_have_value("None")
    choose(page, style, "Comic book")
    choose(page, film, "Ektar")
    page.locator("#settings > button").click()
    guidance = page.locator("#cfg-scale input[type=number]")
    expect(guidance).to_have_value("4", timeout=PATIENCE)  # as the style says
    page.locator("#prompt textarea").fill("something else")
    page.locator("#reuse-settings").click()
    expect(page.locator("#prompt textarea")).to_have_value("a woman, snow", timeout=PATIENCE)
    expect(grain.locator("input")).to_be_checked()
    for part, value in ((style, "None"), (film, "None"), (guidance, "3.5")):
        expect(part).to_have_value(value, timeout=PATIENCE)
    expect(swap.locator("input")).to_be_disabled()

    page.locator("#prompt textarea").fill("something else")
    page.locator("#super-resolution input").uncheck()
    with page.expect_file_chooser() as chooser:
        page.locator("#reuse-file").click()
    chooser.value.set_files({"name": "saved.png", "mimeType": "image/png", "buffer": Path(saved).read_bytes()})
    expect(page.locator("#prompt textarea")).to_have_value("a woman, snow", timeout=PATIENCE)
    expect(page.locator("#super-resolution input")).to_be_checked()
    assert no_overflow(page)


@at_a_desk
def test_a_picture_to_start_from(page, astronaut_path):
    page.locator("#start > button").click()
    page.locator("#input-image input[type=file]").set_input_files(astronaut_path)
    expect(page.locator("#input-image img")).to_be_visible(timeout=PATIENCE)
    page.locator("#denoising-strength input[type=number]").fill("0.3")
    page.locator("#prompt textarea").fill("a woman")
    page.locator("#num-images input[type=number]").fill("1")
    page.locator("#generate").click()
    expect(page.locator("#progress")).to_contain_text("1 picture is done", timeout=PATIENCE)
    page.get_by_role("button", name="Details").click()
    expect(page.locator("#details")).to_contain_text("denoising_strength", timeout=PATIENCE)
