"""The settings of an environment that a test has made."""

from typing import Any

import pytest

from amo_mcp.settings import InvalidSettings, ServingSettings, Settings, load_settings

TOKEN = "ey.secret-value.of-a-token"


def serving(**chosen: Any) -> ServingSettings:
    return load_settings(ServingSettings, **chosen)


def problems(monkeypatch: pytest.MonkeyPatch, kind: type[Settings] = ServingSettings, **environment: str) -> list[str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(kind)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems
