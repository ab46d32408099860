"""A receiver of OTLP over HTTP that decodes with the OpenTelemetry project's own schema.

It listens on a loopback port until it is killed. What is posted to /NAME/v1/logs goes to the file
NAME of the folder, an export request of one record a line, as the schema's own library writes it.
A body that the schema does not fit, or that has more in it than the schema knows, is answered with
400 and named on standard error.
"""

import argparse
import base64
import gzip
import http.server
import json
import pathlib
import sys

from google.protobuf import json_format
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)


def check_known(message):
    """Refuses a message in which, at any depth, is a field that the schema does not have."""
    unknown = [field.field_number for field in UnknownFieldSet(message)]
    if unknown:
        raise ValueError(f"{message.DESCRIPTOR.full_name} has no fields {unknown}")
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                check_known(part)


def decoded(body, kind):
    """The request as plain data, its identifiers in hexadecimal."""
    if kind == "application/json":
        # The library reads identifiers as base64 and gives back what it read.
        request = json_format.Parse(body, ExportLogsServiceRequest(), ignore_unknown_fields=False)
    elif kind == "application/x-protobuf":
        request = ExportLogsServiceRequest.FromString(body)
        check_known(request)
    else:
        raise ValueError(f"no type of a request: {kind}")
    plain = json_format.MessageToDict(request, use_integers_for_enums=True)
    if kind == "application/x-protobuf":
        for _, _, record in records(plain):
            for name in ("traceId", "spanId"):
                if name in record:
                    record[name] = base64.b64decode(record[name]).hex()
    return plain


def records(request):
    for logs in request["resourceLogs"]:
        for scoped in logs["scopeLogs"]:
            for record in scoped["logRecords"]:
                yield logs, scoped, record


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers["Content-Type"]
        name, _, interface = self.path.lstrip("/").partition("/")
        try:
            if interface != "v1/logs" or not name.isalnum():
                raise ValueError(f"no such path: {self.path}")
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines = [
                json.dumps(
                    {
                        "resourceLogs": [
                            {**logs, "scopeLogs": [{**scoped, "logRecords": [record]}]}
                        ]
                    }
                )
                for logs, scoped, record in records(decoded(body, kind))
            ]
        except Exception as error:
            print(f"refused: {error!r}", file=sys.stderr, flush=True)
            return self.answer(400, "text/plain", b"refused")
        with open(self.folder / name, "a") as file:
            file.write("".join(line + "\n" for line in lines))
        response = ExportLogsServiceResponse()
        if kind == "application/json":
            return self.answer(200, kind, json_format.MessageToJson(response).encode())
        return self.answer(200, kind, response.SerializeToString())

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--folder", type=pathlib.Path, required=True)
    options = options.parse_args()
    Handler.folder = options.folder
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    print("ready", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
