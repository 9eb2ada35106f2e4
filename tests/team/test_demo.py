"""`make team-demo`: what it shows happens."""

import re
import subprocess
import sys

import pytest

SHOWN = [
    r"she is shown: People",
    r"✗ forbidden Your role on this server is viewer, and delete_segment needs the role editor. Nothing was changed.",
    r"… 15 steps in all",
    r"✗ confirmation_required A person has to agree first. Nothing was changed.",
    r"https://crm.example.org/approve/q[0-9a-f]{16}",
    r"Apply a plan of 15 changes\?  \[Do not apply\] \[Apply\]",
    r"Your yes is recorded.",
    r"Replica A carries it out, and is killed \(kill -9\) after \d+ of 15 steps",
    r"B goes on after \d+\.\d s, with a lease of 3 s",
    r"15 steps done; 1[56] writes reached amoCRM for them",
    r"c[0-9a-f]{12} by user 1002045: Change segment «.*» \(id \d+\) and 14 more: done",
    r"user 1002045: change apply_plan: done, Анна Зёрнова has agreed",
    r"Анна Зёрнова: approval yes: done",
    r"Анна Зёрнова: person role: done",
]


@pytest.mark.exhaustive
@pytest.mark.requirement("RUN-3", "TEAM-3", "TEAM-32")
def test_the_demo_refuses_a_viewer_and_finishes_an_approved_plan_of_a_replica_that_was_killed() -> None:
    command = [sys.executable, "-m", "scripts.team_demo"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    found = iter(shown.stdout.splitlines())
    missing = [line for line in SHOWN if not any(re.fullmatch(rf"\s*{line}", one) for one in found)]
    assert (missing, shown.stderr) == ([], "")
