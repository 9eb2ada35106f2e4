// The main job, done by an official TypeScript client: node journey.mjs client|sdk legacy|modern URL|COMMAND...
// Prints one JSON object of what the client has seen.

const [library, era, ...target] = process.argv.slice(2);
const overHttp = target[0].startsWith("http");
const me = { name: `journey-${library}`, version: "1" };

/** The 2.x client, which speaks both eras. */
async function client2(capabilities) {
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const mode = era === "modern" ? { pin: "2026-07-28" } : era;
  const client = new Client(me, { capabilities, versionNegotiation: { mode } });
  return {
    client,
    transport: transport(StreamableHTTPClientTransport, StdioClientTransport),
    onDialog: (answer) => client.setRequestHandler("elicitation/create", answer),
    call: (name, args, options) => client.callTool({ name, arguments: args }, options),
    version: () => client.getNegotiatedProtocolVersion(),
  };
}

/** The 1.x client, which speaks the older era. */
async function client1(capabilities) {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
  const { ElicitRequestSchema } = await import("@modelcontextprotocol/sdk/types.js");
  const client = new Client(me, { capabilities });
  const wire = transport(StreamableHTTPClientTransport, StdioClientTransport);
  const setVersion = wire.setProtocolVersion?.bind(wire);
  let version;
  wire.setProtocolVersion = (told) => {
    version = told;
    setVersion?.(told);
  };
  return {
    client,
    transport: wire,
    onDialog: (answer) => client.setRequestHandler(ElicitRequestSchema, answer),
    call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    version: () => version,
  };
}

function transport(Http, Stdio) {
  const [command, ...args] = target;
  return overHttp ? new Http(new URL(command)) : new Stdio({ command, args, env: process.env });
}

/** Connect, do the work, and leave. */
async function connected(capabilities, work) {
  const connection = await (library === "sdk" ? client1 : client2)(capabilities);
  if (capabilities.elicitation) connection.onDialog((request) => person(request.params));
  await connection.client.connect(connection.transport);
  try {
    return await work(connection);
  } finally {
    await connection.client.close();
  }
}

const asked = [];
let says = { action: "accept", content: { confirm: true } };

/** Somebody in front of the dialog. */
function person({ message, requestedSchema }) {
  asked.push({ question: message.split("\n")[0], fields: Object.keys(requestedSchema.properties) });
  return says;
}

/** A call's answer, once it is clear that both channels say the same. */
async function answer(connection, name, args, options) {
  const { content, structuredContent } = await connection.call(name, args, options);
  if (content.length !== 1 || JSON.stringify(JSON.parse(content[0].text)) !== JSON.stringify(structuredContent)) {
    throw new Error(`${name}: the text says something else`);
  }
  return structuredContent;
}

const withDialog = await connected({ elicitation: {} }, async (connection) => {
  const { client } = connection;
  const { tools } = await client.listTools();
  const vip = await answer(connection, "list_segments", { search: "vip" });
  const { resources } = await client.listResources();
  const { contents } = await client.readResource({ uri: "amo://segments/51" });
  const unknown = await client.readResource({ uri: "amo://segments/999" }).catch((error) => error);
  const { completion } = await client.complete({
    ref: { type: "ref/resource", uri: "amo://segments/{segment_id}" },
    argument: { name: "segment_id", value: "vip" },
  });
  const { prompts } = await client.listPrompts();
  const prompt = await client.getPrompt({ name: "explain_segment", arguments: { segment_id: "51" } });

  says = { action: "accept", content: { confirm: false } };
  const unticked = await answer(connection, "delete_segment", { segment_id: 51 });
  says = { action: "decline" };
  const declined = await answer(connection, "delete_segment", { segment_id: 51 });
  says = { action: "accept", content: { confirm: true } };
  const renamed = await answer(connection, "update_segment", { segment_id: 51, name: "Лучшие" });

  const names = Array.from({ length: 30 }, (_, number) => `Группа ${number}`);
  const changes = names.map((name) => ({ action: "create", kind: "segment", name }));
  const { plan_id } = await answer(connection, "plan_changes", { changes });
  const progress = [];
  const onprogress = ({ progress: done, total, message }) => progress.push([done, total, message]);
  const applied = await answer(connection, "apply_plan", { plan_id }, { onprogress });
  return {
    version: connection.version(),
    server: client.getServerVersion()?.name,
    tools: tools.map((tool) => tool.name),
    vip: vip.segments.map((segment) => segment.id),
    resources: resources.map((resource) => resource.uri),
    read: JSON.parse(contents[0].text).name,
    unknown: unknown.code,
    completed: completion.values,
    prompts: prompts.map((each) => each.name),
    prompt: prompt.messages[0].content.text.includes("51"),
    refused: [unticked.error.code, declined.error.code],
    renamed: renamed.after.name,
    applied: applied.done.length,
    progress,
  };
});

const withoutDialog = await connected({}, async (connection) => {
  const { error } = await answer(connection, "delete_segment", { segment_id: 54 });
  if (!error.approval_id) return [error.code];
  const confirmed = await answer(connection, "confirm_change", { approval_id: error.approval_id });
  return [error.code, confirmed.deleted.id];
});

console.log(JSON.stringify({ ...withDialog, asked, withoutDialog }));
