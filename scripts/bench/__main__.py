"""`make bench`: every figure as a ratio or a difference within one interleaved run, and how noisy the machine was.

`--json FILE` writes the figures as JSON too, `--quick` takes a tenth of the rounds.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2

from scripts.bench.peers import EMPTY, Stdio, account_at, at_once, mebibytes, over_http, sandbox

_OURS = ("-m", "amo_mcp")
_IDLE = 1.0
"""Seconds between `tools/list` and the first call, as when a person types the first question."""

_AT_ONCE = 10
_IN_A_ROW = 10
_PER_SECOND = 50
_EMPTY_MS = 0.6
_EACH = 100


@dataclass(frozen=True)
class Figure:
    """One result.

    Attributes:
        noise: the middle half of the single rounds' values lies within so much of the value (0.1 is 10 %).
        wanted: what the project asks of itself.
    """

    name: str
    value: float
    unit: str
    noise: float
    wanted: str = ""


def figure(name: str, rounds: list[float], unit: str, wanted: str = "") -> Figure:
    """The median of the rounds, and how far they lie apart."""
    low, middle, high = statistics.quantiles(rounds, n=4) if len(rounds) > 1 else [rounds[0]] * 3
    return Figure(name, round(middle, 4), unit, round(abs((high - low) / 2 / middle), 3) if middle else 0.0, wanted)


def cold_start(rounds: int, answer: str) -> Iterator[Figure]:
    """From the start of the process to the answer of `tools/list`; and how much memory the process uses then.

    Each process ends before the next one starts: what a server does while it idles is not to slow the other down.
    """
    ratios, ours_took, more = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        environment = account_at("http://127.0.0.1:9", folder)
        sides = [lambda: Stdio(EMPTY, answer), lambda: Stdio(*_OURS, **environment)]
        for number in range(rounds):
            took, used = [0.0, 0.0], [0.0, 0.0]
            for side in (number % 2, 1 - number % 2):
                with sides[side]() as started:
                    took[side], used[side] = started.cold_start, started.mebibytes
            ratios.append(took[1] / took[0])
            ours_took.append(took[1])
            more.append(used[1] - used[0])
    yield figure("cold start to tools/list, over an empty server's", ratios, "×", "≤ 0.90")
    yield figure("cold start to tools/list", ours_took, "s")
    yield figure("memory then, over an empty server's", more, "MiB more", "≤ 12")


def first_call(rounds: int) -> Iterator[Figure]:
    """The first call of `list_segments` after a second of idling, over a later one of the same process."""
    ratios, first_took = [], []
    with sandbox(10) as (_, environment):
        for _ in range(rounds):
            with Stdio(*_OURS, **environment) as ours:
                time.sleep(_IDLE)
                first, *later = [_timed(lambda: ours.call("list_segments")) for _ in range(1 + _IN_A_ROW)]
            ratios.append(first / statistics.median(later))
            first_took.append(first * 1000)
    yield figure("first call after a second of idling, over a later one", ratios, "×", "≤ 4")
    yield figure("first call after a second of idling", first_took, "ms")


def own_time(rounds: int, segments: int, wanted: float) -> Iterator[Figure]:
    """`list_segments`, less an empty tool and a bare request of the same list; and the same of a tool without work.

    The target in milliseconds is for a machine on which a call of an empty tool takes `_EMPTY_MS`, so the time is also
    given in such calls.
    """
    with sandbox(segments) as (url, environment), tempfile.TemporaryDirectory() as folder:
        headers = {"Authorization": f"Bearer {environment['AMO_ACCESS_TOKEN']}"}
        asked = f"{url}/api/v4/customers/segments?page=1&limit=250"
        with Stdio(*_OURS, **environment) as ours, httpx2.Client(headers=headers) as bare:
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
    yield figure(f"own time of list_segments with {segments} segments", own[1:], "ms", f"≤ {wanted}")
    yield figure("in calls of an empty tool", in_calls[1:], "calls", f"≤ {wanted / _EMPTY_MS:g}")
    yield figure("own time of a tool that only makes that request", least[1:], "ms")


def throughput(rounds: int) -> Iterator[Figure]:
    """Calls a second of a tool that asks amoCRM for the account once, over both transports; over HTTP, ten at once."""
    with sandbox(1) as (_, environment), tempfile.TemporaryDirectory() as folder:
        same = Path(folder) / "answer.json"
        with Stdio(*_OURS, **environment) as ours:
            same.write_text(json.dumps(ours.call("list_changes"), ensure_ascii=False), "utf-8")
            with Stdio(EMPTY, str(same)) as empty:
                ratios = []
                for _ in range(rounds):
                    times = [_timed(lambda: [ours.call("list_changes") for _ in range(50)])]
                    times.append(_timed(lambda: [empty.call("same") for _ in range(50)]))
                    ratios.append(times[1] / times[0])
        yield figure("calls a second over stdio, over an empty server's", ratios, "×")
        with (
            over_http(*_OURS, "serve", "--http", "--port", "0", **environment) as (our_url, process),
            over_http(EMPTY, str(same), "http") as (empty_url, _),
        ):
            ratios, tails = [], []
            for _ in range(rounds):
                our_times, our_whole = at_once(our_url, "list_changes", _AT_ONCE, _EACH)
                empty_times, empty_whole = at_once(empty_url, "same", _AT_ONCE, _EACH)
                ratios.append(empty_whole / our_whole)
                tails.append(_tail(our_times) / _tail(empty_times))
            used = mebibytes(process)
        yield figure("calls a second over HTTP, over an empty server's", ratios, "×", "≥ 0.8")
        yield figure("99th percentile over HTTP at 10 at once, over an empty server's", tails, "×", "≤ 0.5")
        yield figure("memory over HTTP after that", [used], "MiB")


def memory(calls: int) -> Iterator[Figure]:
    """Memory of the server after many calls, over that after a tenth of them."""
    with Stdio(*_OURS, AMO_SANDBOX="1") as ours:
        for number in range(1, calls + 1):
            ours.call("get_segment", {"segment_id": 51})
            if number == calls // 10:
                first = ours.mebibytes
        last = ours.mebibytes
    yield Figure(f"memory after {calls} calls, over after {calls // 10}", round(last / first, 4), "×", 0.0, "≤ 1.02")
    yield Figure(f"memory after {calls} calls", round(last, 1), "MiB", 0.0)


def sizes() -> Iterator[Figure]:
    """Bytes of what the model reads; a token is about four of them in English, two and a half in Russian."""
    with sandbox(100) as (_, environment), Stdio(*_OURS, **environment) as ours:
        whole = _compact(ours.tools)
        seen = [{name: tool[name] for name in ("name", "description", "inputSchema")} for tool in ours.tools]
        yield Figure("tools/list as the model sees it", len(_compact(seen)), "bytes", 0.0, "≤ 10,000")
        yield Figure("tools/list whole", len(whole), "bytes", 0.0, "≤ 20,000")
        for name in ("list_segments", "get_account", "list_segment_fields", "audit_segments"):
            yield Figure(f"{name} of a full account", len(_compact(ours.call(name))), "bytes", 0.0)


def pace(action: str, method: str, wanted: float) -> Iterator[Figure]:
    """A hundred changes by one plan at 7 requests a second: the shortest time that the limit allows, over the time.

    The plan reads the account again while it runs: every two seconds, and before every deletion.
    """
    with sandbox(100) as (url, environment):
        del environment["AMO_RATE_LIMIT"]
        headers = {"Authorization": f"Bearer {environment['AMO_ACCESS_TOKEN']}"}
        with Stdio(*_OURS, **{**environment, "AMO_CONFIRM": "chat"}) as ours:
            ids = [segment["id"] for segment in ours.call("list_segments", {"limit": 100})["segments"]]
            changes = [{"action": action, "kind": "segment", "id": number} for number in ids]
            if action == "update":
                changes = [{**change, "name": f"Новый {change['id']}"} for change in changes]
            plan = ours.call("plan_changes", {"changes": changes})
            asked = ours.ask("tools/call", {"name": "apply_plan", "arguments": {"plan_id": plan["plan_id"]}})
            approval = asked["structuredContent"]["error"]["approval_id"]
            applied = ours.call("confirm_change", {"approval_id": approval})
        assert len(applied["done"]) == len(ids)
        requests = httpx2.get(f"{url}/_sandbox/requests", headers=headers).json()
        at = [request["at"] for request in requests if request["method"] == method]
    shortest = (len(at) - 1) // 7
    kept = round(shortest / (at[-1] - at[0]), 4)
    yield Figure(f"100 {action}s by one plan: share of 7 a second", kept, "×", 0.0, f"≥ {wanted}")


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


def _show(item: Figure) -> None:
    noise = f" ± {item.noise:.0%}" if item.noise else ""
    wanted = f"   wanted {item.wanted}" if item.wanted else ""
    sys.stdout.write(f"{item.name:<66} {item.value:>9g} {item.unit}{noise}{wanted}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure, print a table, and write the JSON when a file is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    part = 10 if options.quick else 1
    figures: list[Figure] = []
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
            sizes(),
            pace("update", "PATCH", 0.9),
            pace("delete", "DELETE", 0.45),
        ):
            for item in found:
                figures.append(item)
                _show(item)
            loops += _loops()
    figures.append(Figure("fastest of the same loops in between", round(min(loops) * 1000, 1), "ms", 0.0))
    figures.append(Figure("their slowest, over it", round(max(loops) / min(loops), 2), "×", 0.0))
    for item in figures[-2:]:
        _show(item)
    if options.json:
        options.json.write_text(json.dumps([asdict(item) for item in figures], ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    main()
