import dataclasses

import amo_mcp.sandbox
from amo_mcp.sandbox import Fault, Request


def test_the_sandbox_exports_exactly_its_public_names() -> None:
    assert amo_mcp.sandbox.__all__ == [
        "ADMIN_TOKEN",
        "USER_TOKEN",
        "Account",
        "Fault",
        "Faults",
        "Request",
        "Rule",
        "Sandbox",
        "Unknowns",
    ]
    assert (amo_mcp.sandbox.ADMIN_TOKEN, amo_mcp.sandbox.USER_TOKEN) == ("sandbox-admin", "sandbox-user")


def test_a_default_fault_hits_once_and_changes_nothing() -> None:
    assert dataclasses.asdict(Fault()) == {
        "method": None,
        "path": None,
        "times": 1,
        "skip": 0,
        "status": None,
        "body": None,
        "html": False,
        "content_type": None,
        "headers": {},
        "retry_after": None,
        "delay": 0,
        "drop": None,
        "after_effect": False,
    }


def test_a_recorded_request_has_exactly_its_documented_attributes() -> None:
    assert [field.name for field in dataclasses.fields(Request)] == ["at", "method", "path", "status", "body"]
