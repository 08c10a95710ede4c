"""What the store keeps of tunes: whole, and nobody else's."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from stored import add, add_prompt, make_tune
from tunes_kept import KEY, make_photo, make_tokens

from faceid.domain import TUNE_LIFETIME, IdentityKey, now
from faceid.errors import NotFound
from faceid.ids import new_id
from faceid.store import TuneStore

# Tunes


def test_everything_of_a_tune_comes_back_after_a_restart(folder):
    tune = make_tune(
        token="sks",
        branch="fast",
        base_tune_id=1504944,
        callback="https://example.org/done",
        is_api=True,
        characteristics={"hair": "grün"},
        options={"steps": None, "face_crop": True},
        consent_at=now(),
        consent_route="api",
    )
    photos = [make_photo(2), make_photo(1)]
    with closing(TuneStore.open(folder)) as store:
        tune, created = store.add_tune(tune, photos, {KEY: make_tokens(5)})
        assert created
    with closing(TuneStore.open(folder)) as store:
        assert store.get_tune("ada", tune.id) == tune
        assert tune.num_photos == 2
        assert tune.expires_at - tune.created_at == pytest.approx(TUNE_LIFETIME, abs=timedelta(seconds=1))
        kept = store.photos("ada", tune.id)
        assert [(p.sha256, p.original, p.warnings) for p in kept] == [
            (p.sha256, p.original, p.warnings) for p in photos
        ]
        assert store.thumbnail("ada", tune.id) == photos[0].thumbnail
        assert kept[0].vectors["offline"].dtype == np.float32
        np.testing.assert_array_equal(kept[0].vectors["offline"], photos[0].vectors["offline"])
        tokens = store.tokens("ada", tune.id, KEY)
        assert tokens.dtype == np.float16
        np.testing.assert_array_equal(tokens, make_tokens(5))


def test_photos_need_not_be_kept(store):
    tune = add(store, [replace(make_photo(1), original=None)])
    assert store.photos("ada", tune.id)[0].original is None


def test_the_same_owner_title_and_photos_are_the_existing_tune(store):
    one, two, three = (make_photo(i) for i in (1, 2, 3))
    tune = add(store, [one, two])
    again, created = store.add_tune(make_tune(name="man"), [two, one], {})
    assert (again, created) == (tune, False)
    assert store.find_tune("ada", "Ada", [two.sha256, one.sha256]) == tune
    for other in ({"photos": [one, three]}, {"photos": [one]}, {"title": "ada"}, {"owner": "bob"}):
        assert add(store, **({"photos": [one, two]} | other)).id != tune.id
    assert store.find_tune("ada", "Ada", [three.sha256]) is None
    assert store.find_tune("bob", "ada", None) is None


def test_where_titles_decide_other_photos_do_not_matter(store):
    tune = add(store)
    again, created = store.add_tune(make_tune(), [make_photo(2)], {}, titles_decide=True)
    assert (again, created) == (tune, False)
    assert store.find_tune("ada", "Ada", None) == tune


def test_a_tune_that_expired_is_not_the_existing_one(store):
    old = add(store, expires_at=now())
    assert store.find_tune("ada", "Ada", None) is None
    assert add(store).id != old.id


def test_an_id_that_is_taken_is_replaced(store):
    tune = add(store, title="one", id=77)
    assert tune.id == 77
    assert add(store, title="two", id=77).id > 2**22
    prompt = add_prompt(store, id=5)
    assert (prompt.id, add_prompt(store, id=5).id > 2**22) == (5, True)


def test_a_foreign_an_expired_and_an_unknown_tune_give_the_same_error(store):
    foreign, expired = add(store, owner="bob"), add(store, expires_at=now())
    calls = [
        lambda i: store.get_tune("ada", i),
        lambda i: store.update_tune("ada", i, title="mine"),
        lambda i: store.delete_tune("ada", i),
        lambda i: store.photos("ada", i),
        lambda i: store.thumbnail("ada", i),
        lambda i: store.tokens("ada", i, KEY),
        lambda i: store.add_tokens("ada", i, KEY, make_tokens(1)),
        lambda i: add_prompt(store, tune_ids=(i,)),
    ]
    for call in calls:
        messages = set()
        for tune_id in (foreign.id, expired.id, 12345):
            with pytest.raises(NotFound) as error:
                call(tune_id)
            messages.add(str(error.value).replace(str(tune_id), "ID"))
        assert len(messages) == 1
    assert store.get_tune("bob", foreign.id).title == "Ada"
    assert store.list_tunes("ada") == []


def test_tunes_are_listed_newest_first_page_by_page(store):
    ids = [add(store, id=i, title=f"tune {i}").id for i in (10, 30, 20)]
    add(store, id=25, owner="bob")
    assert ids == [10, 30, 20]

    def listed(**kw):
        return [tune.id for tune in store.list_tunes("ada", **kw)]

    assert listed() == [30, 20, 10]
    assert listed(limit=2) == [30, 20]
    assert listed(limit=2, offset=1) == [20, 10]
    assert listed(before_id=30, limit=1) == [20]
    assert listed(before_id=10) == []


def test_tunes_are_filtered(store):
    add(store, id=1, title="Ärztin 100%", name="woman", branch="flux1")
    add(store, id=2, title="doctor", name="man", branch="fast")

    def listed(**kw):
        return [tune.id for tune in store.list_tunes("ada", **kw)]

    assert listed(title="äRZT") == [1]
    assert listed(title="0%") == [1]
    assert listed(title="d%r") == []
    assert listed(names=("man", "boy")) == [2]
    assert listed(branch="fast", model_type="faceid") == [2]
    assert listed(model_type="lora") == []


def test_an_update_changes_what_is_given(store):
    tune = add(store, created_at=datetime(2026, 1, 1, tzinfo=UTC), updated_at=datetime(2026, 1, 1, tzinfo=UTC))
    changed = store.update_tune("ada", tune.id, title="Ada L.", characteristics={"eyes": "grey"})
    assert (changed.title, changed.name, changed.characteristics) == ("Ada L.", "woman", {"eyes": "grey"})
    assert changed.updated_at > tune.updated_at
    assert changed.created_at == tune.created_at
    assert store.get_tune("ada", tune.id) == changed


def test_tokens_belong_to_an_adapter_and_a_face_pack(store):
    tune = add(store)
    newer = IdentityKey("pulid-fast@2", "offline")
    assert store.tokens("ada", tune.id, newer) is None
    for number in (2, 3):  # the second time in the place of the first
        store.add_tokens("ada", tune.id, newer, make_tokens(number))
    assert store.tokens("ada", tune.id, newer)[0, 0, 0] == 3
    assert store.tokens("ada", tune.id, KEY)[0, 0, 0] == 1


# Ids


def test_ids_grow_with_time_and_stay_exact_in_a_double():
    moment = datetime(2026, 5, 4, tzinfo=UTC)
    assert new_id(moment) < new_id(moment + timedelta(seconds=1))
    assert new_id(moment) >> 22 == (moment - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()
    assert new_id(datetime(2093, 1, 1, tzinfo=UTC)) < 2**53
    assert len({new_id(moment) for _ in range(100)}) > 95
