"""Sits in IDLE on port 993, and connects there over and over: gap.py USER PASSWORD. Prints for how many seconds that was
refused once the server went away; it must have said BYE."""

import socket
import ssl
import sys
import time

LATEST = 40

context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
session = context.wrap_socket(socket.create_connection(("127.0.0.1", 993), 10))
lines = session.makefile("rwb")


def say(line, until):
    lines.write(f"{line}\r\n".encode())
    lines.flush()
    while not (answer := lines.readline()).startswith(until.encode()):
        assert answer, f"closed after {line}"


say(f'a LOGIN {sys.argv[1]} "{sys.argv[2]}"', "a OK")
say("b SELECT INBOX", "b OK")
say("c IDLE", "+")
print("idle", flush=True)

end, shut = time.monotonic() + LATEST, None
while time.monotonic() < end:
    try:
        socket.create_connection(("127.0.0.1", 993), 1).close()
        if shut is not None:
            break
    except OSError:
        shut = shut or time.monotonic()
    time.sleep(0.005)
gap = time.monotonic() - shut if shut else 0
said = lines.read()
assert b"* BYE" in said, said
print(f"{gap:.2f}")
