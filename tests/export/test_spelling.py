"""Property tests of the other four formats: what an export does not have to change keeps its spelling."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2st_aug.formats.cityscapes.edit import edit_polygons
from s2st_aug.formats.coco.edit import edit_annotation, edit_image
from s2st_aug.formats.kitti.edit import edit_lines as edit_kitti
from s2st_aug.formats.yolo.edit import edit_lines as edit_yolo

ODD = st.sampled_from(
    [
        "-0.0",
        "1e-17",
        "NaN",
        "-Infinity",
        "9" * 40,
        "1.50",
        "2E+3",
        '"\\u00e9\\/"',
        '"\\ud800"',
        "null",
        "[[[[]]]]",
        '{"a": {"a": [-0]}}',
        '""',
        "true",
    ]
)
DEEP = st.integers(1, 200).map(lambda n: "[" * n + "]" * n)
SPACE = st.sampled_from(["", " ", "\n\t", "\r\n"])
KEYS = st.text(st.characters(codec="utf-8", exclude_characters='"\\\\'), min_size=1, max_size=6)


@st.composite
def record(draw, own: dict[str, str]) -> tuple[str, list[tuple[str, str]]]:
    """An object with its own members among unknown ones, in any order and spacing; and its members as text."""
    unknown = draw(st.dictionaries(KEYS.filter(lambda k: k not in own), ODD | DEEP, max_size=4))
    members = draw(
        st.permutations(
            [*own.items(), *((json.dumps(k, ensure_ascii=draw(st.booleans()))[1:-1], v) for k, v in unknown.items())]
        )
    )
    space = draw(SPACE)
    return "{" + space + f",{space}".join(f'"{k}":{space}{v}' for k, v in members) + "}", members


def latin(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


def expected(members: list[tuple[str, str]], changed: dict[str, str], text: str) -> str:
    """The same text with the values of some members put in place."""
    for key, value in members:
        if key in changed:
            text = text.replace(f'"{key}":{_gap(text, key)}{value}', f'"{key}":{_gap(text, key)}{changed[key]}', 1)
    return text


def _gap(text: str, key: str) -> str:
    after = text.split(f'"{key}":', 1)[1]
    return after[: len(after) - len(after.lstrip())]


@given(record({"id": "7", "file_name": '"a b.jpg"', "width": "40"}))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_entry_of_coco_images_changes_its_number_and_name_alone(drawn):
    text, members = drawn
    edited = edit_image(latin(text), 12, "a b__night.jpg")
    assert edited == latin(expected(members, {"id": "12", "file_name": '"a b__night.jpg"'}, text))


@given(record({"id": "7", "image_id": "3", "bbox": "[1, -0.0, 3.50, 1e0]", "iscrowd": "0"}), st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_coco_annotation_changes_its_numbers_and_what_a_verdict_asks(drawn, lost):
    text, members = drawn
    edited = edit_annotation(latin(text), 41, 12, ignored=lost)
    assert edited == latin(expected(members, {"id": "41", "image_id": "12"} | ({"iscrowd": "1"} if lost else {}), text))


@given(
    st.lists(record({"label": '"car"', "polygon": "[[0, -0.0], [4.50, 1], [4, 9]]"}), min_size=1, max_size=4),
    st.data(),
    SPACE,
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_cityscapes_file_changes_the_labels_of_ignored_polygons_alone(drawn, data, space):
    ignored = data.draw(st.sets(st.sampled_from(range(len(drawn)))))
    text = f'{{"imgHeight":{space}32, "odd": -0.0, "objects":{space}[' + f",{space}".join(t for t, _ in drawn) + "]}"
    wanted = text
    for index in ignored:
        old, members = drawn[index]
        new = expected(members, {"label": '"unlabeled"'}, old)
        parts = [t if i != index else new for i, (t, _) in enumerate(drawn)]
        drawn = [(p, m) for p, (_, m) in zip(parts, drawn, strict=True)]
        wanted = f'{{"imgHeight":{space}32, "odd": -0.0, "objects":{space}[' + f",{space}".join(parts) + "]}"
    assert edit_polygons(text.encode(), frozenset(map(str, ignored))) == wanted.encode()


NUMBER = st.sampled_from(["0", "-0.0", "1e-17", ".25", "1.", "0.500000000000000001", "+3", "00012", "1E2"])
ENDS = st.sampled_from(["\n", "\r\n", " \n"])


@given(st.lists(st.tuples(st.lists(NUMBER, min_size=14, max_size=15), ENDS), max_size=6), st.data())
@settings(max_examples=100, deadline=None)
def test_kitti_lines_that_stay_keep_every_byte(lines, data):
    texts = [f"Car {' '.join(words)}{end}" for words, end in lines]
    ignored = data.draw(st.sets(st.sampled_from(range(len(texts))))) if texts else set()
    edited = edit_kitti("".join(texts).encode(), frozenset(map(str, ignored))).decode()
    for index, (text, new) in enumerate(zip(texts, edited.splitlines(keepends=True), strict=True)):
        if index in ignored:
            assert new.split()[0] == "DontCare"
            assert new.split()[4:8] == text.split()[4:8]
            assert len(new.split()) == 15
        else:
            assert new == text


@given(st.lists(st.tuples(st.lists(NUMBER, min_size=4, max_size=4), ENDS), max_size=6), st.data())
@settings(max_examples=100, deadline=None)
def test_yolo_leaves_out_lost_lines_and_keeps_every_byte_of_the_rest(lines, data):
    texts = [f"0 {' '.join(words)}{end}" for words, end in lines]
    lost = data.draw(st.sets(st.sampled_from(range(len(texts))))) if texts else set()
    edited = edit_yolo("".join(texts).encode(), frozenset(map(str, lost))).decode()
    assert edited == "".join(t for i, t in enumerate(texts) if i not in lost)
