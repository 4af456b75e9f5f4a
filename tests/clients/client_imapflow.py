"""imapflow (npm): what imapflow.js does, and what is there afterwards."""

import hashlib
import json
import os
import pathlib

import mail
import program


def test_imapflow(account):
    home = mail.household()
    account.fill(home)
    expected = {name: sorted(hashlib.sha256(message.content).hexdigest() for message in messages)
                for name, messages in home.items()}
    script = pathlib.Path(__file__).resolve().with_name("imapflow.js")
    tools = os.environ["TOOLS"]
    output = program.run(["node", script], account, NODE_PATH=f"{tools}/node_modules",
                         NODE_EXTRA_CA_CERTS=str(account.server.ca), PORT=str(account.server.imaps),
                         ACCOUNT=account.name, PASSWORD=account.password, EXPECTED=json.dumps(expected))
    stages = [line[6:] for line in program.text(output).splitlines() if line.startswith("stage ")]
    assert len(stages) == 5, stages
    yield from stages

    now = account.read()
    assert "Reise/Ängste" not in now and "Reise/Schön" in now, sorted(now)
    flagged = [message for message in now["Archive/2024/Reisen"] if b"<generated-11@" in message.content]
    assert len(flagged) == 1 and {"\\Flagged", "$Forwarded"} <= flagged[0].flags, flagged
    assert [message.content for message in now["Reise/Schön"]] == [home["日本語/メール"][0].content]
    yield "what it did is there"
