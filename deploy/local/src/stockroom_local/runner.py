"""The whole system on one machine, from the first server to the last process stopped."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stockroom_local import lock
from stockroom_local.errors import LocalError, ProcessFailed, ServerFailed
from stockroom_local.interruption import Interrupted, raised_on_signals
from stockroom_local.screen import Screen
from stockroom_local.servers.base import Server
from stockroom_local.servers.install import obtain
from stockroom_local.servers.trio import REQUIREMENTS, make, stop_all
from stockroom_local.services import COMMAND_API, QUERY_API, SERVICES, Service, addresses, program, settings_for
from stockroom_local.settings import REPOSITORY, Settings
from stockroom_local.supervisor import Supervisor, describe


def run(settings: Settings, screen: Screen) -> int:
    """Runs everything until it is told to stop (0) or something fails (1); leaves no process behind either way."""
    return _guarded(screen, lambda: _run(settings, screen))


def serve_only(settings: Settings, screen: Screen, announce: Callable[[Mapping[str, str]], None]) -> int:
    """Runs the three servers only; `announce` is given their URLs by setting."""

    def until_stopped() -> None:
        with _servers(settings, screen) as (servers, urls):
            announce(urls)
            Supervisor({}, REPOSITORY, ()).watch(lambda: _require_running(servers))

    return _guarded(screen, until_stopped)


def discard(settings: Settings, screen: Screen) -> int:
    """Deletes what private servers keep for this home folder, wherever that is."""

    def delete() -> None:
        with lock.hold(settings.home):
            means = obtain(REQUIREMENTS, screen.say)
            for each in REQUIREMENTS:
                make(each.title, settings.home, means[each.title]).discard()
        screen.say(f"The servers of {settings.home} have forgotten everything.")

    return _guarded(screen, delete)


def _guarded(screen: Screen, work: Callable[[], None]) -> int:
    with raised_on_signals():
        try:
            work()
        except Interrupted:
            screen.say("Stopped.")
        except LocalError as error:
            screen.failed(str(error))
            return 1
        return 0


def _run(settings: Settings, screen: Screen) -> None:
    programs: dict[Service, list[str | Path]] = {
        service: [program(service.command[0]), *service.command[1:]] for service in SERVICES
    }
    with _servers(settings, screen, before=settings.require_free_ports) as (servers, urls):
        _write_environment(settings, urls)
        supervisor = Supervisor(settings_for(settings.ports, urls), REPOSITORY, [each.name for each in SERVICES])
        try:
            _migrate(supervisor, screen)
            with screen.step(f"Starting {', '.join(each.name for each in SERVICES)}"):
                for service in SERVICES:
                    supervisor.start(service.name, programs[service])
                supervisor.wait_ready({each.name: port for each, port in settings.ports.items()})
            _load_sample(settings, supervisor, screen)
            screen.table("Stockroom is running; Ctrl-C stops it", _addresses(settings, urls))
            supervisor.watch(lambda: _require_running(servers))
        except Interrupted:
            screen.say("Stopping ...")
            raise
        finally:
            supervisor.stop()


@contextmanager
def _servers(
    settings: Settings, screen: Screen, before: Callable[[], None] = lambda: None
) -> Iterator[tuple[Sequence[Server], Mapping[str, str]]]:
    """The private servers that run meanwhile, and the URLs of all three by setting; `before` may still refuse."""
    urls = dict(settings.given_urls)
    with lock.hold(settings.home), ExitStack() as cleanup:
        before()
        wanted = [each for each in REQUIREMENTS if each.setting not in urls]
        means = obtain(wanted, screen.say)
        servers = {each: make(each.title, settings.home, means[each.title]) for each in wanted}
        cleanup.callback(stop_all, list(servers.values()))
        if servers:
            with screen.step(f"Starting {', '.join(each.title for each in wanted)}"):
                for server in servers.values():
                    server.launch()
                for server in servers.values():
                    server.wait_ready()
        for requirement, server in servers.items():
            urls[requirement.setting] = server.url
            screen.say(f"  {server.title} keeps its data in {server.engine.where}")
        yield list(servers.values()), urls


def _migrate(supervisor: Supervisor, screen: Screen) -> None:
    screen.say("Migrating the database")
    code = supervisor.run_to_end("migrate", [program("command-service"), "migrate"])
    if code != 0:
        raise ProcessFailed(f"command-service migrate failed: {describe(code)}.")


def _load_sample(settings: Settings, supervisor: Supervisor, screen: Screen) -> None:
    if settings.sample is None:
        return
    screen.say(f"Loading {settings.sample.relative_to(REPOSITORY)}")
    code = supervisor.run_to_end("import", [program("command-service"), "import", settings.sample])
    if code != 0:  # a shop that has since been changed may refuse rows; it runs all the same
        screen.failed(f"The sample shop was not loaded whole: {describe(code)}, see above.")


def _require_running(servers: Sequence[Server]) -> None:
    for server in servers:
        if not server.running:
            raise ServerFailed(
                f"{server.title} ended by itself. Everything else is being stopped.\n{server.log_tail()}"
            )


def _write_environment(settings: Settings, urls: Mapping[str, str]) -> None:
    """What a shell needs to call the operator's commands against this system."""
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in addresses(settings.ports, urls).items())
    path = _environment(settings)
    path.touch(mode=0o600)
    path.write_text("".join(lines))


def _environment(settings: Settings) -> Path:
    return settings.home / "environment"


def _addresses(settings: Settings, urls: Mapping[str, str]) -> dict[str, str]:
    command, query = (f"http://127.0.0.1:{settings.ports[each]}" for each in (COMMAND_API, QUERY_API))
    return {
        "Command API": command,
        "Command API, documented": f"{command}/docs",
        "Query API": query,
        "Query API, documented": f"{query}/docs",
        **{each.title: urls[each.setting] for each in reversed(REQUIREMENTS)},
        "Settings for a shell": str(_environment(settings)),
    }
