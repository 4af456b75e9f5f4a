// A page of a server in a browser, with what every walk does on it.
import fs from "node:fs";
import path from "node:path";
import assert from "node:assert/strict";

export const named = (width, scripts) => `${width}-${scripts ? "js" : "nojs"}`;

/// Where axe-core lies, which looks for what keeps people out.
let axe = "";
export function looksWith(tools) { axe = fs.readFileSync(path.resolve(tools, "node_modules/axe-core/axe.min.js"), "utf8"); }

async function findings(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ["violations"] })).violations);
  return found.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join(" | ")}`);
}

export async function opened(browser, host, width, scripts, shots) {
  const context = await browser.newContext({
    viewport: { width, height: 900 }, javaScriptEnabled: scripts, ignoreHTTPSErrors: true,
    colorScheme: scripts ? "light" : "dark",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(10000);
  const problems = [];
  page.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) problems.push(message.text()); });
  page.on("pageerror", (error) => problems.push(String(error)));
  const shot = async (what) => {
    await page.screenshot({ path: path.join(shots, `${what}-${named(width, scripts)}.png`), fullPage: true });
    if (scripts) {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${what} is ${wide} px wider than the window`);
      assert.equal(await page.locator("h1").count(), 1, `${what} has one h1`);
      problems.push(...(await findings(page)).map((one) => `${what}, axe-core: ${one}`));
      await page.emulateMedia({ colorScheme: "dark" });
      await page.screenshot({ path: path.join(shots, `${what}-${named(width, scripts)}-dark.png`), fullPage: true });
      problems.push(...(await findings(page)).map((one) => `${what} in the dark, axe-core: ${one}`));
      await page.emulateMedia({ colorScheme: "light" });
    }
  };
  return {
    context, page, problems, shot,
    at: (where) => `https://localhost:${host.port}${where}`,
    here: () => page.url().replace(/#.*/, ""),
    text: () => page.innerText("body"),
    press: (label) => page.getByRole("button", { name: label, exact: true }).click(),
  };
}
