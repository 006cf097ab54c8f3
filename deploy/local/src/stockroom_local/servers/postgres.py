"""A PostgreSQL of our own."""

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from stockroom_local import accounts
from stockroom_local.accounts import Account
from stockroom_local.errors import LocalError, ServerFailed
from stockroom_local.servers import wire
from stockroom_local.servers.base import Server
from stockroom_local.servers.containers import ContainerEngine, ContainerSpec
from stockroom_local.servers.processes import Invocation, ProcessEngine, plain_environment
from stockroom_local.servers.requirements import Container, Means, Programs, Requirement
from stockroom_local.waiting import wait_until

REQUIREMENT = Requirement(
    title="PostgreSQL",
    programs=("postgres", "initdb", "createdb", "dropdb"),
    places=("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"),
    package="postgresql",
    image="postgres:17",
    setting="STOCKROOM_POSTGRES_URL",
)

_ROLE = "stockroom"
_SUPERUSER = "postgres"
_SETTINGS = {
    "max_connections": "200",
    "max_locks_per_transaction": "256",  # a batch locks everything it may write
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(Server):
    """Answers on 127.0.0.1 for the role `stockroom`, which owns the database `stockroom` and may create others."""

    title = REQUIREMENT.title
    superuser: ClassVar[str] = _SUPERUSER

    def __init__(self, home: Path, means: Means) -> None:
        match means:
            case Container(throwaway=throwaway):
                super().__init__(ContainerEngine(home, _container(), throwaway=throwaway))
            case _:
                super().__init__(PostgresEngine(home, means.programs))

    @property
    def url(self) -> str:
        return self.database_url(_ROLE)

    def answers(self) -> bool:
        return wire.postgres_accepts(self.port, _ROLE, _ROLE)

    def database_url(self, database: str) -> str:
        """Where clients reach `database`."""
        return f"postgresql://{_ROLE}@127.0.0.1:{self.port}/{database}"

    def create_database(self, database: str) -> None:
        """A new, empty database."""
        self.engine.tool("createdb", "--username", _ROLE, "--template", "template0", database)

    def drop_database(self, database: str) -> None:
        """Gone, whoever is still connected to it: autovacuum too, which only a superuser may send away."""
        self.engine.tool("dropdb", "--username", self.superuser, "--force", "--if-exists", database)


class PostgresEngine(ProcessEngine):
    """One postmaster. PostgreSQL refuses root, so root drops to another user for it."""

    name: ClassVar[str] = "postgres"
    stop_signal = signal.SIGINT  # "fast": open sessions are ended, data is brought to disk
    death_signal = signal.SIGQUIT  # its children go with it, which SIGKILL can't promise

    def __init__(self, home: Path, programs: Programs) -> None:
        super().__init__(home)
        self._programs = programs
        self._account: Account | None = None
        self.cluster = self.folder / "data" / "cluster"

    @property
    def where(self) -> str:
        return str(self.cluster)

    def discard(self) -> None:
        super().discard()
        shutil.rmtree(self._elsewhere, ignore_errors=True)

    def prepare(self) -> None:
        self._account = accounts.unprivileged()
        self.cluster = self._settle()
        if (self.cluster / "PG_VERSION").exists():
            self._check_version()
            self._clear_stale_lock()
        else:
            self._initialise()

    def invocation(self) -> Invocation:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",  # nothing here uses one, and their paths may hold only 107 characters
            "logging_collector": "off",
            "log_checkpoints": "off",
            **_SETTINGS,
        }
        words: list[str | Path] = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        words[:0] = [self._programs["postgres"], "-D", self.cluster]
        return self._as_server(words)

    def tool(self, *command: str, seconds: float = 60.0) -> str:
        words: list[str | Path] = [
            self._programs[command[0]],
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            *command[1:],
        ]
        return self.run_tool(Invocation(words, plain_environment(without=("PG",)), self.folder), seconds)

    def _as_server(self, command: list[str | Path]) -> Invocation:
        return Invocation(command, plain_environment(without=("PG",)), self.cluster.parent, self._account)

    def _settle(self) -> Path:
        """The data folder: in our home, unless the server's user can't get there (a clone below /root)."""
        here = self.folder / "data"
        if self._account is None:
            here.mkdir(mode=0o700, exist_ok=True)
            if here.stat().st_uid != os.geteuid():
                raise LocalError(
                    f"{here} belongs to the user {accounts.owner(here).name}.\n"
                    "Run as before, or set STOCKROOM_HOME to another folder."
                )
            return here / "cluster"
        if (here / "cluster").exists():
            self._account = accounts.owner(here / "cluster")  # made by an ordinary user; now root runs
        for parent in (here, self._elsewhere):
            parent.mkdir(mode=0o700, exist_ok=True)
            if parent.is_symlink() or parent.stat().st_uid not in (os.geteuid(), self._account.uid):
                raise LocalError(
                    f"{parent} belongs to somebody else; remove it or set STOCKROOM_HOME to another folder."
                )
            shutil.chown(parent, self._account.uid, self._account.gid)
            if self._account.reaches(parent):
                return parent / "cluster"
        raise LocalError(f"The user {self._account.name} can write neither in {self.folder} nor in /var/tmp.")

    @property
    def _elsewhere(self) -> Path:
        return Path("/var/tmp") / f"stockroom-{_fingerprint(self.folder)}-postgres"

    def _initialise(self) -> None:
        """Makes the cluster whole or not at all: under another name first, so that a crash leaves nothing half made."""
        fresh = self.cluster.with_name("cluster.new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.cluster, ignore_errors=True)
        words: list[str | Path] = [self._programs["initdb"], "-D", fresh, "--username", _SUPERUSER, "--auth", "trust"]
        self.run_tool(self._as_server([*words, "--encoding", "UTF8", "--no-locale"]), 120)
        self._create_role(fresh)
        fresh.rename(self.cluster)

    def _create_role(self, cluster: Path) -> None:
        """Not a superuser, as in production: what the services are denied there must be denied here."""
        how = self._as_server([self._programs["postgres"], "--single", "-D", cluster, "postgres"])
        done = subprocess.run(
            [str(word) for word in how.command],
            input=f"CREATE ROLE {_ROLE} LOGIN CREATEDB\nCREATE DATABASE {_ROLE} OWNER {_ROLE}\n",
            env=dict(how.env),
            cwd=how.cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            user=how.account.uid if how.account else None,
            group=how.account.gid if how.account else None,
            extra_groups=[] if how.account else None,
        )
        if done.returncode != 0 or "ERROR" in done.stderr:
            raise ServerFailed(f"PostgreSQL could not create the role {_ROLE}: {done.stderr.strip()}")

    def _check_version(self) -> None:
        made_by = (self.cluster / "PG_VERSION").read_text().strip()
        here = self.run_tool(self._as_server([self._programs["postgres"], "--version"]), 10).split()[2]
        if here.split(".")[0] != made_by:
            raise LocalError(
                f"{self.cluster} was made by PostgreSQL {made_by}, and {self._programs['postgres']} is {here}.\n"
                f"Install version {made_by}, remove that folder (with all it holds), or set STOCKROOM_HOME."
            )

    def _clear_stale_lock(self) -> None:
        """After a crash the pid file may name a process that is long another's; one that still ends is waited for."""
        pid_file = self.cluster / "postmaster.pid"
        if not wait_until(lambda: not self._predecessor_runs(pid_file), 20):
            raise ServerFailed(f"An earlier PostgreSQL still runs in {self.cluster} (process {_pid(pid_file)}).")
        pid_file.unlink(missing_ok=True)

    def _predecessor_runs(self, pid_file: Path) -> bool:
        pid = _pid(pid_file)
        if pid is None:
            return False
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self.cluster) in command


def _pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split("\n")[0])
    except (OSError, ValueError):
        return None


def _fingerprint(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]


def _container() -> ContainerSpec:
    """The image's own first start, and then what `_initialise` makes: a role that is no superuser, and no passwords."""
    settings = " ".join(f"-c {key}={value}" for key, value in _SETTINGS.items())
    return ContainerSpec(
        name="postgres",
        image=REQUIREMENT.image,
        port=5432,
        volume="/var/lib/postgresql/data",
        environment={
            "POSTGRES_PASSWORD": "asked for by the image, and by nobody else",
            "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --no-locale",
            "LANG": "C.UTF-8",
        },
        script=f"""
            cat > /docker-entrypoint-initdb.d/stockroom.sql <<'END'
            CREATE ROLE {_ROLE} LOGIN CREATEDB;
            CREATE DATABASE {_ROLE} OWNER {_ROLE};
            \\! printf 'local all all trust\\nhost all all all trust\\n' > "$PGDATA/pg_hba.conf"
END
            exec docker-entrypoint.sh postgres {settings}
        """,
    )
