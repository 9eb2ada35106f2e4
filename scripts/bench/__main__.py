"""`make bench`: every figure as a ratio or a difference within one interleaved run, and how noisy the machine was.

They are written into BENCHMARKS.md; not with `--quick`, which takes a tenth of the rounds.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from scripts.bench.customers import looking_through, moving
from scripts.bench.figures import Figure, figure, write
from scripts.bench.journal import journal_cost
from scripts.bench.paint import first_paint
from scripts.bench.peers import EMPTY, OURS, Stdio, account_at, at_once, mebibytes, over_http, sandbox
from scripts.bench.take_over import taking_over
from scripts.bench.team import replicas

_IDLE = 1.0
"""Seconds between `tools/list` and the first call, as when a person types the first question."""

MAX_GROWTH = 1.02
"""Memory after many calls, relative to after a tenth of them."""

_AT_ONCE = 10
_IN_A_ROW = 10
_PER_SECOND = 50
_EMPTY_MS = 0.6
_EACH = 100


def cold_start(rounds: int, answer: str) -> Iterator[Figure]:
    """From the start of the process to the answer of `tools/list`; and how much memory the process uses then.

    Each process ends before the next one starts: what a server does while it idles is not to slow the other down.
    """
    ratios, ours_took, more = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        environment = account_at("http://127.0.0.1:9", folder)
        sides = [lambda: Stdio(EMPTY, answer), lambda: Stdio(*OURS, **environment)]
        for number in range(rounds):
            took, used = [0.0, 0.0], [0.0, 0.0]
            for side in (number % 2, 1 - number % 2):
                with sides[side]() as started:
                    took[side], used[side] = started.cold_start, started.mebibytes
            ratios.append(took[1] / took[0])
            ours_took.append(took[1])
            more.append(used[1] - used[0])
    yield figure("cold start to the answer of `tools/list`, relative to the empty server", ratios, "×", "≤ 0.90")
    yield figure("the same in seconds", ours_took, "s")
    yield figure("memory at that moment, above the empty server", more, "MiB", "≤ 12")


def first_call(rounds: int) -> Iterator[Figure]:
    """The first call of `list_segments` after a second of idling, over a later one of the same process."""
    ratios, first_took = [], []
    with sandbox(10) as (_, environment):
        for _ in range(rounds):
            with Stdio(*OURS, **environment) as ours:
                time.sleep(_IDLE)
                first, *later = [_timed(lambda: ours.call("list_segments")) for _ in range(1 + _IN_A_ROW)]
            ratios.append(first / statistics.median(later))
            first_took.append(first * 1000)
    yield figure("first call after a second of idling, relative to a later one", ratios, "×", "≤ 4")
    yield figure("the same in milliseconds", first_took, "ms")


def own_time(rounds: int, segments: int, wanted: float) -> Iterator[Figure]:
    """`list_segments`, less an empty tool and a bare request of the same list; and the same of a tool without work.

    The target in milliseconds is for a machine on which a call of an empty tool takes `_EMPTY_MS`, so the time is also
    given in such calls.
    """
    with sandbox(segments) as (url, environment), tempfile.TemporaryDirectory() as folder:
        headers = {"Authorization": f"Bearer {environment['AMO_ACCESS_TOKEN']}"}
        asked = f"{url}/api/v4/customers/segments?page=1&limit=250"
        with Stdio(*OURS, **environment) as ours, httpx2.Client(headers=headers) as bare:
            same = Path(folder) / "answer.json"
            same.write_text(json.dumps(ours.call("list_segments"), ensure_ascii=False), "utf-8")
            with Stdio(EMPTY, str(same), **environment) as empty:
                calls: list[Callable[[], object]] = [
                    lambda: ours.call("list_segments"),
                    lambda: empty.call("same"),
                    lambda: bare.get(asked).json(),
                    lambda: empty.call("fetched", {"url": asked}),
                ]
                own, least, in_calls = [], [], []
                for number in range(rounds):
                    # Who comes after a pause is slower, so everybody comes first in turn, and several times in a row.
                    order = [(number + place) % len(calls) for place in range(len(calls))]
                    took = {place: _mean_ms(calls[place]) for place in order}
                    own.append(took[0] - took[1] - took[2])
                    least.append(took[3] - took[1] - took[2])
                    in_calls.append(own[-1] / took[1])
                    time.sleep(_IN_A_ROW / _PER_SECOND)
    yield figure(f"own time of `list_segments`, {segments} segments", own[1:], "ms", f"≤ {wanted}")
    yield figure("the same, in calls of an empty tool over stdio", in_calls[1:], "calls", f"≤ {wanted / _EMPTY_MS:g}")
    yield figure("own time of a tool that only makes the same request", least[1:], "ms")


def throughput(rounds: int) -> Iterator[Figure]:
    """Calls a second of a tool that asks amoCRM for the account once, over both transports; over HTTP, ten at once."""
    with sandbox(1) as (_, environment), tempfile.TemporaryDirectory() as folder:
        same = Path(folder) / "answer.json"
        with Stdio(*OURS, **environment) as ours:
            same.write_text(json.dumps(ours.call("list_changes"), ensure_ascii=False), "utf-8")
            with Stdio(EMPTY, str(same)) as empty:
                ratios = []
                for _ in range(rounds):
                    times = [_timed(lambda: [ours.call("list_changes") for _ in range(50)])]
                    times.append(_timed(lambda: [empty.call("same") for _ in range(50)]))
                    ratios.append(times[1] / times[0])
        yield figure("calls per second over stdio, relative to the empty server", ratios, "×")
        with (
            over_http(*OURS, "serve", "--http", "--port", "0", **environment) as (our_url, process),
            over_http(EMPTY, str(same), "http") as (empty_url, _),
        ):
            ratios, tails = [], []
            for _ in range(rounds):
                our_times, our_whole = at_once([our_url], "list_changes", _AT_ONCE, _EACH)
                empty_times, empty_whole = at_once([empty_url], "same", _AT_ONCE, _EACH)
                ratios.append(empty_whole / our_whole)
                tails.append(_tail(our_times) / _tail(empty_times))
            used = mebibytes(process)
        yield figure("calls per second over HTTP, ten at once, relative to the empty server", ratios, "×", "≥ 0.8")
        yield figure("99th percentile of a call under that load, relative to the empty server", tails, "×", "≤ 0.5")
        yield figure("memory after it", [used], "MiB")


def memory(calls: int) -> Iterator[Figure]:
    """Memory of the server after many calls, over that after a tenth of them."""
    with Stdio(*OURS, AMO_SANDBOX="1") as ours:
        for number in range(1, calls + 1):
            ours.call("get_segment", {"segment_id": 51})
            if number == calls // 10:
                first = ours.mebibytes
        last = ours.mebibytes
    yield Figure(
        f"memory after {calls:,} calls, relative to after {calls // 10:,}",
        round(last / first, 4),
        "×",
        f"≤ {MAX_GROWTH}",
    )
    yield Figure(f"memory after {calls:,} calls, with the sandbox in the same process", last, "MiB")


def sizes() -> Iterator[Figure]:
    """Bytes of what the model reads; a token is about four of them in English, two and a half in Russian."""
    with sandbox(100) as (_, environment), Stdio(*OURS, **environment) as ours:
        whole = _compact(ours.tools)
        seen = [{name: tool[name] for name in ("name", "description", "inputSchema")} for tool in ours.tools]
        yield Figure("`tools/list`: names, descriptions, input schemas", len(_compact(seen)), "bytes", "≤ 11,500")
        yield Figure("`tools/list` whole", len(whole), "bytes", "≤ 23,000")
        for name in ("list_segments", "get_account", "list_segment_fields", "audit_segments"):
            yield Figure(f"`{name}` of a full account", len(_compact(ours.call(name))), "bytes")


def pace(what: str, action: str, method: str, wanted: float) -> Iterator[Figure]:
    """A hundred changes by one plan at 7 requests a second: the shortest time that the limit allows, over the time.

    The plan reads the account again while it runs: every two seconds, and before every deletion.
    """
    with sandbox(100) as (url, environment):
        del environment["AMO_RATE_LIMIT"]
        headers = {"Authorization": f"Bearer {environment['AMO_ACCESS_TOKEN']}"}
        with Stdio(*OURS, **{**environment, "AMO_CONFIRM": "chat"}) as ours:
            ids = [segment["id"] for segment in ours.call("list_segments", {"limit": 100})["segments"]]
            changes = [{"action": action, "kind": "segment", "id": number} for number in ids]
            if action == "update":
                changes = [{**change, "name": f"Новый {change['id']}"} for change in changes]
            plan = ours.call("plan_changes", {"changes": changes})
            asked = ours.ask("tools/call", {"name": "apply_plan", "arguments": {"plan_id": plan["plan_id"]}})
            approval = asked["structuredContent"]["error"]["approval_id"]
            # A person takes longer; until then the requests before the question count against the limit.
            time.sleep(1.1)
            applied = ours.call("confirm_change", {"approval_id": approval})
        assert len(applied["done"]) == len(ids)
        requests = httpx2.get(f"{url}/_sandbox/requests", headers=headers).json()
        at = [request["at"] for request in requests if request["method"] == method]
    shortest = (len(at) - 1) // 7
    kept = round(shortest / (at[-1] - at[0]), 4)
    yield Figure(f"100 {what} by one plan at 7 requests per second: share of that rate", kept, "×", f"≥ {wanted}")


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _mean_ms(work: Callable[[], object]) -> float:
    return _timed(lambda: [work() for _ in range(_IN_A_ROW)]) / _IN_A_ROW * 1000


def _tail(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _loops() -> list[float]:
    """Seconds that five million additions take now, five times: they show how steady the machine is."""
    return [_timed(lambda: sum(range(5_000_000))) for _ in range(5)]


def _measured(part: int) -> Iterator[Figure]:
    """Every figure, of so many times fewer rounds."""
    loops = _loops()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        answer.write_text('{"answer":42}', "utf-8")
        for found in (
            cold_start(max(3, 15 // part), str(answer)),
            first_call(max(3, 15 // part)),
            own_time(100 // part, 10, 1.5),
            own_time(100 // part, 100, 3.0),
            throughput(max(3, 20 // part)),
            memory(10_000 // part),
            journal_cost(max(3, 30 // part)),
            taking_over(max(3, 10 // part)),
            replicas(max(3, 10 // part)),
            pace("updates", "update", "PATCH", 0.9),
            pace("deletions", "delete", "DELETE", 0.45),
            moving(),
            looking_through(),
            first_paint(max(3, 15 // part)),
            sizes(),
        ):
            yield from found
            loops += _loops()
    yield Figure("the same loop of additions in between, the fastest", round(min(loops) * 1000, 1), "ms")
    yield Figure("the slowest of them, relative to it", round(max(loops) / min(loops), 2), "×")


def main() -> None:
    """Measure, print every figure when it is there, and write them all into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    figures = []
    for item in _measured(10 if quick else 1):
        figures.append(item)
        sys.stdout.write(f"{item.row}\n")
        sys.stdout.flush()
    if not quick:
        write(figures)


if __name__ == "__main__":
    main()
