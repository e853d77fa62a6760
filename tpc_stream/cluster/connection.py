"""To a Ray cluster and away from it; or to one that is started here for the while."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tpc_stream.cluster.ray_config import RayConfig, cores
from tpc_stream.errors import ClusterError, InputError

_ANSWER_SECONDS = 5.0
"""A head that says nothing for so long is none; Ray itself would wait for minutes."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How HTTP/2 begins (RFC 9113, section 3.4): a head speaks gRPC, and answers with its settings."""
_SETTINGS = 4
_DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a Ray that is started here reports to nobody
    "RAY_worker_niceness": "0",  # its workers here have the priority that processes of --workers have
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as it will be in later versions, which it warns of
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # it prints its own messages to stdout, where the events go; errors are told
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of chunks that are cancelled
}


def import_ray() -> Any:
    """The package `ray`. Raises ClusterError where it is not installed."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"Ray cannot be imported ({error}): pip install 'tpc-stream[ray]'") from error
    return ray


@contextmanager
def connected(config: RayConfig) -> Iterator[Any]:
    """The package `ray`, connected for the block; a connection that the program has already is used, and left open.

    Raises ClusterError where the address gives no cluster, within seconds, and InputError for one that is none.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ":" in config.address:
        check_head(config.address)
    with _own_handler_of_sigterm():
        _init(ray, config)
    try:
        yield ray
    finally:
        ray.shutdown()


def check_head(address: str) -> None:
    """Raises ClusterError unless a head answers at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--ray needs HOST:PORT of a cluster's head, auto or local, got {address!r}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS) as head:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return  # it would have to be greeted under its certificate
            head.sendall(_GREETING)
            answer = head.recv(9, socket.MSG_WAITALL)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ClusterError(f"no Ray head answers at {address} ({reason}): {_ADVICE}") from error
    if len(answer) < 9 or answer[3] != _SETTINGS:
        raise ClusterError(f"what answers at {address} is no Ray head: {_ADVICE}")


_ADVICE = "check the address that `ray start --head` printed, and the way there"


def _init(ray: Any, config: RayConfig) -> None:
    chosen: dict[str, Any] = {"address": config.address}
    if config.local:
        chosen |= {"num_cpus": max(config.workers or 0, cores()), "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, configure_logging=False, **chosen)
    except Exception as error:  # versions that differ, a token that is missing, a slow start: no common class
        text = " ".join(str(error).split())
        if config.address == "auto":
            text = f"no cluster is found from here ({text}): start one with `ray start --head`, or give HOST:PORT"
        raise ClusterError(f"cannot use Ray at {config.address}: {text}") from error


@contextmanager
def _own_handler_of_sigterm() -> Iterator[None]:
    """`ray.init` puts one of its own in the place of the program's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
