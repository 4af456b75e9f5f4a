"""Real clients against the real binary over IMAPS: run.py BINARY TOOLS [CLIENT…].

A test is a generator in a file `client_*.py`, or `way_*.py` for the pages on how mail gets here: it is given an
account of its own and yields the name of each stage that passed. Prints `ok CLIENT stage`, or `FAILED CLIENT why`, and exits 0 only if nothing failed."""

import importlib
import os
import pathlib
import signal
import sys
import time
import traceback

import postern

HERE = pathlib.Path(__file__).resolve().parent
LOG_LINES = 15


def tests(wanted):
    for file in sorted([*HERE.glob("client_*.py"), *HERE.glob("way_*.py")]):
        module = importlib.import_module(file.stem)
        for name in list(vars(module)):
            if name.startswith("test_") and (not wanted or name[5:] in wanted):
                yield name[5:], getattr(module, name)


def run(name, test, account):
    """Runs one test; gives whether it passed."""
    started = time.monotonic()
    try:
        for stage in test(account):
            print(f"ok {name}: {stage}", flush=True)
    except Exception:
        why = traceback.format_exc()
        print(f"FAILED {name} {why.strip().splitlines()[-1][:200]}\n{why}", flush=True)
        print("the end of the server's log:", *account.server.log.read_text().splitlines()[-LOG_LINES:], sep="\n")
        return False
    print(f"figure: {name} took {time.monotonic() - started:.1f} s", flush=True)
    return True


def left_running(folder):
    """The command lines of programs that still run with this folder in their arguments."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `finally`, which ends the server
    os.environ["TOOLS"] = os.path.abspath(sys.argv[2])
    os.environ["TZ"] = "UTC"
    time.tzset()
    server = postern.Server(os.path.abspath(sys.argv[1]))
    try:
        passed = [run(name, test, server.account(name)) for name, test in tests(sys.argv[3:])]
    finally:
        code = server.stop()
    log = server.log.read_text()
    for name, wrong in (("orderly_end", code != 0 and f"exit {code}"), ("no_panic", "panicked" in log and log[-3000:]),
                        ("nothing_left_running", left_running(server.folder))):
        print(f"FAILED {name} {wrong}" if wrong else f"ok {name}", flush=True)
        passed.append(not wrong)
    if "KEEP" not in os.environ:
        server.remove()
    sys.exit(0 if all(passed) else 1)


main()
