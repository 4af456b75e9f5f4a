"""Connects to port 993 over and over; prints the longest time in seconds for which that was refused, once it was."""

import socket
import time

END = time.monotonic() + 40
shut = longest = None
while time.monotonic() < END:
    try:
        socket.create_connection(("127.0.0.1", 993), 1).close()
        if shut is not None:
            longest = max(longest or 0, time.monotonic() - shut)
            break
    except OSError:
        shut = shut or time.monotonic()
    time.sleep(0.005)
print(f"{longest if longest is not None else 0:.2f}")
