"""Reads a mailbox over IMAPS on the loopback's port 993: mail.py USER PASSWORD [MAILBOX]. Prints a subject a line."""

import imaplib
import ssl
import sys

context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
client = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=context, timeout=20)
client.login(sys.argv[1], sys.argv[2])
mailbox = sys.argv[3] if len(sys.argv) > 3 else "INBOX"
if client.select(mailbox, readonly=True)[0] != "OK":
    sys.exit()
_, found = client.uid("SEARCH", "ALL")
for uid in found[0].split():
    _, parts = client.uid("FETCH", uid, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    print(parts[0][1].decode().strip().removeprefix("Subject: "))
client.logout()
