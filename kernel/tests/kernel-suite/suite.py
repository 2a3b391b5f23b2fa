"""Checks the kernel as a front end sees it: every reply and broadcast against the protocol's schemas.

usage: suite.py CLI [-k WORD]    CLI is the built command's script; -k runs the cases whose name contains WORD (or one of WORD,WORD)
"""
import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from queue import Empty

from jupyter_client.manager import KernelManager
from jupyter_client.kernelspec import KernelSpecManager

from schemas import validate
from second import CASES as SECOND_LIST

TIMEOUT = 60
CASES = []


def case(function):
    CASES.append(function)
    return function


class Kernel:
    """A running kernel and what it says; every message that is read is validated."""

    def __init__(self, folder):
        specs = KernelSpecManager(kernel_dirs=[os.path.join(folder, "share/jupyter/kernels")])
        self.manager = KernelManager(kernel_name="shardbook", kernel_spec_manager=specs)
        self.log = open(os.path.join(folder, "kernel.log"), "a")
        started = time.monotonic()
        self.manager.start_kernel(stderr=self.log, stdout=self.log)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)
        self.start_seconds = time.monotonic() - started
        self.flush()

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.log.close()

    def flush(self):
        for get in (self.client.get_shell_msg, self.client.get_iopub_msg, self.client.get_stdin_msg):
            while True:
                try:
                    validate(get(timeout=0.05))
                except Empty:
                    break

    def reply(self, request, kind, channel="shell"):
        get = self.client.get_shell_msg if channel == "shell" else self.client.get_control_msg
        message = get(timeout=TIMEOUT)
        validate(message, kind, request)
        if channel == "shell" and kind != "execute_reply":
            equal(self.broadcasts(request), [])
        return message["content"]

    def broadcasts(self, request):
        """What iopub says of a request, without the status messages that must enclose it."""
        messages = []
        first = self.client.get_iopub_msg(timeout=TIMEOUT)
        validate(first, "status", request)
        assert first["content"]["execution_state"] == "busy"
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            validate(message, parent=request)
            if message["msg_type"] == "status":
                assert message["content"]["execution_state"] == "idle"
                return messages
            messages.append(message)

    def execute(self, code, **options):
        request = self.client.execute(code, **options)
        reply = self.reply(request, "execute_reply")
        messages = self.broadcasts(request)
        if not options.get("silent"):
            assert messages and messages[0]["msg_type"] == "execute_input", "execute_input comes first"
            assert messages[0]["content"]["code"] == code
            messages = messages[1:]
        return reply, messages

    def send(self, kind, content, channel="shell"):
        message = self.client.session.msg(kind, content)
        getattr(self.client, f"{channel}_channel").send(message)
        return message["header"]["msg_id"]


def equal(actual, wanted):
    assert actual == wanted, f"got {actual!r}, wanted {wanted!r}"


def kinds(messages):
    return [message["msg_type"] for message in messages]


def stream_text(messages, name):
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream" and m["content"]["name"] == name)


# The twelve checks of jupyter_kernel_test 0.7.0.

@case
def kernel_info(kernel):
    content = kernel.reply(kernel.client.kernel_info(), "kernel_info_reply")
    equal(content["language_info"]["name"], "typescript")
    equal(content["language_info"]["file_extension"], ".ts")
    equal(content["protocol_version"], "5.5")


@case
def execute_stdout(kernel):
    reply, messages = kernel.execute("console.log('hello, world')")
    equal(reply["status"], "ok")
    equal(stream_text(messages, "stdout"), "hello, world\n")


@case
def execute_stderr(kernel):
    reply, messages = kernel.execute("console.error('oops')")
    equal(reply["status"], "ok")
    equal(stream_text(messages, "stderr"), "oops\n")


@case
def completion(kernel):
    for text, wanted in [("consol", "console"), ("disp", "display"), ("worldS", "worldSize"), ("console.lo", "log")]:
        content = kernel.reply(kernel.client.complete(text), "complete_reply")
        assert wanted in content["matches"], f"{wanted} is not in {content['matches'][:20]}"
        equal(content["cursor_end"], len(text))


@case
def is_complete(kernel):
    samples = {
        "complete": ["1 + 1", "const a = 1;", "function f() { return 1; }", "%world 4"],
        "incomplete": ["function f() {", "if (true) {", "f(1,", "const t = `line"],
        "invalid": ["a b", "const 1 = 2;"],
    }
    for status, codes in samples.items():
        for code in codes:
            content = kernel.reply(kernel.client.is_complete(code), "is_complete_reply")
            assert content["status"] == status, f"{code!r}: got {content['status']}, wanted {status}"


@case
def pager(kernel):
    reply, _ = kernel.execute("display?")
    equal(reply["payload"][0]["source"], "page")
    assert "display" in reply["payload"][0]["data"]["text/plain"]


@case
def error(kernel):
    reply, messages = kernel.execute("throw new RangeError('too far')")
    equal(reply["status"], "error")
    equal(reply["ename"], "RangeError")
    equal(kinds(messages), ["error"])
    equal(messages[0]["content"]["ename"], "RangeError")
    assert any(":1:" in line for line in reply["traceback"]), reply["traceback"]


@case
def execute_result(kernel):
    for code, wanted in [("6 * 7", "42"), ("'a' + 'b'", "'ab'"), ("await Promise.resolve(3)", "3")]:
        reply, messages = kernel.execute(code)
        equal(reply["status"], "ok")
        equal(kinds(messages), ["execute_result"])
        equal(messages[0]["content"]["data"]["text/plain"], wanted)
        equal(messages[0]["content"]["execution_count"], reply["execution_count"])


@case
def display_data(kernel):
    for code, mime in [
        ("display({ 'text/html': '<b>x</b>' })", "text/html"),
        ("display(Markdown('# x'))", "text/markdown"),
        ("display(SVG('<svg/>'))", "image/svg+xml"),
        ("display(plot([{ y: [1, 2] }]))", "application/vnd.plotly.v1+json"),
    ]:
        reply, messages = kernel.execute(f"{code};\nundefined")
        equal(reply["status"], "ok")
        equal(kinds(messages), ["display_data"])
        assert mime in messages[0]["content"]["data"]


@case
def history(kernel):
    codes = ["const h1 = 1", "const h2 = h1 + 1\nh2", "h2"]
    for code in codes:
        kernel.execute(code)
    content = kernel.reply(kernel.client.history(hist_access_type="tail", n=3, output=False, raw=True), "history_reply")
    equal([row[2] for row in content["history"]], codes)
    content = kernel.reply(kernel.client.history(hist_access_type="tail", n=1, output=True, raw=True), "history_reply")
    equal(content["history"][0][2], ["h2", "2"])
    line = content["history"][0][1]
    content = kernel.reply(
        kernel.client.history(hist_access_type="range", session=0, start=line, stop=line + 1, raw=True), "history_reply")
    equal([row[2] for row in content["history"]], ["h2"])
    for _ in range(2):
        kernel.execute("h1 + 100")
    content = kernel.reply(
        kernel.client.history(hist_access_type="search", pattern="h1 + *", unique=True, n=5, raw=True), "history_reply")
    equal([row[2] for row in content["history"]], ["h1 + 100"])


@case
def inspect(kernel):
    content = kernel.reply(kernel.client.inspect("display", 4), "inspect_reply")
    assert content["found"] and "function display" in content["data"]["text/plain"], content
    kernel.execute("const inspected = { a: 1 }")
    content = kernel.reply(kernel.client.inspect("inspected", 9), "inspect_reply")
    assert content["found"] and "a: number" in content["data"]["text/plain"], content
    equal(kernel.reply(kernel.client.inspect("   ", 1), "inspect_reply")["found"], False)


@case
def clear_output(kernel):
    _, messages = kernel.execute("console.log(1); clearOutput({ wait: true })")
    equal(kinds(messages), ["stream", "clear_output"])
    equal(messages[1]["content"]["wait"], True)


# What else a front end relies on.

@case
def update_display(kernel):
    _, messages = kernel.execute("const handle = display('a', { displayId: 'one' }); handle.update('b')")
    equal(kinds(messages), ["display_data", "update_display_data"])
    equal([m["content"]["transient"]["display_id"] for m in messages], ["one", "one"])
    _, messages = kernel.execute("updateDisplay('one', 'c')")
    equal(kinds(messages), ["update_display_data"])


@case
def silent_and_history(kernel):
    before, _ = kernel.execute("0")
    reply, messages = kernel.execute("1 + 1", silent=True)
    equal(kinds(messages), [])
    reply, messages = kernel.execute("2", store_history=False)
    equal(reply["execution_count"], before["execution_count"])
    after, _ = kernel.execute("3")
    equal(after["execution_count"], before["execution_count"] + 1)


@case
def user_expressions(kernel):
    reply, _ = kernel.execute("const ue = 20", user_expressions={"good": "ue + 1", "bad": "missing.x"})
    equal(reply["user_expressions"]["good"]["data"]["text/plain"], "21")
    equal(reply["user_expressions"]["bad"]["status"], "error")


@case
def stop_on_error(kernel):
    first = kernel.client.execute("await new Promise((r) => setTimeout(r, 200)); throw new Error('stop')")
    second = kernel.client.execute("console.log('never')")
    equal(kernel.reply(first, "execute_reply")["status"], "error")
    equal(kernel.reply(second, "execute_reply")["status"], "aborted")
    kernel.broadcasts(first)
    equal(kernel.broadcasts(second), [])
    first = kernel.client.execute("throw new Error('go on')", stop_on_error=False)
    second = kernel.client.execute("1")
    equal(kernel.reply(first, "execute_reply")["status"], "error")
    equal(kernel.reply(second, "execute_reply")["status"], "ok")
    kernel.flush()


@case
def stdin(kernel):
    request = kernel.client.execute("%%rank 0\nconst answer = await input('Who? '); answer + '!'", allow_stdin=True)
    asked = kernel.client.get_stdin_msg(timeout=TIMEOUT)
    validate(asked, "input_request", request)
    assert "Who? " in asked["content"]["prompt"]
    equal(asked["content"]["password"], False)
    kernel.client.input("me")
    equal(kernel.reply(request, "execute_reply")["status"], "ok")
    text = [m for m in kernel.broadcasts(request) if m["msg_type"] == "execute_result"][0]["content"]["data"]["text/plain"]
    equal(text, "[rank 0] 'me!'")
    reply, _ = kernel.execute("await input('?')", allow_stdin=False)
    equal(reply["status"], "error")


@case
def interrupt(kernel):
    kernel.execute("let kept = 5")
    for code in ["for (;;) {}", "await new Promise(() => {})", "for (;;) await null", "for (;;) { try { for (;;) {} } catch {} }"]:
        request = kernel.client.execute(code)
        time.sleep(0.3)
        started = time.monotonic()
        kernel.reply(kernel.send("interrupt_request", {}, "control"), "interrupt_reply", "control")
        reply = kernel.reply(request, "execute_reply")
        equal(reply["status"], "error")
        assert time.monotonic() - started < 2, "the interrupt took too long"
        kernel.flush()
        _, messages = kernel.execute("kept")
        equal(messages[0]["content"]["data"]["text/plain"], "5")


@case
def ranks(kernel):
    _, messages = kernel.execute("rank")
    equal(messages[0]["content"]["data"]["text/plain"], "[rank 0] 0\n[rank 1] 1\n[rank 2] 2\n[rank 3] 3")
    _, messages = kernel.execute("console.log('all'); if (rank % 2) console.log('odd')")
    equal(stream_text(messages, "stdout"), "all\n[rank 1,3] odd\n")
    _, messages = kernel.execute("%%rank 0,2\nconsole.log(rank)")
    equal(stream_text(messages, "stdout"), "[rank 0] 0\n[rank 2] 2\n")


@case
def rank_failure(kernel):
    reply, messages = kernel.execute("const made = 1;\nif (rank === 2)\n  throw new Error('only two')")
    equal(reply["status"], "error")
    text = "\n".join(reply["traceback"])
    assert "[rank 2]" in text and ":3:" in text, text
    reply, _ = kernel.execute("made")
    equal(reply["status"], "error")
    reply, _ = kernel.execute("const made = 2")
    equal(reply["status"], "ok")


@case
def type_errors(kernel):
    reply, _ = kernel.execute("const one = 1;\nconst two: number = 'two';")
    equal(reply["ename"], "TypeScriptError")
    assert ":2:7" in reply["evalue"], reply["evalue"]
    reply, messages = kernel.execute("%check warnings\nconst two: number = 'two' ;\ntwo")
    equal(reply["status"], "ok")
    assert "TS2322" in stream_text(messages, "stderr")
    reply, messages = kernel.execute("%check off\nconst three: number = 'three'")
    equal((reply["status"], stream_text(messages, "stderr")), ("ok", ""))
    kernel.execute("%check errors")


@case
def magics(kernel):
    for code, wanted in [("%wrold 2", "%world N"), ("%world 0", "1 to 64"), ("%world 10000", "1 to 64"), ("%%rank 9\n1", "0 to 3"), ("%%rank 1", "no code follows it")]:
        reply, _ = kernel.execute(code)
        equal(reply["status"], "error")
        assert wanted in "\n".join(reply["traceback"]), reply["traceback"]
    _, messages = kernel.execute("%help")
    assert "%world" in stream_text(messages, "stdout")
    _, messages = kernel.execute("%world 2\nworldSize")
    equal(messages[-1]["content"]["data"]["text/plain"], "2")
    kernel.execute("%world 4")


@case
def rank_death(kernel):
    reply, messages = kernel.execute("if (rank === 1) process.exit(7)")
    equal(reply["status"], "error")
    assert "rank 1" in "\n".join(reply["traceback"])
    _, messages = kernel.execute("rank")
    assert "[rank 1] 1" in messages[-1]["content"]["data"]["text/plain"]


@case
def bad_messages(kernel):
    session, socket = kernel.client.session, kernel.client.shell_channel.socket
    good = session.serialize(session.msg("kernel_info_request", {}))
    unsigned = [*good]
    unsigned[1] = b""
    forged = [*good]
    forged[1] = b"0" * 64

    def signed(*parts):
        digest = hmac.new(session.key, digestmod=hashlib.sha256)
        for part in parts:
            digest.update(part)
        return [b"<IDS|MSG>", digest.hexdigest().encode(), *parts]

    for frames in [
        [b"rubbish"], unsigned, forged, [b"<IDS|MSG>"], signed(b"{", b"{}", b"{}", b"{}"), signed(b"[]", b"{}", b"{}", b"{}"),
        signed(json.dumps({"msg_id": "x"}).encode(), b"{}", b"{}", b"{}"), signed(b"{}", b"{}", b"{}", b"null"),
    ]:
        socket.send_multipart(frames)
    equal(kernel.reply(kernel.client.kernel_info(), "kernel_info_reply")["status"], "ok")
    kernel.flush()
    request = kernel.send("no_such_request", {})
    kernel.broadcasts(request)
    message = kernel.client.get_shell_msg(timeout=TIMEOUT)
    equal(message["content"]["status"], "error")


@case
def heartbeat(kernel):
    assert kernel.client.hb_channel.is_beating()


@case
def restart(kernel):
    kernel.execute("const gone = 1")
    kernel.manager.restart_kernel(now=False)
    kernel.client.wait_for_ready(timeout=TIMEOUT)
    kernel.flush()
    reply, _ = kernel.execute("gone")
    equal(reply["status"], "error")
    reply, _ = kernel.execute("1")
    equal(reply["status"], "ok")


@case
def shutdown(kernel):
    process = kernel.manager.provisioner.process
    kernel.reply(kernel.send("shutdown_request", {"restart": False}, "control"), "shutdown_reply", "control")
    equal(process.wait(timeout=10), 0)


def main():
    CASES[CASES.index(shutdown):] = [*SECOND_LIST, shutdown]
    cli = sys.argv[1]
    word = sys.argv[3] if len(sys.argv) > 3 and sys.argv[2] == "-k" else ""
    chosen = [function for function in CASES if any(part in function.__name__ for part in word.split(","))]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.environ.get("NODE", "node"), cli, "kernel", "install", "--prefix", folder], check=True,
                       stdout=subprocess.DEVNULL)
        kernel = Kernel(folder)
        print(f"kernel ready in {kernel.start_seconds:.2f} s", flush=True)
        failed = 0
        for function in chosen:
            try:
                kernel.flush()
                function(kernel)
                print(f"ok    {function.__name__}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {function.__name__}\n{traceback.format_exc()}", flush=True)
        kernel.stop()
        if failed:
            with open(os.path.join(folder, "kernel.log")) as log:
                print("kernel log:\n" + log.read()[-4000:])
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
