"""A signed repository of its own, made with packaging/apt-repo and a key that is made for it."""

import os
import pathlib
import subprocess
import tempfile

MAKE = pathlib.Path(__file__).resolve().parents[2] / "packaging/apt-repo"
KEY = "Test of Postern <test@postern.invalid>"


def make(folder, *debs):
    """Makes it, and throws the secret key away."""
    # Short: the path of gpg-agent's socket must fit.
    with tempfile.TemporaryDirectory(prefix="pg") as home:
        environment = {**os.environ, "GNUPGHOME": home}
        gpg = ["gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
        try:
            subprocess.run([*gpg, "--quick-generate-key", KEY, "ed25519", "sign", "1d"], check=True, env=environment)
            subprocess.run([MAKE, folder, "test@postern.invalid", *debs], check=True, env=environment, capture_output=True)
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], env=environment)
