"""The programs in `examples/` do the main job, each in an environment of its own: `make clients`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("with_*.py"))
SECONDS = 300
"""That an example has; most of them are for installing what it needs, the first time."""


def run(program: str, said: str) -> str:
    """What an example prints for a person who types `said`. Nothing of the surroundings leads it to an account."""
    here = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    done = subprocess.run(
        [here / "uv", "run", "--quiet", "--script", EXAMPLES / f"{program}.py"],
        input=said,
        env={**environment, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "UV_SYSTEM_CERTS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_example_lists_plans_asks_applies_and_undoes(program: str) -> None:
    printed = run(program, "y\ny\n")
    tools = [line.removeprefix("→ ") for line in printed.splitlines() if line.startswith("→ ")]
    confirmed = ["confirm_change"] if program == "with_openai_agents" else []
    assert tools == ["list_segments", "plan_changes", "apply_plan", *confirmed, "undo_change", *confirmed]
    assert "\nApply a plan of 2 changes?\n" in printed
    assert printed.endswith(
        "Put back:\nCreate segment «vip клиенты» (id 96)\nPut 5 customers into «vip клиенты»\n"
        "Change segment «Best customers» (id 51)\n"
        "Not restored:\nsegment «vip клиенты» (id 54) comes back with a new id and without its conditions.\n"
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_example_does_nothing_after_a_no(program: str) -> None:
    printed = run(program, "n\n")
    assert "undo_change" not in printed
    assert printed.splitlines()[-1].rpartition("declined: ")[1] == "declined: "
