import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faceid.domain import FaceTag
from faceid.errors import InvalidRequest, PromptSyntaxError
from faceid.prompt_syntax import fill_characteristics, name_person, parse_prompt


@pytest.mark.parametrize(
    ("prompt", "text", "tags"),
    [
        ("<faceid:17:0.9> woman trekking in the alps", "woman trekking in the alps", [(17, 0.9)]),
        ("<faceid:17> woman", "woman", [(17, 1)]),
        ("photo of <faceid:17:1> woman, white studio", "photo of woman, white studio", [(17, 1)]),
        ("< FaceID : 17 : .5 >man", "man", [(17, 0.5)]),
        ("<faceid:17:1>, woman", "woman", [(17, 1)]),
        ("portrait<faceid:17:1>, blue hour", "portrait, blue hour", [(17, 1)]),
        ("<faceid:1:1> man and <faceid:1:1> his twin", "man and his twin", [(1, 1), (1, 1)]),
        ("woman <faceid:17:3>", "woman", [(17, 3)]),
        ("i <3 you, a < b > c, <b>bold</b>", "i <3 you, a < b > c, <b>bold</b>", []),
        ("ratio 3:4 of a face", "ratio 3:4 of a face", []),
        ("", "", []),
    ],
)
def test_reads(prompt, text, tags):
    parsed = parse_prompt(prompt)
    assert parsed.text == text
    assert [(tag.tune_id, tag.strength) for tag in parsed.tags] == tags


@pytest.mark.parametrize(
    ("prompt", "column", "words"),
    [
        ("a <faceid:17:1 woman", 3, "not closed"),
        ("<faceid:17:1 <faceid:18:1>", 1, "not closed"),
        ("a <lora:9:1> woman", 3, "not supported yet"),
        ("a <lora> woman", 3, "not supported yet"),
        ("a <pose:9:1> woman", 3, "<pose:…> is not a tag"),
        ("<faceid:tune_id:strength> woman", 9, "not a tune's id"),
        ("<faceid:tune_id:1> woman", 9, "'tune_id' is not a tune's id"),
        ("<faceid:> woman", 9, "'' is not a tune's id"),
        ("<faceid> woman", 1, "0 parts"),
        ("<faceid:1:2:3> woman", 1, "3 parts"),
        ("<faceid:-1:1> woman", 9, "'-1'"),
        ("<faceid:17:3.1> woman", 12, "outside 0 to 3"),
        ("<faceid:17:-0.1> woman", 12, "outside 0 to 3"),
        ("<faceid:17:0,9> woman", 12, "'0,9' is not a strength"),
        ("<faceid:17:nan> woman", 12, "not a strength"),
        ("<faceid:17:1e9> woman", 12, "not a strength"),
        ("<faceid:17:> woman", 12, "not a strength"),
        ("<faceid:١٧:1> woman", 9, "not a tune's id"),
        ("<<faceid:1:1>faceid:2:1> woman", 2, "inside another"),
    ],
)
def test_points_at_what_is_wrong(prompt, column, words):
    with pytest.raises(PromptSyntaxError) as caught:
        parse_prompt(prompt)
    assert caught.value.column == column
    assert words in str(caught.value)
    assert f"(column {column})" in str(caught.value)


plain = st.text(st.characters(exclude_characters="<>{}", exclude_categories=["Cs"]), max_size=40)
strengths = st.integers(0, 300).map(lambda n: n / 100)
tags = st.tuples(st.integers(0, 2**53), strengths)
spaces = st.text(" \t", max_size=2)


@given(st.lists(st.tuples(plain, tags, spaces), max_size=4), plain)
def test_every_tag_is_found_and_none_is_left(parts, tail):
    prompt = ""
    for text, (tune_id, strength), space in parts:
        prompt += f"{text}<{space}FaceId{space}:{space}{tune_id}{space}:{space}{strength}{space}>"
    parsed = parse_prompt(prompt + tail)
    assert [(t.tune_id, t.strength) for t in parsed.tags] == [tag for _, tag, _ in parts]
    assert "<" not in parsed.text
    words = " ".join([text for text, *_ in parts] + [tail]).replace(",", " ").replace(";", " ").split()
    assert "".join(words) == "".join(parsed.text.replace(",", " ").replace(";", " ").split())


@given(st.text(alphabet="<>faceidlor:0123456789. ,{}-", max_size=60))
@example("<<faceid:1:1>faceid:1:1>")
@example("<faceid:1<faceid:2:1>:1>")
def test_any_text_is_read_or_refused_with_its_column(prompt):
    try:
        parsed = parse_prompt(prompt)
    except PromptSyntaxError as error:
        refused_at = error.column
    else:
        refused_at = None
    if refused_at is not None:
        assert 1 <= refused_at <= len(prompt)
        return
    again = parse_prompt(parsed.text)
    assert again.tags == ()
    assert all(isinstance(tag, FaceTag) and 0 <= tag.strength <= 3 for tag in parsed.tags)


def test_one_person_may_be_named_often():
    assert parse_prompt("<faceid:2:0.5> and <faceid:2:0.5>").person() == FaceTag(2, 0.5, 1)
    assert parse_prompt("nobody").person() is None


@pytest.mark.parametrize(
    ("prompt", "words"),
    [("<faceid:2:1> and <faceid:1:1>", "Two people"), ("<faceid:2:1> and <faceid:2:0.5>", "two strengths, 1 and 0.5")],
)
def test_two_people_and_two_strengths_are_refused(prompt, words):
    with pytest.raises(PromptSyntaxError, match=words) as caught:
        parse_prompt(prompt).person()
    assert caught.value.column == 18


def test_fills_characteristics():
    assert (
        fill_characteristics("man, {{ eyes }} eyes, {{hair}}", {"eyes": "green", "hair": "grey"})
        == "man, green eyes, grey"
    )


def test_names_an_unknown_characteristic():
    with pytest.raises(InvalidRequest, match=r"\{\{hat\}\} is not a characteristic of this tune. It has: eyes, hair"):
        fill_characteristics("man, {{hat}}", {"hair": "grey", "eyes": "green"})


def test_a_characteristic_cannot_bring_a_tag():
    with pytest.raises(InvalidRequest, match="cannot come from"):
        fill_characteristics("<{{a}}", {"a": "faceid:1:1>"})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "<faceid:7:1> woman"),
        ("woman, beach", "<faceid:7:1> woman, beach"),
        ("photo of < FaceID:3:0.5> in the alps", "photo of <faceid:7:1> in the alps"),
        ("<faceid:3> man, beach, <faceid:3>  Person", "<faceid:7:1> woman, beach, <faceid:7:1>  woman"),
        ("<faceid:7:0.5> girl on a swing", "<faceid:7:1> girl on a swing"),
        ("<faceid:3> manager", "<faceid:7:1> manager"),
    ],
)
def test_writes_the_tag_of_a_person_into_a_prompt(text, named):
    assert name_person(text, 7, "woman") == named


def test_writes_a_strength():
    assert name_person("", 7, "man", 0.85) == "<faceid:7:0.85> man"
