// Backups and checks in the browser: set up, made, without their disk; a check that finds nothing, and one that finds
// what a damaged file has cost.
import { execFileSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import assert from "node:assert/strict";
import { named, opened } from "./browser.mjs";
import { server } from "./server.mjs";

const PASSWORD = "a long administrator's password";
// More than a server keeps of a file of mail in memory, so that it reads what is damaged.
const LARGE = 12;

function send(host, imaps, name, content) {
  const file = path.join(host.folder, "message.eml");
  fs.writeFileSync(file, content);
  execFileSync("curl", ["-sk", "--user", "anna:correct horse", `imaps://127.0.0.1:${imaps}/${name}`, "-T", file]);
}

function damage(file) {
  const bytes = fs.statSync(file).size;
  const handle = fs.openSync(file, "r+");
  for (let at = 1 << 20; at < bytes / 2; at += 1 << 20) fs.writeSync(handle, Buffer.alloc(4096, 0x55), 0, 4096, at);
  fs.closeSync(handle);
}

export async function keeping(browser, width, scripts, binary, shots) {
  const name = named(width, scripts);
  const host = await server(binary);
  // Another disk than the one that temporary folders lie on.
  const other = fs.mkdtempSync("/dev/shm/postern-web-");
  const { context, page, problems, at, text, shot, press } = await opened(browser, host, width, scripts, shots);
  try {
    assert.notEqual(fs.statSync(other).dev, fs.statSync(host.folder).dev, "/dev/shm is a disk of its own");
    execFileSync(binary, ["account", "add", "anna", "--password-stdin", "--data", path.join(host.folder, "data")], { input: "correct horse" });
    const imaps = /imaps=127\.0\.0\.1:(\d+)/.exec(host.command("status"))[1];
    for (let n = 0; n < LARGE; n += 1) {
      send(host, imaps, "INBOX", `From: a@example.org\r\nSubject: large ${n}\r\n\r\n${crypto.randomBytes(500000).toString("base64").replace(/.{76}/g, "$&\r\n")}\r\n`);
    }
    await page.goto(host.link);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByLabel("The same again").fill(PASSWORD);
    await press("Set the password");
    const until = async (where, wanted) => {
      for (let n = 0; ; n += 1) {
        await page.goto(at(where));
        if (wanted.test(await text())) return;
        assert.ok(n < 100, `${where} never shows ${wanted}: ${await text()}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };

    // Set up: what is wrong is said at its field.
    const stick = path.join(other, "postern");
    await page.goto(at("/backups"));
    await shot("backups-none");
    const folder = page.getByLabel("Folder on another disk");
    await folder.fill("stick");
    await press("Set up and make the first");
    assert.match(await page.locator(".why").innerText(), /whole path/);
    await folder.fill(path.join(host.folder, "stick"));
    await press("Set up and make the first");
    assert.match(await page.locator(".why").innerText(), /would be lost with it/);
    await shot("backups-mistake");
    await folder.fill(stick);
    await page.getByLabel("Hour").fill("25");
    await press("Set up and make the first");
    assert.match(await page.locator(".why").innerText(), /from 0 to 23/);
    assert.equal(await folder.inputValue(), stick);
    await page.getByLabel("Hour").fill("4");
    await page.getByLabel("Passphrase of a new backup").fill("four words of chance");
    await page.getByLabel("The same again").fill("four words");
    await press("Set up and make the first");
    assert.match(await page.locator(".why").innerText(), /not the same/);
    await page.getByLabel("Passphrase of a new backup").fill("four words of chance");
    await page.getByLabel("The same again").fill("four words of chance");
    await press("Set up and make the first");
    await until("/backups", /The last backup: /);
    assert.match(await text(), new RegExp(`${LARGE} messages in it`));
    assert.match(await text(), /Every day at 04:00 UTC/);
    assert.ok(fs.existsSync(path.join(stick, "identity.age")), "it is encrypted");
    await shot("backups");
    await press("Make one now");
    await until("/backups", /0 of them new/);

    // Its disk is gone: red, here and on the overview, and nothing is written there.
    fs.renameSync(stick, `${stick}-away`);
    fs.mkdirSync(stick);
    await press("Make one now");
    assert.match(await text(), /is the disk mounted/);
    assert.equal(await page.locator(".concern.error, .notice.error").count(), 1, "the reason is said once");
    await shot("backups-missing");
    assert.deepEqual(fs.readdirSync(stick), []);
    await page.goto(at("/"));
    assert.match(await page.locator(".hero.error").innerText(), /The backup to .* did not work/);
    await shot("overview-backup");
    fs.rmdirSync(stick);
    fs.renameSync(`${stick}-away`, stick);
    await page.goto(at("/backups"));
    await press("Make one now");
    await until("/backups", /The last backup: /);
    await page.goto(at("/"));
    assert.equal(await page.locator(".concern.error, .hero.error").count(), 0);

    // A check, and one that finds what is damaged.
    await page.goto(at("/storage"));
    await page.getByRole("link", { name: "Check the store" }).click();
    await shot("check-none");
    await press("Check now");
    await until("/storage/check", /All is well/);
    assert.match(await text(), new RegExp(`${LARGE} messages in \\d+ mailboxes`));
    await shot("check");
    damage(path.join(host.folder, "data", "mail", "000001.redb"));
    await press("Check now");
    await until("/storage/check", /Not all is well/);
    assert.ok((await page.locator(".concern.error").count()) > 0);
    assert.match(await text(), /large \d+/);
    await shot("check-damage");
    await page.goto(at("/"));
    await shot("overview-damage");
    // The backup has them already, and what is new and damaged would be named.
    await page.goto(at("/backups"));
    await press("Make one now");
    await until("/backups", /The last backup: /);
    await page.getByRole("link", { name: "Make none every day" }).click();
    await shot("ask-off");
    await press("Make none every day");
    assert.match(await text(), /No backup is made every day/);
    assert.deepEqual(problems, []);
    console.log(`ok web keeping-${name}`);
    return true;
  } catch (error) {
    await shot("keeping-failed").catch(() => {});
    console.log(`FAILED web keeping-${name}: ${error.stack}`);
    return false;
  } finally {
    await context.close();
    host.stop();
    fs.rmSync(other, { recursive: true, force: true });
  }
}
