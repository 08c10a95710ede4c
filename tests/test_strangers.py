"""Strangers at the running app: each tries to see, use, list, rename and delete what is another's, by every way in."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from visitors import PublicApp, Refused, Visitor, drawn, files, ids_on

PRIVATE = {
    "cache-control": "private, no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


@pytest.fixture(scope="module")
def app(public_app):
    return public_app


@pytest.fixture(scope="module")
def ada(app):
    """Somebody with a tune and a picture of it, made over the API."""
    return Visitor(app)


@pytest.fixture(scope="module")
def tune(ada, astronaut_path):
    return ada.create(astronaut_path, "Ada’s secret title")


@pytest.fixture(scope="module")
def picture(ada, tune):
    """The path of the picture."""
    gallery, _ = ada.call("generate", {"text": f"{tune['tag']} woman", "num_images": 1, "steps": 1})
    return gallery[0]["image"]["path"]


@pytest.fixture(scope="module")
def bob(app, astronaut_path):
    """Somebody at the page, who has a tune of the same photo under the same title there."""
    bob = Visitor(app)
    (path,) = bob.upload(astronaut_path)
    bob.happen("create", [bob.browser_key, files(path), "Ada’s secret title", "woman", False, True])
    return bob


@pytest.fixture
def eve(app):
    return Visitor(app)


# Over the endpoints


@pytest.mark.parametrize("name", ["get_tune", "delete_tune"])
def test_an_id_opens_nothing_of_anothers(eve, tune, name):
    with pytest.raises(Refused, match=f"There is no tune {tune['id']} of yours") as theirs:
        eve.call(name, {"tune_id": tune["id"]})
    with pytest.raises(Refused) as unknown:
        eve.call(name, {"tune_id": 1})
    assert theirs.value.text.replace(str(tune["id"]), "1") == unknown.value.text


def test_another_tune_is_not_listed_by_title_or_place(eve, tune):
    for wanted in ({}, {"title": "secret"}, {"before_id": tune["id"] + 1}, {"limit": 120}):
        assert eve.call("list_tunes", wanted) == []


def test_another_tune_is_not_drawn(eve, tune):
    with pytest.raises(Refused, match="There is no tune"):
        eve.call("generate", {"text": f"{tune['tag']} woman", "num_images": 1})
    with pytest.raises(Refused, match="There is no tune"):
        eve.call("generate", {"text": f"<faceid:{tune['id']:016d}:0> woman", "num_images": 1})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-FaceID-Key": "YOUR_API_KEY"},
        {"X-FaceID-Key": ""},
        {"X-API-Key": "KEY"},
        {"Authorization": "Basic KEY"},
        {"Authorization": "KEY"},
        {"Cookie": "faceid-key=KEY; session=KEY; access-token=KEY"},
        {"X-HF-Authorization": "KEY"},
        {"Host": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"},
        {"Host": "localhost:7860", "Origin": "http://localhost:7860", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_without_a_key_where_it_belongs_there_is_no_owner(ada, tune, headers):
    given = {
        name: value.replace("KEY", ada.key) if value != "YOUR_API_KEY" else value for name, value in headers.items()
    }
    with pytest.raises(Refused, match="A key of at least 20 characters is needed"):
        ada.call("get_tune", {"tune_id": tune["id"]}, given)


def test_a_wrong_key_is_another_owner_and_a_right_one_is_anywhere_it_belongs(ada, tune):
    assert ada.call("get_tune", {"tune_id": tune["id"]}, {"Authorization": f"Bearer {ada.key}"})["title"]
    assert ada.call("get_tune", {"tune_id": tune["id"], "owner_key": ada.key}, {})["title"]
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "X-FaceID-Key": ada.key}
    assert ada.call("get_tune", {"tune_id": tune["id"]}, evil)["title"]  # who has the key is the owner
    with pytest.raises(Refused, match="There is no tune"):
        ada.call("get_tune", {"tune_id": tune["id"], "owner_key": ada.key}, {"X-FaceID-Key": ada.key[:-1] + "x"})


@pytest.mark.parametrize("key", [["k"] * 40, {"k": 1}, 12345678901234567890, True])
def test_a_key_is_a_text(eve, key):
    with pytest.raises(Refused, match="A key of at least 20"):
        eve.call("list_tunes", {"owner_key": key}, {})


# Over HTTP


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tunes/{tune}"),
        ("PATCH", "/tunes/{tune}"),
        ("DELETE", "/tunes/{tune}"),
        ("GET", "/tunes/{tune}/prompts"),
        ("POST", "/tunes/{tune}/prompts"),
        ("GET", "/prompts/{prompt}"),
        ("DELETE", "/prompts/{prompt}"),
        ("GET", "/tunes/{tune}/prompts/{prompt}"),
        ("DELETE", "/tunes/{tune}/prompts/{prompt}"),
    ],
)
def test_an_id_opens_nothing_of_anothers_over_http(ada, eve, app, tune, picture, method, path):
    with closing(sqlite3.connect(app.folder / "tunes.sqlite3")) as connection:
        ((prompt,),) = connection.execute("SELECT prompt_id FROM prompt_tunes WHERE tune_id = ?", [tune["id"]])
    body = {"tune": {"title": "stolen"}, "prompt": {"text": f"{tune['tag']} woman"}} if method[0] == "P" else None
    answers = []
    for tune_id, prompt_id in ((tune["id"], prompt), (12345, 67890)):
        place = path.format(tune=tune_id, prompt=prompt_id)
        answer = eve.request(method, place, json=body, headers={"Authorization": f"Bearer {eve.key}"})
        assert answer.status_code == 404, answer.text
        answers.append(re.sub(r"\d+", "ID", answer.text))
        for headers in ({}, {"Authorization": "Bearer YOUR_API_KEY"}, {"Cookie": f"session={ada.key}"}):
            assert eve.request(method, place, json=body, headers=headers).status_code == 401
    assert answers[0] == answers[1]  # as if it were not there


def test_lists_over_http_are_ones_own(eve, tune, picture):
    for path in ("/tunes", "/prompts", f"/tunes?title={tune['title'][:3]}"):
        assert eve.request("GET", path, headers={"Authorization": f"Bearer {eve.key}"}).json() == []
    for path in (
        f"/photos/{tune['id']}/0/{'0' * 64}",
        f"/photos/{tune['id']}/0",
        "/pictures/guessed.png",
        "/pictures/../secret",
    ):
        assert eve.request("GET", path).status_code == 404


# By the page's own events


def test_a_browser_sees_its_own_and_its_key_is_no_key_of_the_api(ada, bob, eve, tune):
    assert len(ids_on(bob)) == 1
    assert ids_on(eve) == []
    assert str(tune["id"]) not in ids_on(bob)
    as_key = Visitor(eve.app, key=bob.browser_key, browser_key=ada.key)
    assert as_key.call("list_tunes", {}) == []
    assert ids_on(as_key) == []


def test_an_event_with_a_forged_key_is_refused(app, eve):
    for key in (None, "short", ["a"] * 30, {"key": 1}, 10**30):
        forged = Visitor(app, browser_key=key)
        people, *_ = forged.happen("refresh", [key, None, 24])
        assert people["cards"] == []
        assert "20 characters" in people["empty"]


def test_cards_of_others_cannot_be_used_or_deleted(eve, ada, bob, tune):
    theirs = [str(tune["id"]), *ids_on(bob)]
    for tune_id in theirs:
        event = {"event_data": {"id": tune_id}}
        *_, line = eve.happen("choose_card", [eve.browser_key, "", 1], **event)
        assert "There is no tune" in line["line"]
        assert "There is no tune" in eve.happen("delete", [eve.browser_key], **event)[0]["line"]
        line, *_ = drawn(eve, f"<faceid:{tune_id}:1> woman")
        assert "There is no tune" in line["line"]
    assert ada.call("get_tune", {"tune_id": tune["id"]})
    assert len(ids_on(bob)) == 1


def test_a_session_of_anothers_gives_nothing_of_its_owner(bob, eve):
    in_his_session = Visitor(bob.app, session=bob.session)
    assert ids_on(in_his_session) == []
    with pytest.raises(Refused, match="not there any more"):  # he has drawn nothing that could be picked
        in_his_session.happen("pick", [None], event_data={"index": 0, "value": None})


def test_a_page_brings_back_the_last_pictures_of_its_visitor_and_of_nobody_else(app, ada, bob, eve, picture):
    words = "a photo that is bob's"
    drawn(bob, words)
    his = json.dumps(bob.happen("open_page", [bob.browser_key, ""]))
    assert re.search(r"[\w-]{43}\.png", his)
    assert words in his
    in_his_session = Visitor(app, session=bob.session)
    for stranger, key in ((eve, eve.browser_key), (in_his_session, eve.browser_key), (eve, ada.key), (eve, "short")):
        shown = json.dumps(stranger.happen("open_page", [key, ""]))
        assert ".png" not in shown
        assert words not in shown


def test_state_cannot_be_forged(eve, picture):
    forged = [[[0, 1, picture, None]]]
    with pytest.raises(Refused, match="not there any more"):
        eve.happen("pick", forged, event_data={"index": 0, "value": None})


@pytest.mark.parametrize("tune_id", [None, "x", -1, 1.5, 2**53, [1], {"a": 1}, True])
def test_events_take_ids_only(eve, tune_id):
    assert "is not an id" in eve.happen("delete", [eve.browser_key], event_data={"id": tune_id})[0]["line"]


def test_events_without_what_they_need_are_refused_in_words(eve):
    for data in ([], ["x"], [eve.browser_key, {"path": "x"}, [], *[[]] * 12]):
        with pytest.raises(Refused, match=r"\w{3} \w+"):
            eve.happen("draw", data)
    with pytest.raises(Refused, match="no such endpoint") as refused:
        eve.happen("draw", [], fn_index=10**6)
    assert refused.value.status == 404


def test_anothers_generation_is_not_cancelled(ada, eve, app):
    with closing(sqlite3.connect(app.folder / "tunes.sqlite3")) as connection:
        before = connection.execute("SELECT id, status FROM prompts ORDER BY id").fetchall()
    eve.happen("cancel", [eve.browser_key, before[0][0] if before else 1])  # the id is the session's own state
    with closing(sqlite3.connect(app.folder / "tunes.sqlite3")) as connection:
        assert connection.execute("SELECT id, status FROM prompts ORDER BY id").fetchall() == before


# By files and addresses


def test_a_picture_is_served_to_who_knows_its_name_and_kept_by_no_cache(eve, picture):
    answer = eve.request("GET", f"/gradio_api/file={picture}")
    assert answer.headers["content-type"] == "image/png"
    assert {name: answer.headers[name] for name in PRIVATE} == PRIVATE
    name = Path(picture).name
    assert re.fullmatch(r"[\w-]{43}\.png", name)  # 256 bits


@pytest.mark.parametrize(
    "path",
    [
        "{data}/tunes.sqlite3",
        "{data}/tunes.sqlite3-wal",
        "{data}/secret",
        "{data}/pictures",
        "{data}/pictures/",
        "{data}/pictures/guessed.png",
        "{data}/pictures/../secret",
        "{data}/pictures/..%2fsecret",
        "{data}/pictures/%2e%2e/secret",
        "{data}/uploads/../secret",
        "{data}//secret",
        "secret",
        "../../../../../../../../etc/passwd",
        "/etc/passwd",
        "{data}/secret%00.png",
        "{picture}%00",
        "{picture}/",
        "{picture}/../{name}",
        "file://{data}/secret",
        "https://example.com/x.png",
        "{code}",
    ],
)
def test_nothing_else_is_served(eve, app, picture, path):
    names = {
        "data": app.folder,
        "picture": picture,
        "name": Path(picture).name,
        "code": Path("app.py").resolve(),
    }
    for route in ("/gradio_api/file=", "/gradio_api/file/", "/file="):
        answer = eve.request("GET", route + path.format(**names))
        if path.startswith("{picture}/") and answer.status_code == 200:
            continue  # another way to write the same picture
        assert answer.status_code == 404, route
        assert b"SQLite" not in answer.content


def test_an_upload_is_served_to_who_sent_it_and_found_by_nobody(ada, eve, app, astronaut_path):
    (path,) = ada.upload(astronaut_path)
    (same,) = eve.upload(astronaut_path)
    assert path != same  # who has the photo cannot ask whether it is there
    assert re.search(r"/[0-9a-f]{32}/astronaut\.jpg$", path)  # 128 bits
    answer = eve.request("GET", f"/gradio_api/file={path}")  # the page shows what was chosen
    assert (answer.content, answer.headers["content-type"]) == (astronaut_path.read_bytes(), "image/jpeg")
    assert {name: answer.headers[name] for name in PRIVATE} == PRIVATE
    for guessed in (Path(path).parent, Path(path).parent.with_name("0" * 32) / "astronaut.jpg", app.uploads):
        assert eve.request("GET", f"/gradio_api/file={guessed}").status_code == 404
    assert eve.create(astronaut_path, "mine")["title"] == "mine"
    assert app.uploads.joinpath(path).exists()  # removed with her own tune, not with another's of the same photo
    eve.request("POST", "/gradio_api/upload", files=[("files", ("../../../secret", b"x"))])
    assert (app.folder / "secret").stat().st_size > 10


@pytest.mark.parametrize(
    "path",
    ["{data}/secret", "/etc/hostname", "{data}/uploads/../secret", "{picture}", "{data}/uploads", "", "\0", "a" * 9000],
)
@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_only_an_upload_becomes_a_photo(eve, app, picture, path, meta):
    photo = {"path": path.format(data=app.folder, picture=picture), "orig_name": "x.png"} | meta
    with pytest.raises(Refused, match=r"is not an uploaded file|A value is missing|human|face"):
        eve.call("create_tune", {"photos": [photo], "title": "x"})


def test_nothing_is_fetched_for_a_stranger(eve, app):
    for path in ("http://127.0.0.1:9/x.png", "https://[::1]/x.png", "HTTP://example.com", "ftp://example.com/x"):
        for meta in ({}, {"meta": {"_type": "gradio.FileData"}}):
            with pytest.raises(Refused, match="Send the photo itself"):
                eve.call("create_tune", {"photos": [{"path": path} | meta], "title": "x"})
    assert not [folder for folder in app.uploads.iterdir() if re.fullmatch("[0-9a-f]{64}", folder.name)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/gradio_api/deep_link?session_hash={session}"),
        ("GET", "/gradio_api/proxy=https://example.hf.space/file=x"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/gradio_api/run-history/records"),
        ("GET", "/gradio_api/stream/x/0/1/playlist-file"),
    ],
)
def test_what_gradio_offers_beyond_the_app_is_closed(eve, bob, method, path):
    assert eve.request(method, path.format(session=bob.session)).status_code == 404


def test_what_everybody_is_told_says_nothing_of_anybody(eve, tune, picture):
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/status", "/gradio_api/openapi.json"):
        answer = eve.request("GET", path)
        for secret in (tune["title"], str(tune["id"]), Path(picture).name, "data:image/webp"):
            assert secret not in answer.text, path
    assert eve.request("GET", "/gradio_api/queue/data?session_hash=guessed").text.count("process_completed") == 0


def test_after_all_that_nothing_is_changed(ada, bob, tune):
    assert [kept["title"] for kept in ada.call("list_tunes", {})] == [tune["title"]]
    assert len(ids_on(bob)) == 1


# At home


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:7860"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_an_app_of_one_user_answers_no_other_site(app_url, headers):
    at_home = Visitor(PublicApp(app_url, Path(), {}))
    assert isinstance(at_home.call("list_tunes", {}, {}), list)
    with pytest.raises(Refused, match="its own machine only"):
        at_home.call("list_tunes", {}, headers)
    assert at_home.request("GET", "/tunes").status_code == 200
    assert at_home.request("GET", "/tunes", headers=headers).status_code == 401
