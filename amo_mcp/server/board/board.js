"use strict";
const read = id => JSON.parse(document.getElementById(id).textContent);
const T = read("texts"), given = read("given"), language = document.documentElement.lang;
const forms = new Intl.PluralRules(language), numbers = new Intl.NumberFormat(language);
const ages = new Intl.RelativeTimeFormat(language, {numeric: "auto"});
const moments = new Intl.DateTimeFormat(language, {dateStyle: "medium", timeStyle: "short"});
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => name in values ? values[name] : whole);
const t = (name, values = {}) => fill(T[name], values);
// None is as many in every language of ours; Intl has it as one in Portuguese.
const counted = (name, n) => fill(T[name][forms.select(n || 5)], {count: numbers.format(n)});
const moment = text => moments.format(new Date(text));

// Names come from the CRM and may be hostile: they are only ever text, without what nobody sees, isolated in direction.
const clean = text => String(text ?? "").replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]+/gu, " ").trim();
const bdi = text => el("bdi", {}, clean(text));
const named = one => bdi(clean(one.name) || t("no_name"));
function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter(child => child != null && child !== false && child !== ""));
  return made;
}
function painted(node, color) {
  const found = /^#?([0-9a-f]{6})$/i.exec(color ?? "");
  if (found) node.style.setProperty("--c", "#" + found[1]);
  return node;
}
const button = (text, click, attributes = {}) => el("button", {type: "button", onclick: click, ...attributes}, text);
const swatch = color => painted(el("i", {class: "swatch", "aria-hidden": "true"}), color);
function say(text, bad = false) {
  const line = document.getElementById("said");
  line.textContent = clean(text);
  line.classList.toggle("error", bad);
}

// What is known: the newest answer of each tool. What is shown is a view of one of them.
let known = {};
const state = {view: "", search: "", sort: "customers", finding: "", picked: new Set(), chosen: new Set()};
const views = [["list_segments", "segments", "segments"], ["list_statuses", "statuses", "statuses"], ["audit_segments", "findings", "findings"],
  ["plan_changes", "plan", "steps"], ["apply_plan", "applied", "done"], ["list_changes", "changes", "changes"]];
function keep(result) {
  const text = result?.content?.[0]?.text;
  let answer = result?.structuredContent;
  if (!answer) try { answer = JSON.parse(text) } catch { throw new Error(text || t("nothing")) }
  if (answer?.error && !answer.error.preview) throw new Error(answer.error.message || t("nothing"));
  const name = answer?.error ? "apply_plan" : views.find(([, , key]) => Array.isArray(answer?.[key]))?.[0];
  if (!name) throw new Error(t("nothing"));
  known[name] = {answer, picture: result._meta?.["amo-mcp/picture"] ?? {}};
  return name;
}
function take(result) {
  const before = {...known}, view = state.view;
  try {
    show(keep(result));
    say("");
  } catch (error) {
    const refused = error.constructor === Error;
    // What cannot be drawn was no answer of a tool.
    if (!refused) {
      known = before;
      if (view) show(view);
    }
    document.getElementById("waiting")?.remove();
    say(refused ? error.message : t("nothing"), true);
  }
}

// The bridge of MCP Apps (2026-01-26): JSON-RPC 2.0 over postMessage.
const host = (() => {
  let last = 0;
  const asked = new Map(), post = message => parent.postMessage({jsonrpc: "2.0", ...message}, "*");
  const made = {
    heard: {__proto__: null}, offers: {},
    tell: (method, params) => post({method, params}),
    ask: (method, params) => new Promise((resolve, reject) => { asked.set(++last, {resolve, reject}); post({id: last, method, params}) }),
  };
  addEventListener("message", event => {
    const message = event.data;
    if (event.source !== parent || message?.jsonrpc !== "2.0") return;
    if (message.method === undefined) {
      const {resolve, reject} = asked.get(message.id) ?? {};
      asked.delete(message.id);
      if (message.error) reject?.(new Error(message.error.message)); else resolve?.(message.result);
      return;
    }
    const heard = made.heard[message.method];
    heard?.(message.params ?? {});
    if ("id" in message) post({id: message.id, ...(heard || message.method === "ping" ? {result: {}} : {error: {code: -32601, message: "Method not found"}})});
  });
  return made;
})();
const embedded = !given.live && !given.answers;
const can = capability => embedded && capability in host.offers;
async function attempt(work, refused) {
  try { await work() } catch (error) { say(refused ? t(refused) : error.message, true) }
}
const call = async tool => take(await host.ask("tools/call", {name: tool, arguments: {}}));
const refresh = () => attempt(async () => {
  if (embedded) return await call(["list_statuses", "audit_segments", "list_changes"].includes(state.view) ? state.view : "list_segments");
  await load();
  say(t("refreshed"));
});
const check = () => attempt(async () => { await call("list_segments"); await call("audit_segments") });
const request = text => attempt(async () => {
  const result = await host.ask("ui/message", {role: "user", content: [{type: "text", text}]});
  if (result?.isError) throw new Error();
  say(t("sent"));
}, "not_sent");
const follow = url => attempt(async () => { if ((await host.ask("ui/open-link", {url}))?.isError) throw new Error() }, "not_opened");

let loaded = "";
async function load() {
  const response = await fetch(given.live, {headers: {accept: "application/json"}}).catch(() => null);
  if (!response?.ok) throw new Error(t("gone"));
  const text = await response.text();
  if (text !== loaded) takeAll(JSON.parse(loaded = text));
}
function takeAll(answers) {
  known = {};
  Object.values(answers).forEach(keep);
  show(state.view in known ? state.view : views.find(([view]) => view in known)[0]);
}

// Drawing.
const findings = () => known.audit_segments?.answer.findings ?? [];
const problem = name => T.problems[name] ?? clean(name);
const outcome = name => el("span", {class: `tag ${name in T.outcomes ? name : ""}`}, T.outcomes[name] ?? clean(name));
const tags = found => found?.size > 0 && el("span", {class: "tags"}, ...[...found].map(one => el("span", {class: "tag"}, problem(one))));
function marks(kind) {
  const found = new Map();
  for (const finding of findings()) if (finding.kind === kind && finding.problem !== "sort_gaps")
    for (const id of finding.ids) found.set(id, (found.get(id) ?? new Set()).add(finding.problem));
  return found;
}
// Drawn anew, a view keeps the focus and the caret; another view gives its name the focus that was in the controls.
function show(view) {
  const focused = document.activeElement, {id, tagName, textContent, selectionStart, selectionEnd} = focused;
  const seen = state.view === view, kept = seen && focused.closest("#board"), moved = focused.closest("nav, .tools button, h1");
  state.view = view;
  const drawn = {list_segments: segments, list_statuses: statuses, audit_segments: audited, plan_changes: plan, apply_plan: applied, list_changes: changes}[view];
  document.getElementById("board").replaceChildren(...drawn().flat().filter(Boolean));
  if (view === "list_segments") cards(seen ? Infinity : FIRST);
  const same = kept && (id ? document.getElementById(id) : [...document.querySelectorAll(tagName)].find(one => one.textContent === textContent));
  if (same) {
    same.focus({preventScroll: true});
    if (id === "search") same.setSelectionRange(selectionStart, selectionEnd);
  } else if (moved) (document.querySelector("nav [aria-current]") ?? document.querySelector("h1")).focus();
}
function top_(title, detail) {
  const tabs = views.filter(([view]) => view in known);
  return [el("header", {}, given.account && el("p", {class: "soft about"}, bdi(given.account), given.at && ` · ${moment(given.at)}`), el("h1", {tabindex: -1}, title), detail && el("span", {class: "soft"}, detail)),
    tabs.length > 1 && el("nav", {"aria-label": t("views")}, ...tabs.map(([view, name]) => button(t(name), () => show(view), {"aria-current": view === state.view && "page"})))];
}
const ofLimit = ({total, limit}) => t("of_limit", {total: numbers.format(total), limit: numbers.format(limit)});
const unreadable = ({unreadable: some}) => some && el("p", {class: "lost"}, counted("unreadable", some.count));
function tools(...fields) {
  const buttons = [(given.live || can("serverTools")) && button(t("refresh"), refresh), can("serverTools") && state.view === "list_segments" && button(t("check"), check)].filter(Boolean);
  return fields.length + buttons.length > 0 && el("div", {class: "tools"}, ...fields, ...buttons);
}
const choice = (id, value, options, change) => el("label", {}, t(id), el("select", {id, onchange: event => { change(event.target.value); cards() }},
  ...options.map(([key, text]) => el("option", {value: key, selected: key === value}, text))));
const plain = name => clean(name).normalize("NFC").toLowerCase().replaceAll("ё", "е").replace(/\s+/g, " ");
const orders = {
  customers: (a, b) => (b.customers_count ?? 0) - (a.customers_count ?? 0),
  name: (a, b) => clean(a.name).localeCompare(clean(b.name), language),
  age: (a, b) => String(b.updated_at ?? "").localeCompare(String(a.updated_at ?? "")),
};
function age(text) {
  const days = (Date.parse(text) - Date.parse(given.at ?? new Date().toISOString())) / 86400000;
  const [value, unit] = Math.abs(days) < 1 ? [days * 24, "hour"] : Math.abs(days) < 60 ? [days, "day"] : Math.abs(days) < 730 ? [days / 30.4, "month"] : [days / 365.25, "year"];
  return Number.isFinite(value) ? ages.format(Math.round(value), unit) : "";
}
function segments() {
  const {answer} = known.list_segments, problems = [...new Set([...marks("segment").values()].flatMap(found => [...found]))];
  return [top_(t("segments"), ofLimit(answer)), tools(
    el("label", {class: "wide"}, t("search"), el("input", {type: "search", id: "search", value: state.search, oninput: event => { state.search = event.target.value; cards() }})),
    choice("sort", state.sort, [["customers", t("by_customers")], ["name", t("by_name")], ["age", t("by_age")]], value => { state.sort = value }),
    problems.length > 0 && choice("filter", state.finding, [["", t("all")], ...problems.map(one => [one, problem(one)])], value => { state.finding = value })),
    unreadable(answer), answer.next_cursor && el("p", {class: "lost"}, t("cut")),
    el("p", {class: "soft", id: "count", role: "status"}), el("ul", {class: "cards", id: "cards"}), el("div", {class: "actions", id: "actions"})];
}
// Cards that fill a window: painted before the others are made.
const FIRST = 40;
let others;
function cards(first = Infinity) {
  const all = known.list_segments.answer.segments, found = marks("segment"), wanted = plain(state.search);
  const shown = all.filter(one => plain(one.name).includes(wanted) && (!state.finding || found.get(one.id)?.has(state.finding)))
    .sort((a, b) => orders[state.sort](a, b) || a.id - b.id);
  const most = Math.max(1, ...all.map(one => one.customers_count ?? 0)), list = document.getElementById("cards");
  const made = (from, to) => shown.slice(from, to).map(one => card(one, most, found.get(one.id)));
  clearTimeout(others);
  list.replaceChildren(...made(0, first));
  if (shown.length > first) others = setTimeout(() => list.append(...made(first)), 50);
  document.getElementById("count").textContent = counted("shown", shown.length);
  picked();
}
function card(one, most, found) {
  const pick = can("message") && el("input", {type: "checkbox", id: `pick${one.id}`, checked: state.picked.has(one.id), onchange: event => { state.picked[event.target.checked ? "add" : "delete"](one.id); picked() }});
  const bar = el("i", {});
  bar.style.width = `${100 * (one.customers_count ?? 0) / most}%`;
  return painted(el("li", {class: "card"}, el(pick ? "label" : "span", {class: "name"}, pick, named(one)),
    el("span", {class: "row"}, el("span", {}, one.customers_count != null && counted("customers", one.customers_count)),
      one.updated_at && el("time", {class: "soft", datetime: one.updated_at, title: moment(one.updated_at)}, age(one.updated_at))),
    el("span", {class: "meter", "aria-hidden": "true"}, bar), tags(found)), one.color);
}
function picked() {
  const ids = known.list_segments.answer.segments.map(one => one.id).filter(id => state.picked.has(id));
  document.getElementById("actions").replaceChildren(...ids.length ? [el("span", {}, counted("picked", ids.length)),
    button(t("plan_picked"), () => request(t("say_plan", {ids: ids.join(", ")})), {class: "main"})] : []);
}
function statuses() {
  const {answer} = known.list_statuses, found = marks("status");
  return [top_(t("statuses"), ofLimit(answer)), tools(), unreadable(answer), el("ol", {class: "cards"}, ...[...answer.statuses].sort((a, b) => a.sort - b.sort || a.id - b.id)
    .map((one, place) => painted(el("li", {class: "card"}, el("span", {class: "name"}, `${place + 1}.`, named(one)), one.is_default && el("span", {class: "soft"}, t("system")), tags(found.get(one.id))), one.color)))];
}
function audited() {
  const entities = new Map([...(known.list_segments?.answer.segments ?? []), ...(known.list_statuses?.answer.statuses ?? [])].map(one => [one.id, one]));
  const {answer, picture} = known.audit_segments, {chosen} = state, told = finding => `${finding.problem} (${finding.ids.join(", ")})`;
  const all = answer.findings, wanted = () => all.map(told).filter(one => chosen.has(one)), helped = can("message") && all.some(one => one.suggested_changes.length > 0);
  const ask = helped && button(t("plan_findings"), () => request(t("say_findings", {findings: wanted().join("; ")})), {class: "main", disabled: !wanted().length});
  return [top_(t("findings"), counted("found", all.length)), tools(), unreadable(answer), all.length === 0 && el("p", {}, t("nothing_found")), el("ul", {class: "list"}, ...all.map((finding, at) => {
    const box = helped && finding.suggested_changes.length > 0 && el("input", {type: "checkbox", id: `find${at}`, checked: chosen.has(told(finding)), onchange: event => { chosen[event.target.checked ? "add" : "delete"](told(finding)); ask.disabled = !wanted().length }});
    return el("li", {}, el("p", {class: "said"}, el(box ? "label" : "span", {class: "name"}, box, el("span", {class: "first"}, problem(finding.problem))), el("span", {class: "soft"}, T.confidence[finding.confidence])),
      picture.reasons?.[at] ? el("p", {}, ...colored(picture.reasons[at])) : el("ul", {class: "chips"}, ...finding.ids.map(id => chip(entities.get(id), id))));
  })), ask && el("div", {class: "actions"}, ask)];
}
const colored = text => clean(text).split(/(#[0-9a-f]{6})/i).map((part, at) => at % 2 ? el("span", {class: "code"}, swatch(part), part) : part);
function chip(one, id) {
  return el("li", {class: "chip"}, one ? [el("span", {}, swatch(one.color), named(one)), one.customers_count != null && el("span", {class: "soft"}, numbers.format(one.customers_count))] : `id ${id}`);
}
// A plan as a picture: the marks and classes of the page that asks (amo_mcp/pages).
const signs = {create: "+", update: "→", delete: "−", move: "→"};
const value = (item, tag) => el(tag, {}, item.color && swatch(item.color), bdi(item.text));
function drawn(steps) {
  return el("ol", {class: "picture"}, ...steps.map(step => el("li", {class: `step ${step.action in signs ? step.action : ""}`},
    el("p", {class: "headline"}, el("span", {class: "sign", "aria-hidden": "true"}, signs[step.action]), `${step.number}. `, bdi(step.headline), step.outcome && outcome(step.outcome)),
    step.settings.length > 0 && el("dl", {class: "settings"}, ...step.settings.map(one => el("div", {}, el("dt", {}, bdi(one.label)),
      one.before && el("dd", {class: "was"}, el("span", {class: "spoken"}, t("was")), " ", value(one.before, "del")),
      el("dd", {}, one.before && [el("span", {class: "spoken"}, t("will_be")), " "], value(one.after, "ins")), one.note && el("dd", {class: "note"}, clean(one.note))))))));
}
const lines = (all, language) => all.length > 0 && el("ul", {class: "list lines", lang: language}, ...all.map(line => el("li", {}, bdi(line))));
function plan() {
  const {answer, picture} = known.plan_changes, steps = picture.steps ?? [], numbered = new Set(steps.map(step => step.number));
  return [top_(t("plan"), counted("planned", answer.steps.length)), el("p", {class: "soft"}, counted("affected", answer.customers_affected), " ", t("until", {moment: moment(answer.expires_at)})),
    picture.losses?.length > 0 && el("div", {class: "lost"}, ...picture.losses.map(line => el("p", {}, clean(line)))), drawn(steps), lines(answer.steps.filter((_, at) => !numbered.has(at + 1))),
    can("message") && el("div", {class: "actions"}, button(t("apply"), () => request(t("say_apply", {plan_id: answer.plan_id})), {class: "main"}), el("span", {class: "soft"}, t("asks_first")))];
}
function applied() {
  const {answer, picture} = known.apply_plan, pending = answer.error;
  if (pending) return [top_(t("asked")), el("div", {class: "lost"}, ...String(pending.preview).split("\n").map(line => el("p", {}, clean(line)))),
    el("p", {class: "soft"}, t("until", {moment: moment(pending.expires_at)})), /^https?:/.test(pending.page_url) && can("openLinks") && button(t("open_page"), () => follow(pending.page_url), {class: "main"})];
  return [top_(t(answer.status === "done" ? "applied" : "stopped"), counted("made", answer.done.length)), answer.message && el("p", {class: "lost", lang: "en"}, clean(answer.message)),
    picture.steps ? drawn(picture.steps) : lines([...answer.done, ...(answer.not_done ?? [])], "en"), undo(answer.change_id, "actions")];
}
const undo = (change, place) => can("message") && el("div", {class: place}, button(t("undo"), () => request(t("say_undo", {change_id: change})), {id: `undo${change}`}), place && el("span", {class: "soft"}, t("asks_first")));
function changes() {
  const {answer, picture} = known.list_changes;
  return [top_(t("changes")), tools(), answer.changes.length === 0 && el("p", {}, t("nothing_changed")), el("ul", {class: "list"}, ...answer.changes.map(change => el("li", {},
    el("p", {class: "said"}, el("strong", {}, bdi(picture.headlines?.[change.change_id] ?? change.summary)), outcome(change.status)),
    el("div", {class: "said"}, el("time", {class: "soft", datetime: change.at}, moment(change.at)), change.status === "done" && undo(change.change_id))))),
    answer.next_cursor && el("p", {class: "soft"}, t("older"))];
}

// Where the answers come from: the page itself, the server of `amo-mcp board`, or a host beside the conversation.
function themed({theme, styles}) {
  const root = document.documentElement.style;
  if (theme) root.colorScheme = theme;
  for (const [name, setting] of Object.entries(styles?.variables ?? {})) if (name.startsWith("--")) root.setProperty(name, setting);
}
if (given.answers) takeAll(given.answers);
else if (given.live) {
  attempt(load);
  setInterval(() => { if (!document.hidden) attempt(load) }, 30000);
} else {
  const observer = new ResizeObserver(() => host.tell("ui/notifications/size-changed", {width: document.documentElement.scrollWidth, height: Math.ceil(document.body.getBoundingClientRect().height)}));
  Object.assign(host.heard, {
    "ui/notifications/tool-result": take,
    "ui/notifications/tool-cancelled": take,
    "ui/notifications/host-context-changed": themed,
    "ui/resource-teardown": () => observer.disconnect(),
  });
  attempt(async () => {
    const {hostCapabilities, hostContext} = await host.ask("ui/initialize", {protocolVersion: "2026-01-26", appInfo: {name: "amo-mcp board", version: given.version}, appCapabilities: {availableDisplayModes: ["inline", "fullscreen"]}});
    host.offers = Object(hostCapabilities);
    themed(hostContext ?? {});
    host.tell("ui/notifications/initialized", {});
    observer.observe(document.body);
  });
}
