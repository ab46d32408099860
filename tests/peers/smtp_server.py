"""A mail server for the tests: keeps each message it takes as a file.

It listens on a loopback port until it is killed, and says `ready` on standard error when it does.
Recipients whose name begins with `unknown` are refused.
"""

import argparse
import pathlib
import signal
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Keeper:
    """Writes messages as 1.eml, 2.eml and so on; a name appears when its file is whole."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.count = len(list(self.directory.glob("*.eml")))

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address.startswith("unknown"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        part = self.directory / f"{self.count}.part"
        part.write_bytes(envelope.content)
        part.rename(part.with_suffix(".eml"))
        return f"250 2.0.0 kept as {self.count}"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--directory", required=True)
    options.add_argument("--tls", choices=["starttls", "implicit"], required=True)
    options.add_argument("--certificate", required=True)
    options.add_argument("--key", required=True)
    options.add_argument("--user", required=True)
    options.add_argument("--password", required=True)
    options = options.parse_args()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate, options.key)
    starttls = options.tls == "starttls"

    def authenticate(server, session, envelope, mechanism, data):
        expected = (options.user.encode(), options.password.encode())
        return AuthResult(success=(data.login, data.password) == expected, handled=False)

    controller = Controller(
        Keeper(options.directory),
        hostname="127.0.0.1",
        port=options.port,
        ssl_context=None if starttls else context,
        tls_context=context if starttls else None,
        require_starttls=starttls,
        auth_required=True,
        # With implicit TLS the library does not see that the connection is safe.
        auth_require_tls=starttls,
        authenticator=authenticate,
    )
    controller.start()
    print("ready", file=sys.stderr, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
