// Drives Chromium: a JSON request a line on stdin, a JSON answer a line on stdout. JavaScript is off in the page.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "chromium", args: ["--no-sandbox"] });
const pages = {};

async function pageOf({ who, language = "en", scheme = "light", width = 1000 }) {
  if (!(who in pages)) {
    const context = await browser.newContext({
      colorScheme: scheme, locale: language, viewport: { width, height: 800 }, javaScriptEnabled: false,
    });
    pages[who] = await context.newPage();
  }
  return pages[who];
}

// A page that looks again by itself may do so in the same moment: that ends one of the two navigations.
const open = async (page, { address }) => {
  try {
    return await page.goto(address);
  } catch (error) {
    if (!String(error).includes("net::ERR_ABORTED")) throw error;
    return page.goto(address);
  }
};

const actions = {
  open,
  press: (page, { button }) =>
    Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: button, exact: true }).first().click()]),
  // The last key is one that presses a button.
  keys: async (page, { keys }) => {
    for (const key of keys.slice(0, -1)) await page.keyboard.press(key);
    await Promise.all([page.waitForEvent("load"), page.keyboard.press(keys.at(-1))]);
  },
  await: (page, { text }) => page.getByText(text).first().waitFor({ timeout: 20000 }),
  scroll: (page, { by }) => page.mouse.wheel(0, by),
  tamper: (page, { selector }) => page.locator(selector).first().evaluate((found) => found.remove()),
  resend: (page) => page.goBack(),
  shot: (page, { file }) => page.screenshot({ path: file, fullPage: true }),
  look: () => undefined,
  // In a page of its own, since the rules are a script: the same HTML, styled the same.
  axe: async (page) => {
    const context = await browser.newContext({ bypassCSP: true, viewport: page.viewportSize(), colorScheme: page.scheme });
    const copy = await context.newPage();
    const styles = await page.context().request.get(new URL("/style.css", page.url()).href);
    await copy.setContent(await page.content());
    await copy.addStyleTag({ content: await styles.text() });
    await copy.addScriptTag({ content: axe });
    const { violations, passes } = await copy.evaluate(() => globalThis.axe.run());
    await context.close();
    return { violations: violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), passes: passes.length };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    const page = await pageOf(request);
    page.scheme = request.scheme ?? page.scheme;
    const result = await actions[request.do](page, request);
    const shape = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth, window.scrollY]);
    answer = {
      url: page.url(), text: await page.locator("body").innerText(), title: await page.title(),
      scrollWidth: shape[0], width: shape[1], scrollY: shape[2], cookies: await page.context().cookies(),
      ...(request.do === "axe" ? result : {}),
    };
  } catch (error) {
    answer = { failed: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
