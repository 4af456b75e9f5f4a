// Walks every page and form of the admin site in a real Chromium, with and without JavaScript, at the width
// of a phone and of a desk, and leaves screenshots: node walk.mjs BINARY TOOLS SCREENSHOTS
// Prints "ok NAME" or "FAILED NAME: why" for each walk; exits 1 if any failed.
import { spawn, execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import assert from "node:assert/strict";

const [binary, tools, shots] = process.argv.slice(2);
const { chromium } = createRequire(path.resolve(tools) + "/")("playwright-core");
const PASSWORD = "a long administrator's password";

function maildir(root) {
  for (const sub of ["cur", "new", "tmp", ".Work/cur", ".Work/new", ".Work/tmp"]) fs.mkdirSync(path.join(root, sub), { recursive: true });
  for (let n = 0; n < 5; n += 1) fs.writeFileSync(path.join(root, "new", `170000000${n}.a.host`), `From: a@example.org\nSubject: Message ${n}\n\nHello\n`);
  const old = new Date(Date.now() - 60000);
  for (const name of fs.readdirSync(path.join(root, "new"))) fs.utimesSync(path.join(root, "new", name), old, old);
}

async function server() {
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
    folder, link, port: new URL(link).port,
    command: (...rest) => execFileSync(binary, [...rest, "--data", path.join(folder, "data")], { encoding: "utf8" }),
    stop: () => { child.removeAllListeners("exit"); child.kill(); fs.rmSync(folder, { recursive: true, force: true }); },
  };
}

async function walk(browser, width, scripts) {
  const name = `${width}-${scripts ? "js" : "nojs"}`;
  const host = await server();
  const context = await browser.newContext({
    viewport: { width, height: 900 }, javaScriptEnabled: scripts, ignoreHTTPSErrors: true,
    colorScheme: scripts ? "light" : "dark",
  });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(10000);
    const problems = [];
    page.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) problems.push(message.text()); });
    page.on("pageerror", (error) => problems.push(String(error)));
    const at = (where) => `https://localhost:${host.port}${where}`;
    const text = () => page.innerText("body");
    const shot = async (what) => {
      await page.screenshot({ path: path.join(shots, `${what}-${name}.png`), fullPage: true });
      if (scripts) {
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wide <= 0, `${what} is ${wide} px wider than the window`);
      }
    };
    const press = (label) => page.getByRole("button", { name: label, exact: true }).click();

    // Nobody gets in before the administrator's password is set.
    await page.goto(at("/accounts"));
    assert.match(page.url(), /\/setup$/);
    await shot("setup-closed");
    await page.goto(at("/setup?code=wrong"));
    assert.match(await text(), /used already, or is too old/);
    await page.goto(host.link);
    await page.getByLabel("Password").fill("short");
    await page.getByLabel("The same again").fill("short");
    await press("Set the password");
    assert.match(await text(), /at least 8 characters/);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByLabel("The same again").fill(PASSWORD + "x");
    await press("Set the password");
    assert.match(await text(), /are not the same/);
    await shot("setup-mistake");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByLabel("The same again").fill(PASSWORD);
    await press("Set the password");
    assert.equal(page.url(), at("/"));
    assert.match(await text(), /There is no account yet/);
    await shot("overview-empty");

    // The link works once.
    await page.goto(host.link);
    assert.match(await text(), /used already, or is too old/);

    // Accounts.
    await page.goto(at("/accounts"));
    await page.getByLabel("Name").fill("not/a name");
    await page.getByLabel("Password").fill("");
    await press("Add the account");
    assert.equal(await page.getByLabel("Name").inputValue(), "not/a name");
    assert.equal(await page.locator(".why").count(), 1);
    await page.getByLabel("Name").fill("anna");
    await page.getByLabel("Password").fill("short");
    await press("Add the account");
    assert.equal(await page.getByLabel("Name").inputValue(), "anna");
    assert.match(await page.locator(".why").innerText(), /at least 8/);
    await shot("accounts-mistake");
    await press("Add the account");
    assert.match(await text(), /The account anna was added/);
    await page.goto(at("/accounts"));
    await page.getByLabel("Name").fill("anna");
    await press("Add the account");
    assert.equal(await page.locator(".why").count(), 1, "a name that is taken");

    // A device, its password, and that it really opens the account.
    await page.goto(at("/accounts/anna"));
    await press("Make a password for it");
    assert.match(await text(), /Give it a name/);
    await page.getByLabel("Add a device").fill("Anna's phone");
    await press("Make a password for it");
    const secret = await page.locator(".secret").innerText();
    assert.match(secret, /^[0-9a-z]{5}(-[0-9a-z]+)+$/);
    await shot("account-device");
    const imaps = /imaps=127\.0\.0\.1:(\d+)/.exec(host.command("status"))[1];
    const folders = execFileSync("curl", ["-sk", "--user", `anna:${secret}`, `imaps://127.0.0.1:${imaps}/`], { encoding: "utf8" });
    assert.match(folders, /LIST .*INBOX/);
    await page.goto(at("/accounts/anna"));
    assert.doesNotMatch(await text(), new RegExp(secret), "the password is shown once");
    assert.match(await text(), /Anna's phone/);

    // A source: refused with the reason at its field, then taken.
    await page.goto(at("/sources"));
    await page.getByLabel("Maildir", { exact: false }).first().fill("/nowhere/at/all");
    await press("Watch it");
    assert.match(await page.locator(".why").innerText(), /no such folder/);
    assert.equal(await page.locator("#path").inputValue(), "/nowhere/at/all");
    await shot("sources-mistake");
    const mail = path.join(host.folder, "Maildir");
    maildir(mail);
    await page.locator("#path").fill(mail);
    await press("Watch it");
    assert.match(await text(), /5 messages in 2 folders/);
    for (let n = 0; ; n += 1) {
      await page.goto(at("/sources"));
      if (/Brought in since the start\s*5/.test(await text())) break;
      assert.ok(n < 50, "the mail is not brought in");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await shot("sources");
    await page.goto(at("/accounts/anna"));
    assert.match(await text(), /Work/);
    await shot("account");

    // Old mail: from this machine, and uploaded; twice brings nothing twice.
    const importEnds = async () => {
      for (let n = 0; ; n += 1) {
        await page.goto(at("/import"));
        if (/messages were found|No mail was found/.test(await text())) return text();
        assert.ok(n < 100, "the import does not end");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    await page.goto(at("/import"));
    await page.getByLabel("File or folder").fill("relative/path");
    await press("Bring it in");
    assert.match(await page.locator(".why").innerText(), /whole path/);
    await page.getByLabel("File or folder").fill("/nowhere/at/all");
    await press("Bring it in");
    assert.match(await page.locator(".why").innerText(), /No such file/);
    await shot("import-mistake");
    const mbox = path.join(host.folder, "Old.mbox");
    fs.writeFileSync(mbox, [1, 2, 3].map((n) => `From x@example.org Mon Jan  2 03:04:05 2006\nFrom: x@example.org\nSubject: old ${n}\nMessage-ID: <${n}@old>\n\nText ${n}\n\n`).join(""));
    await page.getByLabel("File or folder").fill(mbox);
    await press("Bring it in");
    assert.match(await importEnds(), /3 messages were found: 3 brought in/);
    await shot("import");
    await page.locator("#file").setInputFiles(mbox);
    await press("Upload it");
    assert.match(await importEnds(), /3 messages were found: 0 brought in .*3 were there already/);
    assert.match(await text(), /Old.mbox, for anna/);
    assert.deepEqual(fs.readdirSync(path.join(host.folder, "data")).filter((name) => name.startsWith("upload-")), []);
    await press("Upload it");
    assert.match(await page.locator(".why").innerText(), /No file was chosen/);
    fs.writeFileSync(path.join(host.folder, "empty.zip"), "no archive at all");
    await page.locator("#file").setInputFiles(path.join(host.folder, "empty.zip"));
    await press("Upload it");
    assert.match(await importEnds(), /No mail was found/);

    await page.goto(at("/"));
    assert.match(await text(), /All is well/);
    await shot("overview");
    for (const [where, wanted] of [["/certificate", /Fingerprint/], ["/storage", /By account/], ["/log", /imported/], ["/accounts", /anna/]]) {
      await page.goto(at(where));
      assert.match(await text(), wanted);
      await shot(where.slice(1));
    }
    await page.goto(at("/storage"));
    await press("Reclaim now");
    assert.match(await text(), /were dropped/);
    assert.match((await context.request.get(at("/postern-ca.crt"), { ignoreHTTPSErrors: true })).headers()["content-type"], /x509/);
    await page.goto(at("/no/such/page"));
    assert.match(await text(), /no such page/);
    await shot("not-found");

    // Taken back: the device, the source, the account.
    await page.goto(at("/accounts/anna"));
    await press("Revoke Anna's phone");
    assert.match(await text(), /cannot log in any more/);
    assert.throws(() => execFileSync("curl", ["-sk", "--user", `anna:${secret}`, `imaps://127.0.0.1:${imaps}/`], { encoding: "utf8" }));
    await page.goto(at("/"));
    assert.match(await text(), /Anna's phone. of anna tries to log in with a password that was revoked/);
    await shot("overview-revoked");
    await page.goto(at("/sources"));
    await page.getByRole("button", { name: /Stop watching/ }).click();
    assert.match(await text(), /not watched any more/);
    await page.goto(at("/accounts/anna"));
    await page.getByLabel("New password").fill("another long one");
    await press("Set it");
    assert.match(await text(), /password was changed/);
    await page.getByLabel("Type its name").fill("ann");
    await press("Remove it for good");
    assert.equal(await page.locator("#typed_name").inputValue(), "ann");
    assert.equal(await page.locator(".why").count(), 1);
    await page.getByLabel("Type its name").fill("anna");
    await press("Remove it for good");
    assert.match(await text(), /The account anna was removed/);

    // Out, and in again; a form of another session is refused.
    const token = await page.locator("input[name=csrf]").first().inputValue();
    await press("Log out");
    assert.match(page.url(), /\/login$/);
    await shot("login");
    await page.getByLabel("The administrator's password").fill("wrong");
    await press("Log in");
    assert.match(await text(), /not the password/);
    await page.getByLabel("The administrator's password").fill(PASSWORD);
    await press("Log in");
    assert.equal(page.url(), at("/"));
    const refused = await context.request.post(at("/accounts"), { form: { csrf: token, name: "eve", password: "" }, ignoreHTTPSErrors: true });
    assert.equal(refused.status(), 403);
    const elsewhere = await context.request.post(at("/accounts"), { form: { csrf: "", name: "eve", password: "" }, headers: { Origin: "https://evil.example" }, ignoreHTTPSErrors: true });
    assert.equal(elsewhere.status(), 403);
    const large = await context.request.post(at("/accounts"), { form: { csrf: token, name: "x".repeat(70000), password: "" }, ignoreHTTPSErrors: true });
    assert.equal(large.status(), 413);

    // A lost password: a new link.
    const again = /https:\S+/.exec(host.command("setup-link"))[0];
    await page.goto(again);
    await page.getByLabel("Password").fill("quite another one");
    await page.getByLabel("The same again").fill("quite another one");
    await press("Set the password");
    assert.equal(page.url(), at("/"));
    assert.deepEqual(problems, []);
    console.log(`ok web ${name}`);
    return true;
  } catch (error) {
    console.log(`FAILED web ${name}: ${error.stack}`);
    return false;
  } finally {
    await context.close();
    host.stop();
  }
}

fs.mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
let good = true;
for (const width of [390, 1280]) for (const scripts of [true, false]) good = (await walk(browser, width, scripts)) && good;
await browser.close();
process.exit(good ? 0 : 1);
