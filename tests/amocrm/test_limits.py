"""The palettes are the reference's, number for number, and every way of writing one of their colours is understood."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm import limits as palette

STATUS = """
    #fffeb2 #fffd7f #fff000 #ffeab2 #ffdc7f #ffce5a #ffdbdb #ffc8c8 #ff8f92 #d6eaff #c1e0ff #98cbff #ebffb1 #deff81
    #87f2c0 #f9deff #f3beff #ccc8f9 #eb93ff #f2f3f4 #e6e8ea
""".split()
SEGMENT = """
    10599d 2176ff 006acc 07a0c3 247ba0 177e89 046e8f 598381 0c7c59 495f41 00a44b 08605f bf2600 06d6a0 e14945 79b473
    ae003f a2ad59 cd0f53 8e936d 832161 2e5339 bf126f 6f7c12 ff5376 dd1c1a bb304e 631d76 9d2b32 4a001f b118c8 6a0f49
    6610f2 b38a58 8963ba 4b3666 932f6d 6b2d5c 6461a0 4f517d
""".split()
BOTH = [(palette.status_color, STATUS, "#", 21), (palette.segment_color, SEGMENT, "", 40)]
EACH = pytest.mark.parametrize(("understood", "colors", "mark", "count"), BOTH, ids=["status", "segment"])
Understood = Callable[[str], str]

rule = settings(max_examples=60)


@pytest.mark.requirement("ARG-5")
def test_the_palettes_and_limits_are_those_of_the_reference() -> None:
    assert list(palette.STATUS_COLORS) == STATUS
    assert list(palette.SEGMENT_COLORS) == SEGMENT
    assert (len(set(STATUS)), len(set(SEGMENT))) == (21, 40)
    assert (palette.MAX_STATUSES, palette.MAX_SEGMENTS, palette.MAX_SEGMENT_FIELDS) == (30, 100, 30)


@EACH
@rule
@given(data=st.data())
def test_case_spaces_around_and_the_number_sign_do_not_matter(
    understood: Understood, colors: list[str], mark: str, count: int, data: st.DataObject
) -> None:
    color = data.draw(st.sampled_from(colors))
    digits = "".join(data.draw(st.sampled_from((digit, digit.upper()))) for digit in color.removeprefix("#"))
    around = data.draw(st.sampled_from(("", " ", "\t", "  ")))
    assert understood(around + data.draw(st.sampled_from(("", "#", "##"))) + digits + around) == color
    assert color.startswith(mark)


@EACH
@rule
@given(text=st.one_of(st.text(), st.from_regex("#?[0-9a-fA-F]{0,8}", fullmatch=True)))
def test_any_text_is_a_colour_of_the_palette_or_refused_with_the_palette(
    understood: Understood, colors: list[str], mark: str, count: int, text: str
) -> None:
    meant = mark + text.strip().lstrip("#").lower()
    if meant in colors:
        assert understood(text) == meant
    else:
        with pytest.raises(ValueError, match=f"^is not one of the {count} .* {' '.join(colors)}$"):
            understood(text)


@pytest.mark.parametrize(
    "text", ["", "#", " ", "fff", "#fffeb", "#fffeb22", "# fffeb2", "fffeb2#", "жёлтый", "10599D "]
)
def test_no_near_miss_is_taken_for_a_status_colour(text: str) -> None:
    with pytest.raises(ValueError, match="is not one of the 21 status colours"):
        palette.status_color(text)


@pytest.mark.parametrize("text", ["", "#", "0x10599d", "1059d", "#10599d0", "10 599d", "10599d#", "fffeb2"])
def test_no_near_miss_is_taken_for_a_segment_colour(text: str) -> None:
    with pytest.raises(ValueError, match="is not one of the 40 segment colours"):
        palette.segment_color(text)
