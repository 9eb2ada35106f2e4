"""What the commands say of a failed request, in the words of the tools."""

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.failures import explain


def explained(error: AmoError) -> str:
    """What happened, and what to do: "amoCRM answered with the status 500. Try again in a minute."."""
    failure = explain(error)
    assert failure is not None, "every AmoError is explained"
    answer = failure.answer["error"]
    return f"{answer['message'].removesuffix(' Nothing was changed.')} {answer.get('hint', '')}".strip()
