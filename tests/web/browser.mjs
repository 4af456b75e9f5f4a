// A page of a server in a browser, with what every walk does on it.
import path from "node:path";
import assert from "node:assert/strict";

export const named = (width, scripts) => `${width}-${scripts ? "js" : "nojs"}`;

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
    }
  };
  return {
    context, page, problems, shot,
    at: (where) => `https://localhost:${host.port}${where}`,
    text: () => page.innerText("body"),
    press: (label) => page.getByRole("button", { name: label, exact: true }).click(),
  };
}
