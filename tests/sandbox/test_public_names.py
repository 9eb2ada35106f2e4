import dataclasses

import amo_mcp.sandbox
from amo_mcp.sandbox import Fault, Request


def test_the_public_names_are_these():
    assert amo_mcp.sandbox.__all__ == [
        "ADMIN_TOKEN",
        "USER_TOKEN",
        "Account",
        "Fault",
        "Faults",
        "Request",
        "Sandbox",
    ]
    assert (amo_mcp.sandbox.ADMIN_TOKEN, amo_mcp.sandbox.USER_TOKEN) == ("sandbox-admin", "sandbox-user")


def test_a_fault_is_nothing_unless_told_otherwise():
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


def test_a_request_recorded_has_these_attributes():
    assert [field.name for field in dataclasses.fields(Request)] == ["at", "method", "path", "status", "body"]
