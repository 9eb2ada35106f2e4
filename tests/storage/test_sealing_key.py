"""The sealing key: made once, kept for its owner alone, and replaced when it is none."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from amo_mcp.storage.sealing_key import sealing_key


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "sealing-key"
    key = sealing_key(file)
    assert (len(key), stat.S_IMODE(file.stat().st_mode)) == (32, 0o600)
    assert sealing_key(file) == key
    assert [*tmp_path.iterdir()] == [file]


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from amo_mcp.storage.sealing_key import sealing_key;"
        "sys.stdin.readline(); print(sealing_key(Path(sys.argv[1])).hex())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "sealing-key")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(5)]
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert len({process.communicate()[0] for process in processes}) == 1


@pytest.mark.parametrize("garbage", [b"", b"too short", b"x" * 33, bytes(32)])
def test_a_file_that_is_no_key_is_replaced(garbage: bytes, tmp_path: Path) -> None:
    file = tmp_path / "sealing-key"
    file.write_bytes(garbage)
    key = sealing_key(file)
    assert (len(key), file.read_bytes()) == (32, key)


def test_where_no_key_can_be_kept_each_process_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "sealing-key").mkdir()
    nowhere = tmp_path / "gone" / "sealing-key"
    assert len({sealing_key(file) for file in (tmp_path / "sealing-key", nowhere) for _ in range(2)}) == 4
