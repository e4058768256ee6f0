"""Finds and calls a handler as Lambda's runtime interface client for Python does, or hands over to the one that the package
brings. Started as: bootstrap.py own|awslambdaric FOLDER..., where FOLDERs come first on the search path, as on Lambda.
"""

import sys

WHICH, FOLDERS = sys.argv[1], sys.argv[2:]
# Before anything else is imported: packages may replace what the standard library has not.
sys.path[:] = list(dict.fromkeys(FOLDERS + sys.path))

import http.client
import importlib
import json
import os
import time
import traceback

# `-S` keeps this machine's packages away, and with them these names.
import site

site.setquit()
site.sethelper()

API = "/2018-06-01/runtime"


class Fault(Exception):
    """What the client itself has to say."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, trace or []


def find(handler):
    module_name, dot, name = handler.rpartition(".")
    if not dot:
        raise Fault(
            "Runtime.MalformedHandlerName",
            "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % handler,
        )
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as e:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, e))
    except SyntaxError as e:
        trace = ['  File "%s" Line %s\n    %s' % (e.filename, e.lineno, e.text)]
        raise Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, e), trace)
    try:
        return getattr(module, name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (name, module_name))


def document(kind, message, trace, request_id=""):
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def own_frames(tb):
    frames = traceback.extract_tb(tb)
    while frames and frames[0].filename == __file__:
        frames = frames[1:]
    return traceback.format_list(frames)


def failure(request_id=""):
    """The document for the exception that is being handled."""
    kind, value, tb = sys.exc_info()
    if isinstance(value, Fault):
        return document(value.kind, value.message, value.trace, request_id)
    return document(kind.__name__, str(value), own_frames(tb), request_id)


def log_failure(error):
    lines = ["[ERROR] %s: %s" % (error["errorType"], error["errorMessage"]), "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:
        lines.extend(entry.splitlines())
    sys.stdout.write("\n".join(lines) + "\n")


def plain(value):
    """The value as the client's JSON takes it: named tuples are objects, bytes are text."""
    if isinstance(value, dict):
        return {plain(k) if isinstance(k, bytes) else k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.decode()
    return value


def number(value):
    import decimal

    if isinstance(value, decimal.Decimal):
        # Digits beyond those of a float are lost, which the real client keeps.
        return int(value) if value == value.to_integral_value() and value.is_finite() else float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def encode(value):
    if isinstance(value, bytes):
        return value, "application/unknown"
    ascii_only = sys.version_info < (3, 12)
    try:
        text = json.dumps(plain(value), ensure_ascii=ascii_only, default=number)
    except Exception as e:
        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % e)
    return text.encode("utf-8", "surrogatepass"), "application/json"


class Record(object):
    """A value with attributes for some keys of a document."""

    def __init__(self, names, values):
        for name in names:
            setattr(self, name, (values or {}).get(name))


class Context(object):
    def __init__(self, headers):
        get = os.environ.get
        self.aws_request_id = headers.get("Lambda-Runtime-Aws-Request-Id")
        self.log_group_name = get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn")
        self.tenant_id = headers.get("Lambda-Runtime-Aws-Tenant-Id")
        self.client_context = self.client(headers.get("Lambda-Runtime-Client-Context"))
        self.identity = Record(["cognito_identity_id", "cognito_identity_pool_id"], None)
        self._deadline = int(headers.get("Lambda-Runtime-Deadline-Ms") or 0)

    @staticmethod
    def client(text):
        if not text:
            return None
        try:
            said = json.loads(text)
        except Exception as e:
            raise Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse Client Context JSON: %s" % e)
        context = Record(["custom", "env", "client"], said)
        names = ["installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"]
        context.client = Record(names, context.client) if context.client is not None else None
        return context

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))


class Api(object):
    def __init__(self):
        self.connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

    def next(self):
        self.connection.request("GET", API + "/invocation/next")
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(1)
        return answer.headers, body

    def post(self, path, body, headers):
        self.connection.request("POST", API + path, body, headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def fail(self, path, error):
        headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": error["errorType"]}
        self.post(path, json.dumps(error).encode(), headers)


def set_up_logging():
    """The root logger writes as on Lambda; it costs an import only where it is used."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record):
            record.aws_request_id = CURRENT
            sys.stdout.write(self.format(record))

    form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
    logging.Formatter.converter = time.gmtime
    handler = Lines()
    handler.setFormatter(logging.Formatter(form, "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(handler)


CURRENT = ""


def answer(api, handler, headers, body):
    global CURRENT
    CURRENT = request_id = headers.get("Lambda-Runtime-Aws-Request-Id")
    trace = headers.get("Lambda-Runtime-Trace-Id")
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    error = None
    try:
        context = Context(headers)
        try:
            event = json.loads(body)
        except Exception as e:
            raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % e)
        result, kind = encode(handler(event, context))
    except Exception:
        error = failure(request_id)
    if error is not None:
        log_failure(error)
        api.fail("/invocation/%s/error" % request_id, error)
        return
    api.post("/invocation/%s/response" % request_id, result, {"Content-Type": kind})


def run(name):
    api = Api()
    try:
        set_up_logging()
        handler = find(name)
    except Exception:
        error = failure()
        log_failure(error)
        api.fail("/init/error", error)
        sys.exit(1)
    while True:
        headers, body = api.next()
        answer(api, handler, headers, body)


def brought():
    """The package's own client, if it can run in this Python."""
    if WHICH != "awslambdaric":
        return None
    try:
        import runtime_client
        import awslambdaric.__main__ as client

        return client
    except ImportError as e:
        sys.stderr.write("awslambdaric of the package does not load (%s): another client is used\n" % e)
        return None


if __name__ == "__main__":
    CLIENT = brought()
    NAME = os.environ["_HANDLER"]
    if CLIENT is not None:
        sys.argv = ["bootstrap", NAME]
        CLIENT.main(sys.argv)
    else:
        run(NAME)
