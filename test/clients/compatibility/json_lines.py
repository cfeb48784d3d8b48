"""The JSON lines of driver.ts for drivers in Python: one request a line on stdin, one answer a line on stdout."""

import base64
import json
import os
import re
import sys

# Answers alone go to stdout; what a library prints there goes to stderr.
_answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def encode(data):
    return None if data is None else base64.b64encode(bytes(data)).decode("ascii")


def decode(text):
    return None if text is None else base64.b64decode(text)


class CallFailed(Exception):
    """An answer in the driver's own words; `code` is Kafka's where the client told it."""

    def __init__(self, name, message, code=None):
        super().__init__(message)
        self.name = name
        self.code = code


def _said(error, code_of):
    if isinstance(error, CallFailed):
        return {"name": error.name, "message": str(error), "code": error.code}
    return {"name": type(error).__name__, "message": str(error), "code": code_of(error)}


def _method_of(driver, call):
    """`createTopic` is its public method `create_topic`."""
    name = re.sub("[A-Z]", lambda capital: "_" + capital.group().lower(), call)
    method = None if name.startswith("_") else getattr(driver, name, None)
    if method is None:
        raise CallFailed("UnknownCall", "no such call: " + call)
    return method


def _answer(driver, line, code_of):
    """@returns the answer to one line and whether it was the last."""
    request = json.loads(line)
    call = request["call"]
    answer = {"id": request["id"]}
    try:
        answer["result"] = _method_of(driver, call)(**request.get("args", {}))
    except Exception as error:  # whatever a client raises is its answer
        answer["error"] = {k: v for k, v in _said(error, code_of).items() if v is not None}
    return answer, call == "bye"


def serve(driver, code_of):
    """Answers by the driver's methods until `bye` or the end of stdin. `code_of`: Kafka's code of an error."""
    for line in sys.stdin:
        answer, was_last = _answer(driver, line, code_of)
        _answers.write(json.dumps(answer) + "\n")
        _answers.flush()
        if was_last:
            break
    # A client that never reached its broker may keep threads: they are not waited for.
    _answers.close()
    os._exit(0)
