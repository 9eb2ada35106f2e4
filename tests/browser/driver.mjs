// Drives Chromium: a JSON request a line on stdin, a JSON answer a line on stdout. JavaScript is off in a window, unless
// its first request has `scripts`.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "chromium", args: ["--no-sandbox"] });
let pages = {}, copy;

// A window looks as it was last told to.
async function pageOf({ who, language = "en", scheme, width, scripts = false }) {
  if (!(who in pages)) {
    const context = await browser.newContext({
      colorScheme: "light", locale: language, viewport: { width: 1000, height: 800 }, javaScriptEnabled: scripts,
    });
    pages[who] = await context.newPage();
  }
  const page = pages[who];
  if (scheme) await page.emulateMedia({ colorScheme: scheme });
  if (width) await page.setViewportSize({ width, height: 800 });
  page.scheme = scheme ?? page.scheme;
  return page;
}

const actions = {
  open: (page, { address }) => page.goto(address),
  press: (page, { button }) =>
    Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: button, exact: true }).first().click()]),
  // As a hurried person does: the second press comes before the first is answered.
  twice: (page, { button }) =>
    Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: button, exact: true }).dblclick()]),
  // The last key is one that presses a button.
  keys: async (page, { keys }) => {
    for (const key of keys.slice(0, -1)) await page.keyboard.press(key);
    await Promise.all([page.waitForEvent("load"), page.keyboard.press(keys.at(-1))]);
  },
  // The end of what a link leads to may be several redirects away.
  follow: (page, { link }) =>
    Promise.all([page.waitForEvent("load"), page.getByRole("link", { name: link }).first().click()]),
  // What a script makes of it comes later.
  touch: (page, { text }) => page.getByText(text, { exact: true }).first().click(),
  fill: (page, { label, text }) => page.getByRole("textbox", { name: label }).first().fill(text),
  choose: (page, { label, option }) => page.getByLabel(label, { exact: true }).selectOption(option),
  unfold: async (page) => {
    for (const one of await page.locator("summary").all()) await one.click();
  },
  await: (page, { text }) => page.getByText(text).first().waitFor({ timeout: 20000 }),
  scroll: (page, { by }) => page.mouse.wheel(0, by),
  tamper: (page, { selector }) => page.locator(selector).first().evaluate((found) => found.remove()),
  resend: (page) => page.goBack(),
  reload: (page) => page.reload(),
  shot: (page, { file }) => page.screenshot({ path: file, fullPage: true }),
  // What is seen without scrolling.
  window: (page, { file }) => page.screenshot({ path: file }),
  look: () => undefined,
  // Whether a button is seen without scrolling.
  place: async (page, { button }) => {
    const box = await page.getByRole("button", { name: button, exact: true }).boundingBox();
    const [, , scrollY] = await shape(page);
    return { inside: scrollY === 0 && box.y > 0 && box.y + box.height <= page.viewportSize().height };
  },
  // In a page of its own, since the rules are a script: the same HTML, styled the same. As wide and as dark as the
  // window is, or as each of `looks`.
  axe: async (page, { looks = [{ width: page.viewportSize().width, scheme: page.scheme }] }) => {
    copy ??= await (await browser.newContext({ bypassCSP: true })).newPage();
    const styles = await page.context().request.get(new URL("/style.css", page.url()).href);
    await copy.setContent(await page.content());
    await copy.addStyleTag({ content: await styles.text() });
    await copy.addScriptTag({ content: axe });
    const found = { violations: [], passes: Infinity, tooWide: [] };
    for (const { width, scheme } of looks) {
      await copy.setViewportSize({ width, height: 800 });
      await copy.emulateMedia({ colorScheme: scheme });
      const { violations, passes } = await copy.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
      found.violations.push(...violations.map(({ id, nodes }) => [id, width, scheme, nodes.map((node) => node.html)]));
      found.passes = Math.min(found.passes, passes.length);
      if ((await shape(copy))[0] > width) found.tooWide.push(width);
    }
    return found;
  },
};

// A page may reload itself at any moment; what only looks is done again then.
const NAVIGATED = /Execution context was destroyed|interrupted by another navigation|ERR_ABORTED|frame was detached/;

async function again(work) {
  for (let left = 5; ; left -= 1) {
    try {
      return await work();
    } catch (error) {
      if (!left || !NAVIGATED.test(String(error))) throw error;
    }
  }
}

const shape = (page) => page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth, window.scrollY]);

async function shown(page) {
  const [scrollWidth, width, scrollY] = await shape(page);
  const text = await page.locator("body").innerText();
  return { url: page.url(), text, title: await page.title(), scrollWidth, width, scrollY };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    if (request.do === "end") {
      await Promise.all(Object.values(pages).map((page) => page.context().close()));
      pages = {};
      process.stdout.write("{}\n");
      continue;
    }
    const page = await pageOf(request);
    const act = () => actions[request.do](page, request);
    const result = await (["press", "twice", "keys", "resend", "follow"].includes(request.do) ? act() : again(act));
    answer = {
      ...(await again(() => shown(page))), cookies: await page.context().cookies(),
      ...(["axe", "place"].includes(request.do) ? result : {}),
    };
  } catch (error) {
    answer = { failed: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
