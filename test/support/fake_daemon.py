"""A wardomd that is none: for tests of the programs that ask it over its control socket."""
import json
import socket
import threading


class FakeDaemon:
    """Answers each request by what `answer` makes of it: an object, bytes, or None for silence."""

    def __init__(self, path, answer):
        self.answer = answer
        self.requests = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.open = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            data = b""
            while not data.endswith(b"\n"):
                part = connection.recv(65536)
                if not part:
                    break
                data += part
            if not data:  # somebody looked whether it is there
                connection.close()
                continue
            request = json.loads(data)
            self.requests.append(request)
            said = self.answer(request)
            if said is None:
                self.open.append(connection)  # until the client gives up
                continue
            try:
                connection.sendall(said if isinstance(said, bytes) else json.dumps(said).encode())
            except OSError:
                pass
            connection.close()

    def asked(self, what):
        return [one for one in self.requests if one["do"] == what]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for connection in self.open:
            connection.close()
