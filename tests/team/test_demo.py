"""`make team-demo`: what it shows happens."""

import re
import subprocess
import sys

import pytest

SHOWN = [
    r"✗ forbidden Your role on this server is viewer, and delete_segment needs the role editor. Nothing was changed.",
    r"… 15 steps in all",
    r"\? Apply a plan of 15 changes\?  yes",
    r"Replica A is killed \(kill -9\) after \d+ of 15 steps; its answer never comes",
    r"B goes on after \d+\.\d s, with a lease of 3 s",
    r"15 steps done; 1[56] writes reached amoCRM for them",
    r"c[0-9a-f]{12} by Anna: Change segment «.*» \(id \d+\) and 14 more: done",
]


@pytest.mark.exhaustive
@pytest.mark.requirement("RUN-3", "TEAM-3")
def test_the_demo_refuses_a_viewer_and_finishes_the_plan_of_a_replica_that_was_killed() -> None:
    command = [sys.executable, "-m", "scripts.team_demo"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    found = iter(shown.stdout.splitlines())
    missing = [line for line in SHOWN if not any(re.fullmatch(rf"\s*{line}", one) for one in found)]
    assert (missing, shown.stderr) == ([], "")
