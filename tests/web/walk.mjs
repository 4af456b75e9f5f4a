// Walks every page and form of the admin site in a real Chromium, with and without JavaScript, at the width
// of a phone and of a desk, and leaves screenshots: node walk.mjs BINARY TOOLS SCREENSHOTS
// Prints "ok NAME" or "FAILED NAME: why" for each walk; exits 1 if any failed.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";
import assert from "node:assert/strict";
import { looksWith, named, opened } from "./browser.mjs";
import { figures } from "./figures.mjs";
import { keeping } from "./keeping.mjs";
import { server } from "./server.mjs";

const [binary, tools, shots] = process.argv.slice(2);
const { chromium } = createRequire(path.resolve(tools) + "/")("playwright-core");
const PASSWORD = "a long administrator's password";

function maildir(root) {
  for (const sub of ["cur", "new", "tmp", ".Work/cur", ".Work/new", ".Work/tmp"]) fs.mkdirSync(path.join(root, sub), { recursive: true });
  for (let n = 0; n < 5; n += 1) fs.writeFileSync(path.join(root, "new", `170000000${n}.a.host`), `From: a@example.org\nSubject: Message ${n}\n\nHello\n`);
  const old = new Date(Date.now() - 60000);
  for (const name of fs.readdirSync(path.join(root, "new"))) fs.utimesSync(path.join(root, "new", name), old, old);
}

async function walk(browser, width, scripts) {
  const name = named(width, scripts);
  const host = await server(binary);
  const { context, page, problems, at, here, text, shot, press } = await opened(browser, host, width, scripts, shots);
  try {
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
    // What is wrong is said at the top, in the title, and the focus is where it is to be mended.
    assert.match(await page.title(), /^Error: /);
    assert.equal(await page.locator("h1 + [role=alert] a").getAttribute("href"), "#password");
    if (scripts) assert.equal(await page.evaluate(() => document.activeElement.id), "password");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByLabel("The same again").fill(PASSWORD + "x");
    await press("Set the password");
    assert.match(await text(), /are not the same/);
    await shot("setup-mistake");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByLabel("The same again").fill(PASSWORD);
    await press("Set the password");
    // The guided set-up goes on; it can be left, and the overview knows where it was.
    assert.equal(here(), at("/setup/account"));
    assert.match(await text(), /Step 2 of 5/);
    await shot("guide-account");
    await page.goto(at("/"));
    assert.match(await text(), /There is no account yet/);
    await shot("overview-empty");
    await page.getByRole("link", { name: "Go on with the set-up" }).click();
    await page.goto(at("/setup/mail"));
    assert.equal(here(), at("/setup/account"), "no mail without an account");

    // The link works once.
    await page.goto(host.link);
    assert.match(await text(), /used already, or is too old/);

    // The first account.
    await page.goto(at("/setup/next"));
    await page.getByLabel("Name").fill("not/a name");
    await press("Add the account");
    assert.equal(await page.getByLabel("Name").inputValue(), "not/a name");
    assert.equal(await page.locator(".why").count(), 1);
    await shot("guide-account-mistake");
    await page.getByLabel("Name").fill("anna");
    await press("Add the account");
    assert.equal(here(), at("/setup/mail"));
    assert.match(await text(), /The account anna was added/);
    assert.match(await text(), /Step 3 of 5/);
    await shot("guide-mail");

    // Where mail comes from: each way says what is wrong where it is typed; then a Maildir.
    const way = (name) => page.locator("details", { has: page.locator("summary", { hasText: name }) });
    const open = async (name) => { if (!(await way(name).evaluate((one) => one.open))) await way(name).locator("summary").click(); };
    await open("Old mail lies on this machine");
    await page.locator("#old-path").fill("/nowhere/at/all");
    await page.getByLabel("mark all of it as read").first().check();
    await press("Bring it in");
    assert.match(await page.locator(".why").innerText(), /there is no .* on this machine/i);
    assert.ok(await page.getByLabel("mark all of it as read").first().isChecked(), "what was chosen is kept");
    await shot("guide-mail-mistake");
    await open("Old mail lies on your computer");
    await press("Upload it");
    assert.match(await page.locator(".why").innerText(), /No file was chosen/);
    const mail = path.join(host.folder, "Maildir");
    maildir(mail);
    await open("New mail arrives in a Maildir");
    await page.locator("#path").fill(mail);
    await press("Watch it");
    assert.equal(here(), at("/setup/device"));
    assert.match(await text(), /5 messages in 2 folders/);

    // Left here, on another machine: it goes on where it was.
    await page.goto(at("/setup/next"));
    assert.match(await text(), /Step 4 of 5/);
    await shot("guide-device");
    await press("Make a password for it");
    assert.match(await page.locator(".why").innerText(), /1 to 60 letters/);
    await page.getByLabel("Name of the device").fill("Tablet");
    await press("Make a password for it");
    assert.match(await text(), /Step 5 of 5/);
    assert.match(await text(), /SSL\/TLS/);
    const imaps = /imaps=127\.0\.0\.1:(\d+)/.exec(host.command("status"))[1];
    assert.match(await text(), new RegExp(`\\b${imaps}\\b`));
    const opens = (secret) => execFileSync("curl", ["-sk", "--user", `anna:${secret}`, `imaps://127.0.0.1:${imaps}/`], { encoding: "utf8" });
    assert.match(opens(await page.locator(".secret").innerText()), /LIST .*INBOX/);
    assert.match(await text(), /IMAP server\s+localhost/, "it listens here only");
    await shot("guide-ready");
    await page.getByRole("link", { name: "Done: go Home" }).click();
    assert.match(await text(), /All is well/);
    await page.goto(at("/setup/next"));
    assert.equal(here(), at("/setup/ready"));
    assert.equal(await page.locator(".secret").count(), 1, "it is shown until it is typed");
    await press("I have typed it");
    assert.equal(await page.locator(".secret").count(), 0);
    assert.match(await text(), /It has logged in/);
    await page.goto(at("/setup/ready"));
    assert.equal(await page.locator(".secret").count(), 0);

    // Accounts.
    await page.goto(at("/accounts"));
    await page.getByLabel("Name").fill("ben");
    await page.getByLabel("Password").fill("short");
    await press("Add the account");
    assert.equal(await page.getByLabel("Name").inputValue(), "ben");
    assert.match(await page.locator(".why").innerText(), /at least 8/);
    await shot("accounts-mistake");
    await page.getByLabel("Name").fill("anna");
    await press("Add the account");
    assert.equal(await page.locator(".why").count(), 1, "a name that is taken");

    // A device, its password, and that it really opens the account.
    await page.goto(at("/accounts/anna"));
    await press("Make a password for it");
    assert.match(await text(), /1 to 60 letters/);
    await page.getByLabel("Add a device").fill("Anna's phone");
    await press("Make a password for it");
    let secret = await page.locator(".secret").innerText();
    assert.match(secret, /^[0-9a-z]{5}(-[0-9a-z]+)+$/);
    await shot("account-device");
    if (scripts) assert.equal(await page.getByRole("button", { name: /^Copy/ }).count(), 3);
    else assert.equal(await page.getByRole("button", { name: /^Copy/ }).count(), 0, "hidden where they do nothing");
    assert.match(await text(), /Waiting for its first log-in/);
    if (scripts) {
      await context.grantPermissions(["clipboard-read", "clipboard-write"]);
      await page.getByRole("button", { name: /^Copy *the password/ }).click();
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
    }
    assert.match(opens(secret), /LIST .*INBOX/);
    // It is seen on the page by itself.
    if (scripts) await page.getByText("It works: Anna's phone has logged in").waitFor();
    // A reload, going back, an address from the history: the same password, and no second device.
    const phone = here();
    await page.reload();
    assert.equal(await page.locator(".secret").innerText(), secret);
    await page.goto(at("/accounts/anna/devices"));
    assert.equal(here(), at("/accounts/anna"));
    await page.goBack();
    assert.equal(await page.locator(".secret").innerText(), secret);
    await page.goto(at("/accounts/anna"));
    assert.doesNotMatch(await text(), new RegExp(secret));
    assert.equal(await page.getByRole("link", { name: "Anna's phone", exact: true }).count(), 1);
    await page.getByLabel("Add a device").fill(" Anna's phone ");
    await press("Make a password for it");
    assert.match(await page.locator(".why").innerText(), /There is a device of this name/);
    await shot("account-device-twice");
    await page.getByRole("link", { name: "Give it a new password" }).click();
    assert.equal(here(), phone);
    await press("I have typed it");
    assert.equal(await page.locator(".secret").count(), 0);
    await shot("device");
    await press("Make a new password");
    const before = secret;
    secret = await page.locator(".secret").innerText();
    assert.throws(() => opens(before), "the old one is not taken any more");
    assert.match(opens(secret), /LIST .*INBOX/);
    await press("I have typed it");
    for (const name of ["x".repeat(61), "evil\u202egpj"]) {
      await page.goto(at("/accounts/anna"));
      await page.getByLabel("Add a device").fill(name);
      await press("Make a password for it");
      assert.match(await page.locator(".why").innerText(), /1 to 60 letters|not seen/);
      assert.equal(await page.getByLabel("Add a device").inputValue(), name, "what was typed is there again");
    }
    await page.getByLabel("Add a device").fill("W".repeat(60));
    await press("Make a password for it");
    await shot("account-device-long");
    await page.goto(at("/accounts/anna"));
    await shot("account-long");
    // A capital letter is no other account.
    await page.goto(at("/accounts/Anna"));
    assert.match(await page.locator("h1").innerText(), /^anna$/);

    // A source: refused with the reason at its field, then taken.
    await page.goto(at("/incoming"));
    await page.locator("#path").fill("/nowhere/at/all");
    await press("Watch it");
    assert.match(await page.locator(".why").innerText(), /no such folder/i);
    assert.equal(await page.locator("#path").inputValue(), "/nowhere/at/all");
    await shot("sources-mistake");
    await page.getByLabel("moved to this folder").check();
    await page.locator("#path").fill(mail);
    await press("Watch it");
    assert.match(await page.locator(".why").innerText(), /Say which folder/);
    assert.ok(await page.getByLabel("moved to this folder").isChecked());
    await page.getByLabel("kept: nothing").check();
    await page.getByLabel("Folder to move to").fill("/home/anna/Done");
    await press("Watch it");
    assert.match(await page.locator(".why").innerText(), /only for “moved/);
    for (let n = 0; ; n += 1) {
      await page.goto(at("/incoming"));
      if (/Brought in since the start\s*5/.test(await text())) break;
      assert.ok(n < 50, "the mail is not brought in");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await shot("sources");
    await page.goto(at("/accounts/anna"));
    assert.match(await text(), /Work/);
    await shot("account");

    // What a mailbox is for: taken from the one that had it, and seen by whoever lists.
    await page.getByText("Change what a mailbox is for").click();
    await page.getByLabel("Mailbox", { exact: true }).selectOption("Work");
    await page.getByLabel("is for").selectOption("Archive");
    await shot("account-role");
    await press("Change it");
    assert.match(await text(), /Work is the mailbox for Archive now. Archive, which had this role, has none any more./);
    const listed = opens(secret).split("\n");
    assert.ok(listed.some((line) => /\\Archive.*Work/.test(line)), "LIST tells the new role");
    assert.ok(!listed.some((line) => /\\Archive.*"?Archive"?\r?$/.test(line)), "and the old one no more");
    assert.match(host.command("mailbox", "role", "Archive", "archive", "--account", "anna"), /Work, which had this role/);

    // Old mail: from this machine, and uploaded; twice brings nothing twice.
    const importEnds = async () => {
      for (let n = 0; ; n += 1) {
        await page.goto(at("/import"));
        if (/messages found|No mail was found/.test(await text())) return text();
        assert.ok(n < 100, "the import does not end");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    await page.goto(at("/import"));
    await page.getByLabel("File or folder").fill("relative/path");
    await press("Bring it in");
    assert.match(await page.locator(".why").innerText(), /whole path/);
    await page.locator("#old-mailbox").fill("a//b");
    await page.getByLabel("File or folder").fill("/");
    await press("Bring it in");
    assert.equal(await page.locator("#old-mailbox-why").count(), 1, "the reason is at the mailbox");
    assert.equal(await page.locator("#old-mailbox").inputValue(), "a//b");
    await page.locator("#old-mailbox").fill("");
    await page.getByLabel("File or folder").fill("/nowhere/at/all");
    await press("Bring it in");
    assert.match(await page.locator(".why").innerText(), /there is no .* on this machine/i);
    await shot("import-mistake");
    const mbox = path.join(host.folder, "Old.mbox");
    fs.writeFileSync(mbox, [1, 2, 3].map((n) => `From x@example.org Mon Jan  2 03:04:05 2006\nFrom: x@example.org\nSubject: old ${n}\nMessage-ID: <${n}@old>\n\nText ${n}\n\n`).join(""));
    await page.getByLabel("File or folder").fill(mbox);
    await press("Bring it in");
    assert.match(await importEnds(), /3 messages found: 3 brought in/);
    await shot("import");
    await page.locator("#file").setInputFiles(mbox);
    await press("Upload it");
    assert.match(await importEnds(), /3 messages found: 0 brought in .*3 there already/);
    assert.match(await text(), /Old.mbox, for anna/);
    assert.deepEqual(fs.readdirSync(path.join(host.folder, "data")).filter((name) => name.startsWith("upload-")), []);
    await press("Upload it");
    assert.match(await page.locator(".why").innerText(), /No file was chosen/);
    fs.writeFileSync(path.join(host.folder, "empty.zip"), "no archive at all");
    await page.locator("#file").setInputFiles(path.join(host.folder, "empty.zip"));
    await press("Upload it");
    assert.match(await importEnds(), /No mail was found/);
    // One at a time: the second is refused with the reason; the first can be broken off, after a question.
    const many = path.join(host.folder, "Many.mbox");
    fs.writeFileSync(many, Array.from({ length: 60000 }, (_, n) => `From x@example.org Mon Jan  2 03:04:05 2006\nSubject: many ${n}\n\nText ${n}\n\n`).join(""));
    await page.goto(at("/import"));
    const csrf = await page.locator("input[name=csrf]").first().inputValue();
    await page.getByLabel("File or folder").fill(many);
    await press("Bring it in");
    assert.match(await text(), /Many.mbox, for anna/);
    await shot("import-running");
    const second = await context.request.post(at("/import/upload"), { multipart: { csrf, account: "anna", mailbox: "", file: { name: "a.mbox", mimeType: "application/mbox", buffer: Buffer.from("From x") } }, ignoreHTTPSErrors: true });
    assert.equal(second.status(), 422);
    assert.match(await second.text(), /An import runs already/);
    assert.doesNotMatch(await second.text(), /http-equiv="refresh"/);
    await page.getByRole("link", { name: "Break it off" }).click();
    await shot("ask-stop");
    await press("Break it off");
    for (let n = 0; ; n += 1) {
      await page.goto(at("/import"));
      if (/same import again goes on/.test(await text())) break;
      assert.ok(n < 100, `the import is not broken off: ${await text()}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }

    // What was deleted is found, read, taken along and put back.
    await page.goto(at("/deleted"));
    assert.match(await text(), /Nothing was deleted lately/);
    const mailbox = (name, request) => execFileSync("curl", ["-sk", "--user", `anna:${secret}`, `imaps://127.0.0.1:${imaps}/${name}`, "-X", request], { encoding: "utf8" });
    mailbox("INBOX", "STORE 1:3 +FLAGS.SILENT (\\Deleted)");
    mailbox("INBOX", "EXPUNGE");
    await page.goto(at("/accounts/anna"));
    await page.getByRole("link", { name: "Deleted mail of anna" }).click();
    assert.equal(await page.locator("input[type=checkbox]").count(), 3);
    await shot("deleted");
    await page.getByLabel("Words").fill("a@example.org no such word");
    await press("Look for it");
    assert.match(await text(), /Nothing deleted fits/);
    await page.getByLabel("Words").fill("message a@example.org");
    await press("Look for it");
    const [title] = await page.locator("label.plain").allInnerTexts();
    await page.getByRole("link", { name: new RegExp(`^Read it *: ${title}`) }).click();
    assert.match(await text(), /a@example.org[^]*Hello/);
    await shot("deleted-message");
    const eml = await context.request.get(page.url() + "/message.eml", { ignoreHTTPSErrors: true });
    assert.match(eml.headers()["content-disposition"], /attachment; filename="[\d.-]+\.eml"/);
    assert.match(await eml.text(), /^From: a@example.org\r\nSubject: Message/);
    await press("Put it back");
    assert.match(await text(), /1 message is back in INBOX/);
    await press("Put back what is ticked");
    assert.match(await text(), /Tick what is to be put back/);
    await page.locator("label.plain").first().click();
    await page.locator("details summary").click();
    await page.getByLabel("Messages into the mailbox").fill("Found");
    await press("Put back what is ticked");
    assert.match(await text(), /1 message is back in Found/);
    await page.getByLabel("Words").fill("message");
    await press("Look for it");
    await press("Put back all that fits");
    assert.match(await text(), /1 message is back in INBOX/);
    // For good: only after a question that can be left.
    mailbox("INBOX", "STORE 1 +FLAGS.SILENT (\\Deleted)");
    mailbox("INBOX", "EXPUNGE");
    await page.goto(at("/deleted"));
    await press("Delete it for good …");
    assert.match(await text(), /Tick what is to be deleted for good/);
    await page.locator("label.plain").first().click();
    await press("Delete it for good …");
    assert.match(await text(), /Delete for good\?[^]*1 message \(/);
    await shot("deleted-discard");
    await page.getByRole("link", { name: "Keep it" }).click();
    assert.equal(await page.locator("input[type=checkbox]").count(), 1);
    await page.getByRole("link", { name: /^Read / }).click();
    await press("Delete it for good …");
    await press("Delete it for good");
    assert.match(await text(), /Deleted for good: 1 message \(/);
    assert.match(await text(), /Nothing was deleted lately/);
    await page.getByLabel("Days").fill("1");
    await press("Keep it so long");
    assert.match(await text(), /kept for 2 to 3650 days/i);
    await page.getByLabel("Days").fill("60");
    await press("Keep it so long");
    assert.match(await text(), /kept for 60 days from now on/);

    await page.goto(at("/"));
    assert.match(await text(), /Anna's phone. of anna tries to log in with a password that was revoked/, "the old password was tried");
    assert.equal(await page.getByRole("img", { name: /^mail in (one|2) half-hours? of the last 24 hours$/ }).count(), 1);
    await shot("overview");
    for (const [where, wanted] of [["/system", /Where it listens/], ["/certificate", /Fingerprint/], ["/storage", /By account/], ["/log", /imported/], ["/accounts", /anna/]]) {
      await page.goto(at(where));
      assert.match(await text(), wanted);
      await shot(where.slice(1));
    }
    await page.goto(at("/storage"));
    await press("Give space back");
    assert.match(await text(), /of deleted mail dropped/);
    assert.match((await context.request.get(at("/postern-ca.crt"), { ignoreHTTPSErrors: true })).headers()["content-type"], /x509/);
    await page.goto(at("/no/such/page"));
    assert.match(await text(), /no such page/);
    await shot("not-found");

    // Home is new by itself where scripts run.
    if (scripts) {
      await page.goto(at("/"));
      host.command("device", "add", "From the shell", "--account", "anna");
      await page.getByText("From the shell was added for anna").first().waitFor();
      host.command("device", "revoke", "From the shell", "--account", "anna");
    }

    // Taken back: the device, the source, the account.
    await page.goto(at("/accounts/anna"));
    await page.getByRole("link", { name: "Revoke Anna's phone" }).click();
    assert.match(opens(secret), /LIST .*INBOX/, "one tap does nothing");
    await shot("ask-revoke");
    await page.getByRole("link", { name: "No, go back" }).click();
    await page.getByRole("link", { name: "Revoke Anna's phone" }).click();
    await press("Revoke it");
    assert.match(await text(), /cannot log in any more/);
    assert.throws(() => opens(secret));
    await page.goto(at("/"));
    assert.match(await text(), /Anna's phone. of anna tries to log in with a password that was revoked/);
    await shot("overview-revoked");
    await page.goto(at("/incoming"));
    await page.getByRole("link", { name: /Stop watching/ }).click();
    await shot("ask-remove");
    await press("Stop watching");
    assert.match(await text(), /not watched any more/);
    await page.goto(at("/accounts/anna"));
    await page.getByLabel("New password").fill("another long one");
    await press("Set it");
    assert.match(await text(), /password was changed/);
    await page.getByLabel("Type its name").fill("ann");
    await press("Remove it");
    assert.equal(await page.locator("#typed_name").inputValue(), "ann");
    assert.equal(await page.locator(".why").count(), 1);
    await page.getByLabel("Type its name").fill("anna");
    await press("Remove it");
    assert.match(await text(), /The account anna was removed/);
    await page.goto(at("/deleted"));
    await page.getByText("Account anna").click();
    await shot("deleted-account");
    await press("Put back what is ticked");
    assert.match(await text(), /The account anna is back, with \d+ mailboxes/);
    await page.goto(at("/accounts/anna"));
    await page.getByLabel("Type its name").fill("anna");
    await press("Remove it");

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
    assert.equal(here(), at("/"));
    // The log-in goes on to where one wanted to go, on this site and on no other.
    await press("Log out");
    await page.goto(at("/deleted?words=a%20b"));
    assert.match(await text(), /where you wanted to go/);
    await page.getByLabel("The administrator's password").fill(PASSWORD);
    await press("Log in");
    assert.equal(here(), at("/deleted?words=a%20b"));
    await press("Log out");
    await page.goto(at("/login?to=//evil.example/"));
    await page.getByLabel("The administrator's password").fill(PASSWORD);
    await press("Log in");
    assert.equal(here(), at("/"));
    // Every address that a form is sent to shows a page; so does an address with a slash too many.
    for (const [where, page_] of [["/accounts/ben/password", "/accounts/ben"], ["/accounts/ben/remove", "/accounts/ben"], ["/accounts/ben/role", "/accounts/ben"],
      ["/accounts/ben/devices", "/accounts/ben"], ["/deleted/restore", "/deleted"], ["/deleted/keep", "/deleted"], ["/deleted/discard", "/deleted"], ["/import/upload", "/import"],
      ["/import/stop", "/import"], ["/setup/import", "/setup/account"], ["/setup/upload", "/setup/account"], ["/setup/skip/mail", "/setup/account"], ["/logout", "/"],
      ["/storage/reclaim", "/storage"], ["/backups/run", "/backups"], ["/accounts/", "/accounts"], ["/deleted/?words=x", "/deleted?words=x"]]) {
      const answer = await context.request.get(at(where), { ignoreHTTPSErrors: true });
      assert.equal(answer.url().replace(/#.*/, ""), at(page_), where);
    }
    const refused = await context.request.post(at("/accounts"), { form: { csrf: token, name: "eve", password: "" }, ignoreHTTPSErrors: true });
    assert.equal(refused.status(), 403);
    const elsewhere = await context.request.post(at("/accounts"), { form: { csrf: "", name: "eve", password: "" }, headers: { Origin: "https://evil.example" }, ignoreHTTPSErrors: true });
    assert.equal(elsewhere.status(), 403);
    const large = await context.request.post(at("/accounts"), { form: { csrf: token, name: "x".repeat(70000), password: "" }, ignoreHTTPSErrors: true });
    assert.equal(large.status(), 413);
    const odd = await context.request.post(at("/login"), { form: { other: "x" }, ignoreHTTPSErrors: true });
    assert.equal(odd.status(), 422);
    assert.match(await odd.text(), /<html[^]*load the page again/);

    // A lost password: a new link.
    const again = /https:\S+/.exec(host.command("setup-link"))[0];
    await page.goto(again);
    await page.getByLabel("Password").fill("quite another one");
    await page.getByLabel("The same again").fill("quite another one");
    await press("Set the password");
    // The only account is gone: the set-up goes on from there, and mail and device can wait.
    assert.equal(here(), at("/setup/account"));
    await page.getByLabel("Name").fill("ben");
    await press("Add the account");
    await press("Skip this step");
    assert.equal(here(), at("/setup/device"));
    await press("Skip this step");
    assert.match(await text(), /Step 5 of 5/);
    assert.match(await text(), /\(later\)/);
    await shot("guide-skipped");
    await page.goto(at("/"));
    assert.match(await text(), /Nobody can read mail yet/);
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
looksWith(tools);
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
let good = true;
const only = process.env.POSTERN_WEB; // as 390-js: one walk alone
for (const width of [390, 1280]) for (const scripts of [true, false]) {
  if (only && only !== named(width, scripts)) continue;
  good = (await walk(browser, width, scripts)) && good;
  good = (await keeping(browser, width, scripts, binary, shots)) && good;
}
await browser.close();
if (!only) good = (await figures(binary)) && good;
process.exit(good ? 0 : 1);
