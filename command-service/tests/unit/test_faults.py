"""What is worth another attempt, and what will fail for ever."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from command_service.event_store.store import is_fault


def wrapped(cause: Exception) -> Exception:
    error = DBAPIError("SELECT 1", None, cause)
    error.__cause__ = cause
    return error


FAULTS: list[Exception] = [
    ConnectionRefusedError(),
    ConnectionResetError(),
    TimeoutError(),
    OSError("no route to host"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    asyncpg.ConnectionDoesNotExistError(),
    asyncpg.AdminShutdownError(),
    asyncpg.CrashShutdownError(),
    asyncpg.CannotConnectNowError(),
    asyncpg.QueryCanceledError(),
    asyncpg.DeadlockDetectedError(),
    asyncpg.SerializationError(),
    asyncpg.TooManyConnectionsError(),
    asyncpg.DiskFullError(),
    asyncpg.ReadOnlySQLTransactionError(),
    asyncpg.IdleInTransactionSessionTimeoutError(),
]
CLIENT_SIDE_DATA_ERROR = type("DataError", (asyncpg.InterfaceError, ValueError), {})("value out of int32 range")
MISTAKES: list[Exception] = [
    CLIENT_SIDE_DATA_ERROR,
    ValueError(),
    ZeroDivisionError(),
    asyncpg.UniqueViolationError(),
    asyncpg.InvalidTextRepresentationError(),
    asyncpg.UndefinedTableError(),
    asyncpg.OutOfMemoryError(),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_what_the_server_or_the_way_to_it_does_is_a_fault(error: Exception) -> None:
    assert is_fault(error)
    assert is_fault(wrapped(error))


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: type(error).__name__)
def test_what_the_statement_does_is_none(error: Exception) -> None:
    assert not is_fault(error)
    assert not is_fault(wrapped(error))
