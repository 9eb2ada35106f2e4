// What a host starts of an unpacked bundle, once a person has filled in `user_config`: as the bundle's own tool has it.
import { readFileSync } from "node:fs";
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb";

const [folder, answers] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf-8"));
const config = await getMcpConfigForManifest({
  manifest,
  extensionPath: folder,
  systemDirs: {},
  userConfig: JSON.parse(answers),
  pathSeparator: "/",
});
console.log(JSON.stringify(config ?? null));
