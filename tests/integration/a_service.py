"""A service for tests of the supervisor: answers /ready on its port and has a child of its own."""

import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer

from infra.settings import Settings


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    settings = Settings()
    helper = subprocess.Popen(["sleep", "600"])
    print(f"helper {helper.pid} kafka {settings.kafka}", flush=True)
    HTTPServer((settings.bind, settings.metrics_port), Ready).serve_forever()
