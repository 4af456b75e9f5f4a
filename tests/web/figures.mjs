// What a page costs: the server's milliseconds, wall and CPU, and the bytes, with 5 accounts and 5,000
// messages, over a connection that stays open. Prints lines "figure …"; nothing here can fail for being slow.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import assert from "node:assert/strict";
import { server } from "./server.mjs";

const REQUESTS = 200;
const ACCOUNTS = ["anna", "ben", "carla", "dora", "emil"];
const PAGES = ["/", "/accounts", "/accounts/anna", "/incoming", "/import", "/system", "/certificate", "/deleted", "/storage", "/backups", "/log", "/setup/mail", "/setup/device"];

function fill(host) {
  const mbox = path.join(host.folder, "Old.mbox");
  const one = (n) => `From x@example.org Mon Jan  2 03:04:05 2006\nFrom: x@example.org\nSubject: old ${n}\nMessage-ID: <${n}@old>\n\n${`Text ${n}. `.repeat(200)}\n\n`;
  fs.writeFileSync(mbox, Array.from({ length: 1000 }, (_, n) => one(n)).join(""));
  for (const name of ACCOUNTS) {
    execFileSync("sh", ["-c", 'echo "a long password" | "$0" account add "$1" --password-stdin --data "$2"', host.binary, name, path.join(host.folder, "data")]);
    host.command("import", mbox, "--account", name);
    for (const device of ["phone", "laptop"]) host.command("device", "add", device, "--account", name);
    const maildir = path.join(host.folder, name);
    for (const sub of ["cur", "new", "tmp"]) fs.mkdirSync(path.join(maildir, sub), { recursive: true });
    host.command("source", "add", maildir, "--account", name, "--after", "keep");
  }
}

/// The seconds of CPU that a process has had, in hundredths.
function cpu(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function median(list) { return list.sort((a, b) => a - b)[Math.floor(list.length / 2)]; }

export async function figures(binary) {
  const host = { ...(await server(binary)), binary };
  try {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
    const ask = (where, { cookie, form } = {}) => new Promise((resolve, reject) => {
      const headers = { ...(cookie ? { cookie } : {}), ...(form ? { "content-type": "application/x-www-form-urlencoded" } : {}) };
      const request = https.request({ host: "127.0.0.1", port: host.port, path: where, agent, headers, method: form ? "POST" : "GET" }, (response) => {
        const head = response.rawHeaders.reduce((sum, text) => sum + text.length + 2, 19);
        let size = 0;
        response.on("data", (bytes) => { size += bytes.length; });
        response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, head, size }));
      });
      request.on("error", reject);
      request.end(form && new URLSearchParams(form).toString());
    });
    const password = "a long administrator's password";
    const code = new URL(host.link).searchParams.get("code");
    const entered = await ask("/setup", { form: { code, password, again: password } });
    const cookie = entered.headers["set-cookie"][0].split(";")[0];
    fill(host);
    let html = 0;
    for (const where of PAGES) {
      const times = [];
      let size = 0;
      for (let n = 0; n < 20; n += 1) await ask(where, { cookie });
      const before = cpu(host.pid);
      for (let n = 0; n < REQUESTS; n += 1) {
        const begun = process.hrtime.bigint();
        const answer = await ask(where, { cookie });
        times.push(Number(process.hrtime.bigint() - begun) / 1e6);
        assert.equal(answer.status, 200, where);
        size = answer.size;
        assert.ok(size <= 20480, `${where} has ${size} bytes`);
      }
      const used = ((cpu(host.pid) - before) * 1000) / REQUESTS;
      html += size;
      console.log(`figure page ${where}: ${median(times).toFixed(2)} ms until it is there, ${used.toFixed(2)} ms of server CPU, ${size} bytes`);
    }
    const [style, icon, script] = [await ask("/style.css"), await ask("/icon.svg"), await ask("/app.js")];
    assert.ok(style.size <= 10240, `the style has ${style.size} bytes`);
    assert.ok(script.size <= 6144, `the script has ${script.size} bytes`);
    const first = await ask("/", { cookie });
    const sent = [first, style, icon, script].reduce((sum, one) => sum + one.head + one.size, 0);
    console.log(`figure admin site: ${html} bytes of HTML in ${PAGES.length} pages, style ${style.size}, icon ${icon.size}, script ${script.size}`);
    console.log(`figure admin site, the first page with style, icon and script: ${sent} bytes transferred`);
    agent.destroy();
    console.log("ok web figures");
    return true;
  } catch (error) {
    console.log(`FAILED web figures: ${error.stack}`);
    return false;
  } finally {
    host.stop();
  }
}
