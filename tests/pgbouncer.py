"""A real PgBouncer between the tests and their PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.databases import SERVER, empty_schema
from tests.waiting import comes_true


class Pool(NamedTuple):
    """The URL of an empty database behind a PgBouncer, the URL that goes past it, and its process."""

    url: str
    direct: str
    process: subprocess.Popen[bytes]


@contextmanager
def pooled(**settings: str) -> Iterator[Pool]:
    """Start a PgBouncer with these settings before an empty database.

    Where there is no PgBouncer the test is skipped; on a CI machine it fails.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no PgBouncer: install the package pgbouncer")
    with empty_schema() as direct, tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        with psycopg.connect(SERVER) as server:
            to = {name: getattr(server.info, name) for name in ("host", "port", "dbname", "user", "password")}
        to["connect_query"] = f"'SET search_path TO {direct.rpartition('%3D')[2]}'"
        database = " ".join(f"{name}={value}" for name, value in to.items() if value)
        usual = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": "3",
        }
        lines = [f"{key} = {value}" for key, value in (usual | settings).items()]
        file = Path(folder, "pgbouncer.ini")
        file.write_text("\n".join(["[databases]", f"nova = {database}", "[pgbouncer]", *lines]))
        if os.getuid() == 0:  # it refuses to run as root
            Path(folder).chmod(0o755)
            shutil.chown(file, "nobody")
            process = subprocess.Popen([program, str(file)], user="nobody", extra_groups=[])
        else:
            process = subprocess.Popen([program, str(file)])
        try:
            _wait(port, process)
            yield Pool(f"postgresql://127.0.0.1:{port}/nova", direct, process)
        finally:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    def listens() -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", port)) == 0

    assert comes_true(lambda: listens() or process.poll() is not None)
    assert process.poll() is None, "PgBouncer did not start: its output is above"
