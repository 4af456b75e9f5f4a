// A server of its own for each walk, in a temporary folder.
import { spawn, execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

export async function server(binary) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "postern-web-"));
  const log = fs.openSync(path.join(folder, "log"), "w");
  const args = ["serve", "--data", path.join(folder, "data"), "--imaps", "127.0.0.1:0", "--imap", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", log] });
  let text = "";
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`the server did not start: ${text}`)), 20000);
    child.stdout.on("data", (bytes) => {
      text += bytes;
      if (/^set up: .*\n/m.test(text)) { clearTimeout(late); resolve(); }
    });
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${fs.readFileSync(path.join(folder, "log"), "utf8")}`)));
  });
  const link = /set up: (\S+)/.exec(text)[1];
  return {
    folder, link, pid: child.pid, port: new URL(link).port,
    command: (...rest) => execFileSync(binary, [...rest, "--data", path.join(folder, "data")], { encoding: "utf8" }),
    stop: () => { child.removeAllListeners("exit"); child.kill(); fs.rmSync(folder, { recursive: true, force: true }); },
  };
}
