// Shows the board in Chromium: a JSON request a line on stdin, a JSON answer a line on stdout.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const bundled = await build({ entryPoints: [new URL("host.mjs", import.meta.url).pathname], bundle: true, format: "iife", write: false });
const [host] = bundled.outputFiles;
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
// What hosts allow a page that asks for nothing (ext-apps 2026-01-26, "Content Security Policy").
const policy = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; media-src 'self' data:; connect-src 'none'; frame-src 'none'; object-src 'none'; base-uri 'self'";
let board = "";
const server = createServer((request, response) => {
  const [type, body] = {
    "/": ["text/html", '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><style>body{margin:0}iframe{border:0;width:100%;height:600px}</style><iframe id="frame" title="board" sandbox="allow-scripts"></iframe><script src="/host.js"></script>'],
    "/host.js": ["text/javascript", host.text],
    "/board": ["text/html", board],
  }[request.url] ?? ["text/plain", ""];
  response.setHeader("content-type", `${type}; charset=utf-8`);
  if (request.url === "/board") response.setHeader("content-security-policy", policy);
  response.end(body);
}).listen(0, "127.0.0.1");
await new Promise((listening) => server.once("listening", listening));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "chromium", args: ["--no-sandbox"] });

let page, frame, errors, requests, log;
async function open({ scheme = "light", width = 1200, locale = "en", cookies = [] }) {
  await page?.context().close();
  const context = await browser.newContext({ colorScheme: scheme, locale, viewport: { width, height: 800 }, timezoneId: "UTC" });
  context.setDefaultTimeout(10000);
  await context.addCookies(cookies);
  page = await context.newPage();
  [errors, requests, log] = [[], [], undefined];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
  page.on("request", (request) => requests.push(request.url()));
}
const byName = ({ role = "button", name }) => frame.getByRole(role, { name, exact: true }).first();

const actions = {
  // Shown by the official host, with the results of its server's tools.
  host: async (request) => {
    await open(request);
    board = request.html;
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    frame = page.frames()[1];
    await page.evaluate((options) => window.start(options), { capabilities: { serverTools: {}, openLinks: {}, message: { text: {} } }, variables: {}, results: {}, theme: request.scheme ?? "light", ...request });
    frame = page.frames()[1];
  },
  // Opened in the Inspector, whose page has messages and requests of its own: told are the board's.
  inspector: async (request) => {
    await open(request);
    const isBoard = (source) => source.url().startsWith("about:srcdoc");
    log = [];
    page.removeAllListeners("console").removeAllListeners("request");
    page.on("console", (message) => {
      if (message.location().url.startsWith("about:")) errors.push(message.text());
      else log.push(...(message.text().match(/(?<=^Parsed message .*method: )[^,}]+/) ?? []));
    });
    page.on("request", (asked) => asked.isNavigationRequest() || (isBoard(asked.frame()) && requests.push(asked.url())));
    await page.goto(request.address);
    await page.getByRole("button", { name: "Open App", exact: true }).click();
    await page.frameLocator("iframe").frameLocator("iframe").getByText(request.text).first().waitFor();
    frame = page.frames().find(isBoard);
  },
  // A button of the page around the board.
  around: async ({ name }) => {
    await page.getByRole("button", { name, exact: true }).click();
    await page.waitForTimeout(500);
    if (frame.isDetached()) frame = page.mainFrame();
  },
  // Said to the board by the page that it is in.
  post: ({ message }) => frame.parentFrame().evaluate((said) => document.querySelector("iframe").contentWindow.postMessage(said, "*"), message),
  // Waits for another window.
  opened: async ({ address }) => {
    const other = page.context().pages()[1] ?? await page.context().waitForEvent("page");
    await other.waitForURL(address);
  },
  // Said by a window in the board, not by the one around it.
  foreign: ({ message }) => frame.evaluate((said) => postMessage(said, "*"), message),
  scroll: ({ top }) => frame.evaluate((to) => scrollTo(0, to), top),
  // Opened by a person.
  open: async (request) => {
    await open(request);
    await page.goto(request.address);
    frame = page.mainFrame();
  },
  result: ({ result }) => page.evaluate((sent) => window.bridge.sendToolResult(sent), result),
  theme: ({ theme, variables = {} }) => page.evaluate((context) => window.bridge.setHostContext(context), { theme, displayMode: "inline", styles: { variables } }),
  teardown: () => page.evaluate(() => window.bridge.teardownResource({})),
  click: (request) => byName(request).click(),
  type: (request) => byName(request).fill(request.text),
  check: (request) => byName({ role: "checkbox", ...request }).check(),
  keys: async ({ keys }) => { for (const key of keys) await page.keyboard.press(key) },
  await: ({ text }) => frame.getByText(text).first().waitFor({ timeout: 10000 }),
  // As high as what is shown: what lies outside of the window is not painted in a frame.
  shot: async ({ file }) => {
    const { width } = page.viewportSize();
    await page.waitForTimeout(100);
    await page.setViewportSize({ width, height: await frame.evaluate(() => document.body.scrollHeight) });
    await page.mouse.move(0, 0);
    await page.waitForTimeout(100);
    await page.screenshot({ path: file, animations: "disabled" });
    await page.setViewportSize({ width, height: 800 });
  },
  axe: async () => {
    await frame.evaluate(readFileSync(axe, "utf8"));
    const { violations, passes } = await frame.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
    return { violations: violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), passes: passes.length };
  },
  // Milliseconds from the request of a page until it is painted with what it shows, in a window that is open.
  paint: async (request) => {
    if (!page) await open(request);
    await page.goto(request.address);
    frame = page.mainFrame();
    const took = await page.evaluate(() => new Promise((done) => new PerformanceObserver((list) => done(list.getEntriesByName("first-contentful-paint")[0]?.startTime)).observe({ type: "paint", buffered: true })));
    return { took };
  },
  look: () => undefined,
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    if (request.do === "end") {
      await page?.context().close();
      page = undefined;
      process.stdout.write("{}\n");
      continue;
    }
    const result = await actions[request.do](request);
    const shape = await frame.evaluate(() => ({
      text: document.body.innerText, title: document.title, scrollWidth: document.documentElement.scrollWidth, width: innerWidth,
      background: getComputedStyle(document.body).backgroundColor, html: document.body.querySelectorAll("img, iframe, a, svg").length,
      focused: document.activeElement.textContent, scrollTop: scrollY,
      focus: [document.activeElement.id, document.activeElement.selectionStart, document.activeElement.selectionEnd],
    }));
    answer = { ...shape, url: page.url(), errors, requests, log: log ?? await page.evaluate(() => window.log ?? []), ...result };
  } catch (error) {
    answer = { failed: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
server.close();
