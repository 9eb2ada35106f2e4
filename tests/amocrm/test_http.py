"""One exchange: bounded, whole or an error, and whatever JSON comes can be passed on."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.amocrm import http
from amo_mcp.amocrm.errors import OutcomeUnknown, Unavailable
from amo_mcp.amocrm.http import parse_json
from tests.amocrm.answering import Answering, attributes, got, raised

pytestmark = pytest.mark.anyio


async def test_a_response_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_RESPONSE_BYTES", 10)
    assert await got(Answering(200, '"12345678"')) == "12345678"
    reason = "sent a response that is too large to be right"
    for status in (200, 400, 500):
        app = Answering(status, '"123456789"')
        error = await raised(app)
        assert (type(error), attributes(error)) == (Unavailable, {"reason": reason, "status": None, "hint": ""})
        error = await raised(app, "POST")
        assert (type(error), attributes(error)) == (OutcomeUnknown, {"reason": reason, "settled": True, "hint": ""})


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (r'{"name": "VIP \ud83d"}', {"name": "VIP \ufffd"}),
        (r'{"\udc00": "\uDE00 x"}', {"\ufffd": "\ufffd x"}),
        (r'["\ud83d\ude00", "\uD83Dx\ude00"]', ["😀", "\ufffdx\ufffd"]),
        (r'"\\ud83d"', r"\ud83d"),
    ],
)
async def test_half_of_a_surrogate_pair_becomes_the_replacement_character(body: str, parsed: Any) -> None:
    assert await got(Answering(200, body)) == parsed


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        (b'{"name": "\xff"}', {"name": "\ufffd"}),
        (b'["\xed\xa0\xbd"]', ["\ufffd\ufffd\ufffd"]),
        ('"ВИП"'.encode("cp1251"), "\ufffd\ufffd\ufffd"),
    ],
)
async def test_bytes_that_are_no_utf_8_become_the_replacement_character(raw: bytes, parsed: Any) -> None:
    assert await got(Answering(200, raw)) == parsed


@pytest.mark.parametrize("body", ['{"id": 1}', "[]", '"\ufeff"', r'"\ud83d"'])
async def test_a_byte_order_mark_before_the_json_is_dropped(body: str) -> None:
    assert await got(Answering(200, "\ufeff" + body)) == await got(Answering(200, body))


TEXTS = st.text(st.characters(codec=None))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
)


@given(value=JSON)
def test_whatever_the_api_escapes_can_be_passed_on_as_text(value: Any) -> None:
    parsed = parse_json(json.dumps(value).encode())
    passed_on = json.dumps(parsed, ensure_ascii=False)
    assert json.loads(passed_on.encode()) == parsed
    if "\\ud" not in json.dumps(value):
        assert parsed == value


def is_json(parse: Callable[[Any], Any], raw: bytes | str) -> bool:
    try:
        parse(raw)
    except ValueError:
        return False
    return True


@given(text=st.one_of(st.text(), st.text('[]{}",:0123456789.eE+-truefalsn\\u')))
def test_text_is_json_or_a_value_error(text: str) -> None:
    assert is_json(parse_json, text.encode()) == is_json(strict_json, text)


def strict_json(text: str) -> Any:
    """Python reads NaN and Infinity too, which are no JSON."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
async def test_what_is_no_number_is_no_answer(number: bytes) -> None:
    with pytest.raises(Unavailable):
        await got(Answering(200, b'{"id": ' + number + b"}"))


@given(raw=st.binary())
def test_bytes_are_never_worse_than_a_value_error(raw: bytes) -> None:
    assert is_json(parse_json, raw) in (True, False)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[1,"][",', b',"]"]')])
@pytest.mark.parametrize("inside", [b'"x"', b'"\xff"'])
async def test_what_is_nested_too_deep_to_be_parsed_is_no_answer(opening: bytes, closing: bytes, inside: bytes) -> None:
    deep = opening * 100 + inside + closing * 100
    assert await got(Answering(200, deep)) == json.loads(deep.decode(errors="replace"))
    for levels in (300, 900, 100_000):
        with pytest.raises(Unavailable):
            await got(Answering(200, opening * levels + inside + closing * levels))
