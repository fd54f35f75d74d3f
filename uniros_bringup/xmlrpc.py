"""Calls to the ROS master and to the nodes' slave interface, each with a deadline."""

from __future__ import annotations

import http.client
import xmlrpc.client
from typing import Any

CALLER = "/uniros_bringup"


class _Transport(xmlrpc.client.Transport):
    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = self._timeout
        return connection


class CallFailed(Exception):
    """Raised when nobody answers in time, or with something that is not the ROS master or slave protocol."""


def call(uri: str, method: str, *arguments: Any, timeout: float = 1.0) -> Any:
    """The value a master or node answers with; `method` as in the ROS Master API, e.g. getPid, getSystemState.

    timeout: seconds that connecting, and then each read, may take.
    """
    try:
        with xmlrpc.client.ServerProxy(uri, transport=_Transport(timeout), allow_none=True) as proxy:
            code, status, value = getattr(proxy, method)(CALLER, *arguments)
    except (OSError, http.client.HTTPException, xmlrpc.client.Error, ValueError, TypeError) as error:
        raise CallFailed(f"{uri}: {method}: {error}") from error
    if code != 1:
        raise CallFailed(f"{uri}: {method}: {status}")
    return value
