"""What can stop a local run. Each message is complete: it is shown as it stands, without a traceback.

LocalError
├── MissingServers      a server's programs are neither here nor to be had
├── ServerFailed        a server ended, or did not answer in time
├── HomeInUse           another run holds this home folder
├── InvalidSetting      an environment variable that can't be used
└── ProcessFailed       one of our own processes ended by itself or did not become ready
"""


class LocalError(Exception):
    """Names what went wrong and what to do about it."""


class MissingServers(LocalError):
    """Names every server that is missing and how to install it."""


class ServerFailed(LocalError):
    """Carries the last lines of the server's log."""


class HomeInUse(LocalError):
    """Names the process that holds the folder."""


class InvalidSetting(LocalError):
    """Names the variable and what it may be."""


class ProcessFailed(LocalError):
    """Names the process and its exit code."""
