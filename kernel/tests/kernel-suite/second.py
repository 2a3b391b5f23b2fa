"""The second list: stdin, comms, interrupts in every blocking state, updated displays, parents under concurrency, debugging."""
import json
import time

from schemas import validate

TIMEOUT = 60
# Where a cell can be stuck; what must be there before it is interrupted is said by its print.
BLOCKED = {
    "a synchronous loop": "console.log('go'); for (;;) {}",
    "a regular expression": "console.log('go'); /^(a+)+$/.test('a'.repeat(40) + 'b')",
    "Atomics.wait": "console.log('go'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
    "a promise that never settles": "console.log('go'); await new Promise(() => {})",
    "a loop of microtasks": "console.log('go'); for (;;) await null",
    "a loop that catches everything": "console.log('go'); for (;;) { try { for (;;) {} } catch {} finally {} }",
    "a sleep": "console.log('go'); await new Promise((done) => setTimeout(done, 1e9))",
    "a collective": "console.log('go'); if (rank === 0) for (;;) {} else dist.allReduce(torch.ones([4]))",
    "a receive": "console.log('go'); if (rank === 1) dist.recv(torch.zeros([1]), 0); else for (;;) {}",
    "a send that nobody takes": "console.log('go'); if (rank === 1) dist.send(torch.zeros([1 << 20]), 0); else for (;;) {}",
    "the store": "console.log('go'); if (rank === 1) dist.barrier(); else await new Promise(() => {})",
    "a loop of collectives": "console.log('go'); for (;;) dist.allReduce(torch.ones([4]))",
}


def equal(actual, wanted):
    assert actual == wanted, f"got {actual!r}, wanted {wanted!r}"


def kinds(messages):
    return [message["msg_type"] for message in messages]


def text_of(messages, name="stdout"):
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream" and m["content"]["name"] == name)


def until(kernel, request, found):
    """Reads iopub until `found(message)`; every message on the way must be this request's."""
    while True:
        message = kernel.client.get_iopub_msg(timeout=TIMEOUT)
        validate(message, parent=request)
        if found(message):
            return message


def says(word):
    return lambda m: m["msg_type"] == "stream" and word in m["content"]["text"]


def idle(message):
    return message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"


def control(kernel, kind, content):
    request = kernel.send(kind, content, "control")
    return kernel.reply(request, kind.replace("_request", "_reply"), "control")


def debug(kernel, command, arguments=None):
    request = kernel.send("debug_request", {"seq": 1, "type": "request", "command": command,
                                            "arguments": arguments or {}}, "control")
    message = kernel.client.get_control_msg(timeout=TIMEOUT)
    validate(message, "debug_reply", request)
    return message["content"]


def stdin_questions(kernel):
    request = kernel.client.execute(
        "%%rank 0\nconst first = await input('Name? ');\nconst second = await input('Key? ', { password: true });\n"
        "console.log(JSON.stringify([first, second]))", allow_stdin=True)
    for password, answer in ((False, "Ann é"), (True, "")):
        asked = kernel.client.get_stdin_msg(timeout=TIMEOUT)
        validate(asked, "input_request", request)
        equal(asked["content"]["password"], password)
        kernel.client.input(answer)
    equal(kernel.reply(request, "execute_reply")["status"], "ok")
    assert '["Ann é",""]' in text_of(kernel.broadcasts(request))


def stdin_of_several_ranks(kernel):
    request = kernel.client.execute("const mine = await input('Which? '); mine", allow_stdin=True)
    prompts = []
    for _ in range(4):
        asked = kernel.client.get_stdin_msg(timeout=TIMEOUT)
        prompts.append(asked["content"]["prompt"])
        message = kernel.client.session.msg("input_reply", {"value": asked["content"]["prompt"][6]})
        message["parent_header"] = asked["header"]
        kernel.client.stdin_channel.send(message)
    equal(sorted(prompts), [f"[rank {rank}] Which? " for rank in range(4)])
    equal(kernel.reply(request, "execute_reply")["status"], "ok")
    result = [m for m in kernel.broadcasts(request) if m["msg_type"] == "execute_result"][0]
    equal(result["content"]["data"]["text/plain"], "\n".join(f"[rank {rank}] '{rank}'" for rank in range(4)))


def interrupt_input(kernel):
    request = kernel.client.execute("%%rank 0\nawait input('never answered')", allow_stdin=True)
    validate(kernel.client.get_stdin_msg(timeout=TIMEOUT), "input_request", request)
    control(kernel, "interrupt_request", {})
    equal(kernel.reply(request, "execute_reply")["ename"], "Interrupted")
    kernel.flush()
    # A late answer belongs to nobody.
    kernel.client.input("too late")
    _, messages = kernel.execute("1 + 1")
    equal(messages[0]["content"]["data"]["text/plain"], "2")


def interrupt_everywhere(kernel):
    kernel.execute("let held = 5; if (!dist.isInitialized()) dist.initProcessGroup()")
    figures = []
    for state, code in BLOCKED.items():
        request = kernel.client.execute(code)
        until(kernel, request, says("go"))
        time.sleep(0.1)
        started = time.monotonic()
        interrupting = kernel.send("interrupt_request", {}, "control")
        message = kernel.client.get_shell_msg(timeout=TIMEOUT)
        took = time.monotonic() - started
        validate(message, "execute_reply", request)
        equal((state, message["content"]["status"], message["content"]["ename"]), (state, "error", "Interrupted"))
        validate(kernel.client.get_control_msg(timeout=TIMEOUT), "interrupt_reply", interrupting)
        kernel.flush()
        reply, messages = kernel.execute("dist.barrier(); held")
        equal((state, reply["status"]), (state, "ok"))
        equal(messages[-1]["content"]["data"]["text/plain"], "5")
        figures.append(f"{state} {1000 * took:.0f} ms")
    print("      " + ", ".join(figures))


def interrupt_aborts_the_queue(kernel):
    first = kernel.client.execute("console.log('go'); for (;;) {}")
    second = kernel.client.execute("console.log('never')")
    until(kernel, first, says("go"))
    control(kernel, "interrupt_request", {})
    equal(kernel.reply(first, "execute_reply")["status"], "error")
    equal(kernel.reply(second, "execute_reply")["status"], "aborted")
    kernel.flush()


def interrupt_nothing(kernel):
    control(kernel, "interrupt_request", {})
    kernel.flush()
    reply, _ = kernel.execute("1")
    equal(reply["status"], "ok")


def update_display_of_an_earlier_cell(kernel):
    reply, messages = kernel.execute("display('loading', { displayId: 'bar' }); undefined")
    equal(kinds(messages), ["display_data"])
    # `execute` checks that all it reads is an answer to its own request.
    _, messages = kernel.execute("updateDisplay('bar', { 'text/html': '<b>half</b>', 'text/plain': 'half' })")
    equal(kinds(messages), ["update_display_data"])
    equal(messages[0]["content"]["transient"], {"display_id": "bar"})
    equal(messages[0]["content"]["data"]["text/html"], "<b>half</b>")


def parents_of_many_requests(kernel):
    requests = [kernel.client.execute(f"console.log('cell {i}'); await null; console.log('end {i}')", store_history=False)
                for i in range(20)]
    for i, request in enumerate(requests):
        equal(kernel.reply(request, "execute_reply")["status"], "ok")
        # Everything between busy and idle is this request's, and requests do not interleave.
        equal(text_of(kernel.broadcasts(request)), f"cell {i}\nend {i}\n")


def parents_while_a_cell_runs(kernel):
    running = kernel.client.execute("console.log('go'); await new Promise(() => {})")
    until(kernel, running, says("go"))
    asked = kernel.send("kernel_info_request", {}, "control")
    message = kernel.client.get_control_msg(timeout=TIMEOUT)
    validate(message, "kernel_info_reply", asked)
    states = []
    for _ in range(2):
        message = kernel.client.get_iopub_msg(timeout=TIMEOUT)
        validate(message, "status", asked)
        states.append(message["content"]["execution_state"])
    equal(states, ["busy", "idle"])
    control(kernel, "interrupt_request", {})
    reply = kernel.client.get_shell_msg(timeout=TIMEOUT)
    validate(reply, "execute_reply", running)
    kernel.flush()


def late_output(kernel):
    first = kernel.client.execute("let spoken = false; const tell = () => { console.log('late'); spoken = true };\n"
                                  "setTimeout(tell, 300)\nundefined")
    equal(kernel.reply(first, "execute_reply")["status"], "ok")
    second = kernel.client.execute("while (!spoken) await new Promise((done) => setTimeout(done, 10));\nconsole.log('own')")
    equal(kernel.reply(second, "execute_reply")["status"], "ok")
    said = {first: "", second: ""}
    while said[second] == "" or said[first] == "":
        message = kernel.client.get_iopub_msg(timeout=TIMEOUT)
        validate(message)
        if message["msg_type"] == "stream":
            said[message["parent_header"]["msg_id"]] += message["content"]["text"]
    kernel.flush()
    # What comes late is shown as it comes, so ranks may speak one by one.
    assert "late" in said[first] and "own" not in said[first], said
    equal(said[second], "own\n")


def history_and_silence(kernel):
    before = kernel.reply(kernel.client.history(hist_access_type="tail", n=1, raw=True), "history_reply")["history"]
    kernel.execute("'not kept'", store_history=False)
    kernel.execute("'silent'", silent=True)
    after = kernel.reply(kernel.client.history(hist_access_type="tail", n=1, raw=True), "history_reply")["history"]
    equal(after, before)


def replayed_messages(kernel):
    session, socket = kernel.client.session, kernel.client.shell_channel.socket
    frames = session.serialize(session.msg("kernel_info_request", {}))
    for _ in range(3):
        socket.send_multipart(frames)
    validate(kernel.client.get_shell_msg(timeout=TIMEOUT), "kernel_info_reply")
    request = kernel.client.comm_info()
    # The next reply is the next request's: the copies got none.
    message = kernel.client.get_shell_msg(timeout=TIMEOUT)
    validate(message, "comm_info_reply", request)
    kernel.flush()


def comm_of_a_front_end(kernel):
    equal(kernel.reply(kernel.client.comm_info(), "comm_info_reply")["comms"], {})
    request = kernel.send("comm_open", {"comm_id": "c0", "target_name": "none", "data": {}})
    equal(kinds(kernel.broadcasts(request)), ["comm_close"])
    for kind in ("comm_msg", "comm_close"):
        equal(kernel.broadcasts(kernel.send(kind, {"comm_id": "c0", "data": {}})), [])
    kernel.execute("Comm.register('echo', (comm, { data }) => {\n  comm.send({ opened: data });\n"
                   "  comm.onMessage(({ data, buffers }) => {\n    console.log('heard by', rank);\n"
                   "    comm.send({ back: data, bytes: buffers[0]?.[0] }, { metadata: { kind: 'x' }, buffers: [Uint8Array.of(9, 8)] });\n"
                   "  });\n  comm.onClose(() => console.log('closed'));\n})")
    opened = kernel.broadcasts(kernel.send("comm_open", {"comm_id": "c1", "target_name": "echo", "data": {"a": 1}}))
    equal([m["content"] for m in opened], [{"comm_id": "c1", "data": {"opened": {"a": 1}}}])
    equal(kernel.reply(kernel.client.comm_info(), "comm_info_reply")["comms"], {"c1": {"target_name": "echo"}})
    equal(kernel.reply(kernel.client.comm_info("other"), "comm_info_reply")["comms"], {})
    message = kernel.client.session.msg("comm_msg", {"comm_id": "c1", "data": [1, None]})
    kernel.client.session.send(kernel.client.shell_channel.socket, message, buffers=[b"\x07"])
    heard = kernel.broadcasts(message["header"]["msg_id"])
    answer = [m for m in heard if m["msg_type"] == "comm_msg"][0]
    equal(answer["content"], {"comm_id": "c1", "data": {"back": [1, None], "bytes": 7}})
    equal(answer["metadata"], {"kind": "x"})
    equal([bytes(buffer) for buffer in answer["buffers"]], [b"\x09\x08"])
    equal(text_of(heard), "[rank 0] heard by 0\n")
    closed = kernel.broadcasts(kernel.send("comm_close", {"comm_id": "c1", "data": {}}))
    assert "closed" in text_of(closed), closed
    equal(kernel.reply(kernel.client.comm_info(), "comm_info_reply")["comms"], {})


def comm_of_a_cell(kernel):
    _, messages = kernel.execute("const widget = Comm.open('chart', { y: [1, 2] });\nwidget.send('point');\n"
                                 "widget.onMessage(({ data }) => display({ 'text/plain': `got ${data}` }));\nundefined")
    equal(kinds(messages), ["comm_open", "comm_msg"])
    equal(messages[0]["content"]["target_name"], "chart")
    identity = messages[0]["content"]["comm_id"]
    shown = kernel.broadcasts(kernel.send("comm_msg", {"comm_id": identity, "data": "hello"}))
    assert "got hello" in json.dumps([m["content"] for m in shown]), shown
    # A handler that does not end is interrupted like a cell.
    kernel.execute("widget.onMessage(() => { console.log('go'); for (;;) {} });\nundefined")
    stuck = kernel.send("comm_msg", {"comm_id": identity, "data": "again"})
    until(kernel, stuck, says("go"))
    control(kernel, "interrupt_request", {})
    kernel.flush()
    _, messages = kernel.execute("widget.close()")
    equal(kinds(messages), ["comm_close"])


def debug_requests(kernel):
    info = kernel.reply(kernel.client.kernel_info(), "kernel_info_reply")
    equal((info["debugger"], info["supported_features"]), (True, ["debugger"]))
    answer = debug(kernel, "noSuchCommand")
    equal((answer["success"], answer["command"], answer["request_seq"]), (False, "noSuchCommand", 1))
    assert "noSuchCommand" in answer["message"]
    kernel.flush()
    kernel.execute("%reset\nconst looked = { at: [1, 2] }; const apart = rank")
    shown = debug(kernel, "inspectVariables")["body"]["variables"]
    equal({v["name"]: v["value"] for v in shown},
          {"looked": "{ at: [ 1, 2 ] }", "apart": "[rank 0] 0 | [rank 1] 1 | [rank 2] 2 | [rank 3] 3"})
    rich = debug(kernel, "richInspectVariables", {"variableName": "looked"})
    equal(rich["body"]["data"]["text/plain"], "{ at: [ 1, 2 ] }")
    equal(debug(kernel, "debugInfo")["body"]["isStarted"], False)
    assert debug(kernel, "initialize")["success"]
    assert debug(kernel, "attach")["success"]
    kernel.flush()
    code = "%%rank 0\nlet debugged = 6;\nconst twice = debugged * 2;\ntwice"
    path = debug(kernel, "dumpCell", {"code": code})["body"]["sourcePath"]
    equal(debug(kernel, "setBreakpoints", {"source": {"path": path}, "breakpoints": [{"line": 3}]})["body"]["breakpoints"][0]["verified"], True)
    debug(kernel, "configurationDone")
    kernel.flush()
    request = kernel.client.execute(code)
    while True:
        message = kernel.client.get_iopub_msg(timeout=TIMEOUT)
        validate(message)
        if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
            break
    equal(message["content"]["body"]["threadId"], 1)
    frame = debug(kernel, "stackTrace", {"threadId": 1})["body"]["stackFrames"][0]
    equal((frame["line"], frame["source"]["path"]), (3, path))
    scopes = debug(kernel, "scopes", {"frameId": frame["id"]})["body"]["scopes"]
    local = debug(kernel, "variables", {"variablesReference": scopes[0]["variablesReference"]})["body"]["variables"]
    equal({v["name"]: v["value"] for v in local}["debugged"], "6")
    equal(debug(kernel, "evaluate", {"expression": "debugged + looked.at[1]", "frameId": frame["id"]})["body"]["result"], "8")
    reference = scopes[0]["variablesReference"]
    changed = debug(kernel, "setVariable", {"variablesReference": reference, "name": "debugged", "value": "20 + 1"})
    equal((changed["success"], changed["body"].get("value")), (True, "21"))
    assert debug(kernel, "copyToGlobals", {"srcVariableName": "debugged", "dstVariableName": "copied", "srcFrameId": frame["id"]})["success"]
    scopes = debug(kernel, "scopes", {"frameId": frame["id"]})["body"]["scopes"]
    shared = debug(kernel, "variables", {"variablesReference": scopes[1]["variablesReference"]})["body"]["variables"]
    equal({v["name"]: v["value"] for v in shared}["copied"], "21")
    rich = debug(kernel, "richInspectVariables", {"variableName": "looked", "frameId": frame["id"]})
    equal(rich["body"]["data"]["text/plain"], "{ at: [ 1, 2 ] }")
    info = debug(kernel, "debugInfo")["body"]
    equal((info["isStarted"], info["stoppedThreads"], info["copyToGlobals"]), (True, [1], True))
    equal([(each["source"], [point["line"] for point in each["breakpoints"]]) for each in info["breakpoints"]], [(path, [3])])
    equal(debug(kernel, "source", {"source": {"path": path}})["body"]["content"], code)
    equal(debug(kernel, "modules")["body"], {"modules": [], "totalModules": 0})
    kernel.flush()
    debug(kernel, "next", {"threadId": 1})
    while True:
        message = kernel.client.get_iopub_msg(timeout=TIMEOUT)
        validate(message)
        if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
            break
    frame = debug(kernel, "stackTrace", {"threadId": 1})["body"]["stackFrames"][0]
    equal(frame["line"], 4)
    debug(kernel, "continue", {"threadId": 1})
    message = kernel.client.get_shell_msg(timeout=TIMEOUT)
    validate(message, "execute_reply", request)
    equal(message["content"]["status"], "ok")
    assert debug(kernel, "disconnect")["success"]
    kernel.flush()
    reply, messages = kernel.execute("%%rank 0\ncopied * 2")
    equal(reply["status"], "ok")
    kernel.flush()


def restart_while_it_runs(kernel):
    request = kernel.client.execute("console.log('go'); for (;;) {}")
    until(kernel, request, says("go"))
    kernel.manager.restart_kernel(now=False)
    kernel.client.wait_for_ready(timeout=TIMEOUT)
    kernel.flush()
    reply, _ = kernel.execute("1")
    equal(reply["status"], "ok")


def subshells_are_not_promised(kernel):
    message = kernel.client.session.msg("create_subshell_request", {})
    kernel.client.control_channel.send(message)
    answer = kernel.client.get_control_msg(timeout=TIMEOUT)
    equal((answer["msg_type"], answer["content"]["status"]), ("create_subshell_reply", "error"))
    kernel.flush()


CASES = [stdin_questions, stdin_of_several_ranks, interrupt_input, interrupt_everywhere, interrupt_aborts_the_queue,
         interrupt_nothing, update_display_of_an_earlier_cell, parents_of_many_requests, parents_while_a_cell_runs,
         late_output, history_and_silence, replayed_messages, comm_of_a_front_end, comm_of_a_cell, debug_requests,
         subshells_are_not_promised, restart_while_it_runs]
