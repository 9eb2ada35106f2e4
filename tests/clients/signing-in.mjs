// An official TypeScript client signs in: node signing-in.mjs client|sdk legacy|modern URL FILE STEP...
// FILE keeps its registration and tokens from one run to the next. Whoever it sends to a page is PERSON, a command.
// A step is `read`, `write`, or `expire`, after which the server knows the access token no more. Prints one JSON object:
// what came of each step, and the scopes that a person was asked for.

import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";

const [library, era, url, file, ...steps] = process.argv.slice(2);
const kept = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
const keep = (name, value) => writeFileSync(file, JSON.stringify(Object.assign(kept, { [name]: value })));
const me = { name: "signing-in", version: "1" };
const asked = [];

let answer;
const listener = createServer((request, response) => {
  answer = new URL(request.url, "http://127.0.0.1").searchParams;
  response.end("Thank you");
}).listen(0, "127.0.0.1");
await once(listener, "listening");
const redirectUrl = `http://127.0.0.1:${listener.address().port}/callback`;

/** Somebody in front of a browser, until they have nothing more to do there. */
async function person(address) {
  asked.push(address.searchParams.get("scope"));
  const [command, ...args] = process.env.PERSON.split(" ");
  const [code] = await once(spawn(command, [...args, address.href], { stdio: "ignore" }), "exit");
  if (code) throw new Error("the person was refused");
}

const authProvider = {
  redirectUrl,
  clientMetadata: { client_name: me.name, redirect_uris: [redirectUrl] },
  state: () => "state-of-the-client",
  clientInformation: () => kept.client,
  saveClientInformation: (client) => keep("client", client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => keep("tokens", tokens),
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => keep("verifier", verifier),
  invalidateCredentials: (what) => keep(what === "tokens" ? "tokens" : "client", undefined),
  redirectToAuthorization: person,
};

/** A client of either library, and how its transport is told what a person's browser has brought. */
async function connection() {
  if (library === "sdk") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
    return { client: new Client(me), transport, finish: () => transport.finishAuth(answer.get("code")) };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const mode = era === "modern" ? { pin: "2026-07-28" } : era;
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
  const client = new Client(me, { versionNegotiation: { mode } });
  return { client, transport, finish: () => transport.finishAuth(answer) };
}

/** Call a tool; when that needs the person, let them sign in, and call it again. */
async function call(name, args, again = true) {
  const { client, transport, finish } = await connection();
  try {
    await client.connect(transport);
    const { structuredContent } = await client.callTool({ name, arguments: args });
    return structuredContent;
  } catch (error) {
    if (!again || error.name !== "UnauthorizedError" && error.constructor.name !== "UnauthorizedError") throw error;
    await finish();
    return await call(name, args, false);
  } finally {
    await client.close();
  }
}

const came = {
  read: async () => (await call("list_segments", { search: "vip" })).segments.map((segment) => segment.id),
  write: async () => (await call("create_segment", { name: "Новая группа" })).segment.name,
  expire: async () => keep("tokens", { ...kept.tokens, access_token: "amo_000000000000_expired" }),
};
const seen = [];
for (const step of steps) {
  seen.push(await came[step]().catch((error) => `${error.constructor.name}: ${error.message}`));
}
console.log(JSON.stringify({ seen, asked }));
listener.close();
