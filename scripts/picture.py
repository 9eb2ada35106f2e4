"""The READMEs' pictures of the demo: some steps of what `amo-mcp demo` prints, with long lists cut."""

import os
import re
import subprocess
import sys
from itertools import groupby

_STEPS = (
    *('"Delete the small old VIP one"', '"Do all of that"', "One confirmation for the whole plan", '"Put it back"'),
    *("«Удали старый маленький VIP»", "«Сделай всё это»", "Одно подтверждение на весь план", "«Верни как было»"),
)
"""How the titles of the steps begin that are shown."""

_FRAME, _LIST, _PROGRESS = "  │ ", "    ", "━"
_MAX_LINES = {_FRAME: 5, _LIST: 4, _PROGRESS: 1}
"""Lines of a kind, one after the other, that are shown."""

_VARYING = [
    (re.compile(r"\b([a-z])[0-9a-f]{12}\b"), r"\1…"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d \(UTC([+-]\d\d:\d\d)?\)"), "… (UTC)"),
    (re.compile(r"(about|около) [0-9.]+ (?=[sс])"), r"\1 … "),
]
"""What is different in each run: ids, the time, the time that a request takes."""


def picture(language: str = "en") -> str:
    """Run the demo without a terminal, and give the steps that are shown, as a block of Markdown."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    done = subprocess.run(
        [sys.executable, "-m", "amo_mcp", "demo", "--language", language],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        check=True,
        timeout=60,
    )
    return drawn(done.stdout)


def drawn(output: str) -> str:
    """The picture of one run's output."""
    for varying, replacement in _VARYING:
        output = varying.sub(replacement, output)
    steps = [step for step in output.strip().split("\n\n") if step.startswith(_STEPS)]
    return "```\n" + "\n\n".join(map(_shortened, steps)) + "\n```\n"


def _shortened(step: str) -> str:
    """A step with long runs of lines of a kind cut."""
    shown: list[str] = []
    for kind, run in groupby(step.split("\n"), _kind):
        lines = list(run)
        limit = _MAX_LINES.get(kind, len(lines))
        if kind == _PROGRESS:
            shown.append(lines[len(lines) // 2])
        elif len(lines) > limit:
            shown += [*lines[: limit - 1], f"{kind}…"]
        else:
            shown += lines
    return "\n".join(shown)


def _kind(line: str) -> str:
    if re.match(r" +━* +\d+ (of|из) \d+ ", line):
        return _PROGRESS
    if line.startswith(("    Yes?", "    Да?")):
        return ""
    return next((kind for kind in (_FRAME, _LIST) if line.startswith(kind)), "")
