"""Notebooks run by Jupyter's own tools: nbclient, nbconvert --execute, papermill. What is not installed is skipped by name.

usage: notebook_tools.py CLI FOLDER    CLI is the built command's script; FOLDER is empty and may be filled
"""
import importlib.util
import os
import subprocess
import sys
import traceback

cli, folder = sys.argv[1:3]
prefix = os.path.join(folder, "prefix")
subprocess.run([os.environ.get("NODE", "node"), cli, "kernel", "install", "--prefix", prefix, "--world", "2"],
               check=True, stdout=subprocess.DEVNULL)
os.environ["JUPYTER_PATH"] = os.path.join(prefix, "share/jupyter")
os.chdir(folder)
passed = failed = 0

GOOD = ["const a = 2;\nconsole.log('a is', a)", "a * 3", "display({ 'text/html': '<b>bold</b>' });\nundefined",
        "for (const step of progress(3)) void step;\nrank"]
BAD = [*GOOD, "if (rank === 1)\n  throw new RangeError('too far')", "console.log('never')"]


def check(name, needs):
    def run(body):
        global passed, failed
        if importlib.util.find_spec(needs) is None:
            print(f"skip  {name}: {needs} is not installed")
            return
        try:
            body()
            passed += 1
            print(f"ok    {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    return run


def equal(actual, wanted):
    assert actual == wanted, f"got {actual!r}, wanted {wanted!r}"


def notebook(cells, file=None):
    import nbformat
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    made.metadata["kernelspec"] = {"name": "shardbook", "display_name": "TypeScript (Shardbook)", "language": "typescript"}
    if file:
        nbformat.write(made, file)
    return made


def kinds(cell):
    return [output.output_type for output in cell.outputs]


@check("nbclient runs a notebook and keeps its outputs", "nbclient")
def _():
    from nbclient import NotebookClient
    made = notebook(GOOD)
    NotebookClient(made, kernel_name="shardbook", timeout=120).execute()
    equal([cell.execution_count for cell in made.cells], [1, 2, 3, 4])
    equal(made.cells[0].outputs[0].text, "a is 2\n")
    equal(made.cells[1].outputs[0].data["text/plain"], "6")
    equal(made.cells[2].outputs[0].data["text/html"], "<b>bold</b>")
    # The progress bar was updated in place.
    equal(kinds(made.cells[3]), ["display_data", "execute_result"])
    equal(made.metadata["language_info"]["name"], "typescript")


@check("nbclient's error carries ename, evalue and traceback", "nbclient")
def _():
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    made = notebook(BAD)
    try:
        NotebookClient(made, kernel_name="shardbook", timeout=120).execute()
        raise AssertionError("the failure went unnoticed")
    except CellExecutionError as error:
        equal((error.ename, error.evalue), ("RangeError", "[rank 1] too far"))
        assert "cell 5" in error.traceback and "throw new RangeError" in error.traceback, error.traceback
    output = made.cells[4].outputs[-1]
    equal((output.output_type, output.ename, output.evalue), ("error", "RangeError", "[rank 1] too far"))
    assert any(":2:" in line for line in output.traceback), output.traceback
    equal(made.cells[5].execution_count, None)


@check("nbclient goes on after errors that are allowed, and times out", "nbclient")
def _():
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError
    made = notebook(BAD)
    NotebookClient(made, kernel_name="shardbook", timeout=120, allow_errors=True).execute()
    equal(made.cells[5].outputs[0].text, "never\n")
    try:
        NotebookClient(notebook(["for (;;) {}"]), kernel_name="shardbook", timeout=5).execute()
        raise AssertionError("the endless cell ended")
    except CellTimeoutError:
        pass


@check("nbconvert --execute: exit codes, and the failure in its words", "nbconvert")
def _():
    notebook(GOOD, "good.ipynb")
    notebook(BAD, "bad.ipynb")
    convert = [sys.executable, "-m", "nbconvert", "--execute", "--ExecutePreprocessor.timeout=120", "--to"]
    done = subprocess.run([*convert, "notebook", "--output", "good-out", "good.ipynb"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    import nbformat
    equal(nbformat.read("good-out.ipynb", 4).cells[1].outputs[0].data["text/plain"], "6")
    done = subprocess.run([*convert, "notebook", "bad.ipynb"], capture_output=True, text=True)
    assert done.returncode != 0, "a failing notebook passed"
    assert "RangeError" in done.stderr and "too far" in done.stderr, done.stderr
    done = subprocess.run([sys.executable, "-m", "nbconvert", "--to", "script", "--output", "good", "good-out.ipynb"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and os.path.exists("good.ts"), done.stderr


@check("papermill: parameters, and a failure that is kept in the notebook", "papermill")
def _():
    import nbformat
    import papermill
    made = notebook(["const size = 1;", "size * 2"])
    made.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(made, "parameters.ipynb")
    papermill.execute_notebook("parameters.ipynb", "parameters-out.ipynb", kernel_name="shardbook", language="typescript")
    notebook(BAD, "bad.ipynb")
    try:
        papermill.execute_notebook("bad.ipynb", "bad-out.ipynb", kernel_name="shardbook", language="typescript")
        raise AssertionError("the failure went unnoticed")
    except papermill.exceptions.PapermillExecutionError as error:
        equal((error.ename, error.evalue), ("RangeError", "[rank 1] too far"))


print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
