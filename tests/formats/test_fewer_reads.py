"""What is read once, or not decoded again, is what reading and decoding all of it gives."""

from __future__ import annotations

import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from s2st_aug.export.images import orientation_tag
from s2st_aug.formats.json_edit import members
from s2st_aug.formats.json_stream import each_record
from s2st_aug.formats.label_images import stored_orientation, stored_size
from s2st_aug.formats.names import FilesBelow
from s2st_aug.formats.small_files import read_file, read_from, write_file

WORDS = st.text('{}[]"\\,:é ', max_size=4)
VALUES = st.recursive(
    st.none() | st.integers() | WORDS | st.floats(allow_nan=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
LABELS = st.lists(VALUES, max_size=3)
FRAMES = st.lists(
    st.fixed_dictionaries({"name": WORDS}, optional={"labels": LABELS | VALUES, "x": VALUES}) | VALUES, max_size=4
)


def _told(read):
    try:
        return repr(read())
    except ValueError:
        return "refused"


@given(
    FRAMES, st.sampled_from([None, 1]), st.integers(0, 200), st.sampled_from(["", "]", "}", ",", '"', "1", " ", "\0"])
)
def test_records_one_at_a_time_are_what_json_loads_gives(frames, indent, cut, put):
    """Whole, and with a character more or one replaced."""
    whole = json.dumps([frame for frame in frames for _ in range(2)], indent=indent)
    for text in (whole, whole[:cut] + put + whole[cut:], whole[:cut] + put + whole[cut + 1 :]):
        if text.lstrip().startswith("["):
            assert _told(lambda text=text: list(each_record(text, "frames", "labels"))) == _told(
                lambda text=text: json.loads(text)
            )


def test_a_list_that_stands_there_again_is_not_decoded_again():
    one, two, three = each_record('[{"labels": [1]}, {"labels": [1], "a": 2}, {"labels": [12]}]', "frames", "labels")
    assert one["labels"] is two["labels"]
    assert (two["a"], three["labels"]) == (2, [12])


@given(st.dictionaries(WORDS, VALUES, max_size=2), LABELS | VALUES, st.dictionaries(WORDS, VALUES, max_size=2))
def test_a_last_list_ends_where_decoding_says(before, labels, after):
    text = json.dumps({**before, "labels": labels, **after}, ensure_ascii=False).encode().decode("latin-1")
    found, decoded = members(text, undecoded="labels"), members(text)
    assert [m[:3] for m in found] == [m[:3] for m in decoded]
    assert all(m.value is None or repr(m) == repr(d) for m, d in zip(found, decoded, strict=True))


def test_the_labels_of_a_plain_record_are_not_decoded():
    text = '{"name": "a.jpg", "labels": [{"id": "1", "box2d": {"x1": 1.0}}, {"poly2d": [[1, 2, "L"]]}] }'
    assert [m.value for m in members(text, undecoded="labels")] == ["a.jpg", None]


def test_files_below_a_folder_are_those_that_a_stat_finds(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/c.jpg").touch()
    (tmp_path / "a/link.jpg").symlink_to("c.jpg")
    (tmp_path / "a/dead.jpg").symlink_to("nothing")
    there = FilesBelow(tmp_path)
    names = (
        "a/c.jpg",
        "a/link.jpg",
        "a/dead.jpg",
        "a/b",
        "a",
        "a/C.jpg",
        "a/b/c.jpg",
        "x/c.jpg",
        "../a/c.jpg",
        "a\0/b",
    )
    assert [name in there for name in names] == [(tmp_path / name).is_file() for name in names]


def test_small_files_are_read_and_replaced_whole(tmp_path):
    path = tmp_path / "a"
    write_file(path, b"0123456789")
    assert (read_file(path), read_from(path, 8, 5), read_from(path, 20, 5)) == (b"0123456789", b"89", b"")
    write_file(path, b"01")
    assert path.read_bytes() == b"01"
    assert read_file("/proc/self/cmdline")  # its size is 0, as those of other files that are made when they are read


def _exif(tag: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = tag
    return exif


def _encoded(format: str, **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 4)).save(out, format, **more)
    return out.getvalue()


def _long_text() -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "IDAT" * 2000)
    return text


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize(
    ("data", "tag"),
    [
        (_encoded("PNG"), 1),
        (_encoded("PNG", exif=_exif(6)), 6),
        (_encoded("PNG", exif=_exif(6), pnginfo=_long_text()), 6),  # behind what is looked at first
        (_encoded("PNG", pnginfo=_long_text()), 1),
        (_encoded("JPEG"), 1),
        (_encoded("JPEG", exif=_exif(8)), 8),
        (_encoded("JPEG", exif=_exif(9)), 1),  # there is no such orientation
        (_encoded("JPEG", comment=b"\xff\xda" * 4000, exif=_exif(3)), 3),
        (_encoded("JPEG", xmp=XMP), 6),
        (_encoded("TIFF", exif=_exif(5)), 5),
        (_encoded("PNG")[:20], 1),
        (b"\xff\xd8\xff", 1),
        (b"", 1),
    ],
)
def test_an_orientation_is_found_wherever_pillow_finds_it(tmp_path, data, tag):
    path = tmp_path / "a.image"
    path.write_bytes(data)
    assert orientation_tag(path) == tag
    if data and tag != 1:
        assert stored_orientation(path) == tag


def test_an_image_that_is_replaced_is_looked_at_again(tmp_path):
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (8, 4)).save(path)
    Image.new("RGB", (4, 8)).save(other)
    assert stored_size(path) == (8, 4)
    os.replace(other, path)  # noqa: PTH105
    assert stored_size(path) == (4, 8)
