"""JSON schemas of the messages of Jupyter protocol 5.5 that a kernel sends."""
from jsonschema import Draft7Validator

TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0}
LINES = {"type": "array", "items": TEXT}
ANY_OBJECT = {"type": "object"}
MIME_BUNDLE = {"type": "object", "patternProperties": {"^[\\w.+-]+/[\\w.+-]+$": {}}, "additionalProperties": False}


def record(required, optional=None, extra=True):
    optional = optional or {}
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": sorted(required),
        "additionalProperties": extra,
    }


HEADER = record({
    "msg_id": {"type": "string", "minLength": 1},
    "msg_type": TEXT,
    "session": {"type": "string", "minLength": 1},
    "username": TEXT,
    "date": {},
    "version": {"type": "string", "pattern": r"^\d+\.\d+$"},
})

MESSAGE = record({
    "header": HEADER,
    "msg_id": TEXT,
    "msg_type": TEXT,
    "parent_header": {"anyOf": [HEADER, {"type": "object", "maxProperties": 0}]},
    "content": ANY_OBJECT,
    "metadata": ANY_OBJECT,
    "buffers": {"type": "array"},
})

ERROR_FIELDS = {"ename": TEXT, "evalue": TEXT, "traceback": LINES}


def reply(fields, optional=None):
    ok = record({"status": {"const": "ok"}, **fields}, optional)
    failed = record({"status": {"const": "error"}, **ERROR_FIELDS})
    return {"oneOf": [ok, failed]}


LANGUAGE_INFO = record(
    {"name": TEXT, "version": TEXT, "mimetype": TEXT, "file_extension": {"type": "string", "pattern": r"^\."}},
    {"pygments_lexer": TEXT, "codemirror_mode": {"type": ["string", "object"]}, "nbconvert_exporter": TEXT},
)

PAGE = record({"source": {"const": "page"}, "data": MIME_BUNDLE, "start": COUNT})
USER_EXPRESSION = {"oneOf": [
    record({"status": {"const": "ok"}, "data": MIME_BUNDLE, "metadata": ANY_OBJECT}),
    record({"status": {"const": "error"}, **ERROR_FIELDS}),
]}
EXECUTE_COMMON = {"execution_count": COUNT}
HISTORY_ROW = {
    "type": "array",
    "minItems": 3,
    "maxItems": 3,
    "items": [COUNT, COUNT, {"anyOf": [TEXT, {"type": "array", "minItems": 2, "maxItems": 2,
                                              "items": [TEXT, {"type": ["string", "null"]}]}]}],
}

CONTENT = {
    "kernel_info_reply": reply({
        "protocol_version": {"type": "string", "pattern": r"^5\.[0-9]+$"},
        "implementation": TEXT,
        "implementation_version": TEXT,
        "language_info": LANGUAGE_INFO,
        "banner": TEXT,
    }, {"debugger": FLAG, "supported_features": LINES, "help_links": {"type": "array", "items": record({"text": TEXT, "url": TEXT})}}),
    "execute_reply": {"oneOf": [
        record({"status": {"const": "ok"}, **EXECUTE_COMMON, "payload": {"type": "array", "items": PAGE},
                "user_expressions": {"type": "object", "additionalProperties": USER_EXPRESSION}}),
        record({"status": {"const": "error"}, **EXECUTE_COMMON, **ERROR_FIELDS}),
        record({"status": {"const": "aborted"}}),
    ]},
    "inspect_reply": reply({"found": FLAG, "data": MIME_BUNDLE, "metadata": ANY_OBJECT}),
    "complete_reply": reply({"matches": LINES, "cursor_start": COUNT, "cursor_end": COUNT, "metadata": ANY_OBJECT}),
    "history_reply": reply({"history": {"type": "array", "items": HISTORY_ROW}}),
    "is_complete_reply": {"oneOf": [
        record({"status": {"enum": ["complete", "invalid", "unknown"]}}),
        record({"status": {"const": "incomplete"}, "indent": TEXT}),
    ]},
    "comm_info_reply": reply({"comms": {"type": "object", "additionalProperties": record({"target_name": TEXT})}}),
    "shutdown_reply": reply({"restart": FLAG}),
    "interrupt_reply": reply({}),
    "debug_reply": record({"type": {"const": "response"}, "seq": COUNT, "request_seq": COUNT, "command": TEXT,
                           "success": FLAG, "body": ANY_OBJECT}, {"message": TEXT}),
    "stream": record({"name": {"enum": ["stdout", "stderr"]}, "text": TEXT}, extra=False),
    "display_data": record({"data": MIME_BUNDLE, "metadata": ANY_OBJECT},
                           {"transient": record({}, {"display_id": TEXT})}, extra=False),
    "update_display_data": record({"data": MIME_BUNDLE, "metadata": ANY_OBJECT,
                                   "transient": record({"display_id": TEXT})}, extra=False),
    "execute_input": record({"code": TEXT, "execution_count": COUNT}, extra=False),
    "execute_result": record({"execution_count": COUNT, "data": MIME_BUNDLE, "metadata": ANY_OBJECT},
                             {"transient": ANY_OBJECT}, extra=False),
    "error": record(ERROR_FIELDS, extra=False),
    "status": record({"execution_state": {"enum": ["busy", "idle", "starting"]}}, extra=False),
    "clear_output": record({"wait": FLAG}, extra=False),
    "input_request": record({"prompt": TEXT, "password": FLAG}, extra=False),
    "comm_open": record({"comm_id": TEXT, "target_name": TEXT, "data": {}}),
    "comm_msg": record({"comm_id": TEXT, "data": {}}),
    "comm_close": record({"comm_id": TEXT, "data": {}}),
    "debug_event": record({"type": {"const": "event"}, "event": TEXT, "seq": COUNT, "body": ANY_OBJECT}),
    "iopub_welcome": record({"subscription": TEXT}, extra=False),
}

_envelope = Draft7Validator(MESSAGE)
_contents = {kind: Draft7Validator(schema) for kind, schema in CONTENT.items()}


def validate(message, kind=None, parent=None):
    """Raises AssertionError unless the message is well formed (and of this kind, answering this parent)."""
    for error in _envelope.iter_errors(message):
        raise AssertionError(f"envelope of {message.get('msg_type')}: {error.message} at {list(error.path)}")
    if kind is not None:
        assert message["msg_type"] == kind, f"got {message['msg_type']}, wanted {kind}"
    if parent is not None:
        assert message["parent_header"].get("msg_id") == parent, f"{message['msg_type']} answers another request"
    assert message["msg_type"] in _contents, f"no schema for {message['msg_type']}"
    for error in _contents[message["msg_type"]].iter_errors(message["content"]):
        raise AssertionError(f"{message['msg_type']}: {error.message} at {list(error.path)}: {message['content']}")
