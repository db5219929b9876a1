"""The host's service manager: what systemd is on a real host, as little of it as the lab needs.

It is tini's only child. It starts the services that are enabled, each when what it needs is ready,
restarts those that are meant to be restarted 0.3 s after they die, and takes requests on a socket
in the host's lab directory: one JSON object per connection, one JSON object back.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import threading
import time
from pathlib import Path

from .layout import HOST_LAB_DIR, VOLUME_PATH
from .run import CLEAN_ENV, put_ahead

RESTART_S = 0.3
STOP_LIMIT_S = 10.0
# As systemd's After=: a service starts when what it follows is ready, or has had this long.
AFTER_LIMIT_S = 5.0
PROBE_S = 0.02


def mounted(path: str) -> bool:
    """Never by stat(): that would hang when the storage does."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        return any(line.split()[4] == path for line in table)


def listening(name: str) -> bool:
    """A Unix socket of this host, by its path or by its abstract name's beginning."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        return any(line.split()[-1].startswith(name) for line in table)


PROBES = {
    "volume": lambda: mounted(VOLUME_PATH),
    "corosync": lambda: listening("@cmap"),
    "libvirtd": lambda: listening("/run/libvirt/libvirt-sock"),
    "keeper": lambda: True,
    "wardomd": lambda: listening("/run/wardom/wardomd.sock"),
    "pacemaker": lambda: listening("@cib_rw"),
}


class Service:
    """One service and the thread that keeps it as it is wanted."""

    def __init__(self, name: str, argv: list[str], after: list[str], restart: bool,
                 env: dict[str, str], nice: int) -> None:
        self.name = name
        self.argv = argv
        self.after = after
        self.restart = restart
        self.env = env
        self.nice = nice
        self.changed = threading.Condition()
        self.wanted = False
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.exit: int | None = None
        threading.Thread(target=self.keep, daemon=True).start()

    def keep(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.wanted)
            self.wait_after()
            process = self.launch()
            if process:
                self.exit = process.wait()
            with self.changed:
                self.process = None
                if not self.restart:
                    self.wanted = False
                self.changed.notify_all()
                if self.wanted:
                    self.changed.wait_for(lambda: not self.wanted, RESTART_S)

    def wait_after(self) -> None:
        deadline = time.monotonic() + AFTER_LIMIT_S
        while time.monotonic() < deadline and self.wanted:
            if all(PROBES[name]() for name in self.after):
                return
            time.sleep(PROBE_S)

    def launch(self) -> subprocess.Popen[bytes] | None:
        with self.changed:
            if not self.wanted:
                return None
            if self.name == "volume" and mounted(VOLUME_PATH):
                # What a dead nbdfuse leaves behind answers ENOTCONN for ever.
                subprocess.run(["umount", "-l", VOLUME_PATH], check=False)
            with open(f"/var/log/lab/{self.name}.log", "ab", buffering=0) as log:
                try:
                    self.process = subprocess.Popen(
                        self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        start_new_session=True, env={**CLEAN_ENV, **self.env})
                    if self.nice:
                        put_ahead(self.process.pid, self.nice)
                except OSError as error:
                    log.write(f"lab: {self.argv[0]} does not start: {error}\n".encode())
            self.starts += 1
            self.changed.notify_all()
            return self.process

    def start(self) -> None:
        with self.changed:
            self.wanted = True
            self.changed.notify_all()

    def stop(self) -> str | None:
        with self.changed:
            self.wanted = False
            self.changed.notify_all()
            if not self.process:
                return None
            for number in (signal.SIGTERM, signal.SIGCONT):
                self.process.send_signal(number)
            if self.changed.wait_for(lambda: self.process is None, STOP_LIMIT_S):
                return None
            self.process.kill()
            self.changed.wait_for(lambda: self.process is None, STOP_LIMIT_S)
            return f"it ignored SIGTERM for {STOP_LIMIT_S:g} s and was killed"

    def signal(self, number: int) -> None:
        with self.changed:
            if not self.process:
                raise ValueError(f"service {self.name} does not run")
            self.process.send_signal(number)
            if number == signal.SIGKILL:
                process = self.process
                self.changed.wait_for(lambda: self.process is not process, STOP_LIMIT_S)

    def describe(self) -> dict:
        with self.changed:
            running = self.process is not None
            return {"running": running, "wanted": self.wanted, "ready": self.is_ready(),
                    "inner_pid": self.process.pid if self.process else None,
                    "starts": self.starts, "last_exit": self.exit}

    def is_ready(self) -> bool:
        return self.process is not None and PROBES[self.name]()


class Supervisor:
    """All services of this host, and which of them start at boot."""

    def __init__(self, directory: Path) -> None:
        self.enabled_file = directory / "enabled.json"
        specification = json.loads((directory / "services.json").read_text())
        self.services = {name: Service(name, **spec) for name, spec in specification.items()}
        for name in json.loads(self.enabled_file.read_text()):
            self.services[name].start()

    def request(self, asked: dict) -> dict:
        """Carry out one request; errors become {"error": text}."""
        verb = asked.get("verb")
        if verb == "status":
            return {name: service.describe() for name, service in self.services.items()}
        service = self.services.get(asked.get("service", ""))
        if service is None:
            raise ValueError(f"this host has no service {asked.get('service')!r}, only "
                             + ", ".join(self.services))
        note = None
        if verb == "start":
            service.start()
        elif verb == "enable":
            self.enable(service.name)
            service.start()
        elif verb == "stop":
            note = service.stop()
        elif verb in SIGNALS:
            service.signal(SIGNALS[verb])
        else:
            raise ValueError(f"unknown verb {verb!r}")
        return {"service": service.name, "note": note, **service.describe()}

    def enable(self, name: str) -> None:
        """From now on the service starts at every boot."""
        enabled = json.loads(self.enabled_file.read_text())
        if name not in enabled:
            temporary = self.enabled_file.with_suffix(".new")
            temporary.write_text(json.dumps([*enabled, name]))
            os.replace(temporary, self.enabled_file)


SIGNALS = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP, "resume": signal.SIGCONT}


class Requests(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    supervisor: Supervisor


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Requests)
        try:
            answer = self.server.supervisor.request(json.loads(self.rfile.readline()))
        except (ValueError, OSError) as error:
            answer = {"error": str(error)}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def main() -> None:
    path = HOST_LAB_DIR / "control"
    server = Requests(str(path), Handler)
    server.supervisor = Supervisor(HOST_LAB_DIR)
    server.serve_forever(poll_interval=3600.0)
