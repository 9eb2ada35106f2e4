"""What a token says of itself is read where it says it, and whatever else it is does no harm."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from amo_mcp.amocrm.claims import expiry


def jwt(claims: Any) -> SecretStr:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return SecretStr(f"{part({'alg': 'RS256'})}.{part(claims)}.c2lnbg")


@pytest.mark.parametrize(
    ("token", "expires"),
    [
        (jwt({"exp": 1_750_000_000}), 1_750_000_000.0),
        (jwt({"exp": 1.5, "имя": "ё" * 7}), 1.5),
        (jwt({"exp": "1750000000"}), None),
        (jwt({"exp": None}), None),
        (jwt({}), None),
        (jwt([1]), None),
        (SecretStr("opaque"), None),
        (SecretStr("a.b"), None),
        (SecretStr("a.ё.c"), None),
        (SecretStr(".."), None),
    ],
)
def test_when_a_token_ends_is_read_from_it_where_it_says_so(token: SecretStr, expires: float | None) -> None:
    assert expiry(token) == expires


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(claim=JSON_VALUES)
def test_whatever_a_token_claims_of_its_end_is_a_number_or_nothing(claim: Any) -> None:
    assert isinstance(expiry(jwt({"exp": claim})), float | None)


@given(text=st.text(max_size=40))
def test_whatever_a_token_is_it_can_be_looked_at(text: str) -> None:
    assert isinstance(expiry(SecretStr(text)), float | None)


def test_an_end_beyond_all_numbers_is_no_end() -> None:
    assert expiry(jwt({"exp": 10**400})) is None
