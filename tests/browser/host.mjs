// The page of a host: the official AppBridge around a frame. It writes down what the board asks of it.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

const log = (window.log = []);
window.start = async ({ result, results, theme, variables, capabilities, height }) => {
  const frame = document.getElementById("frame");
  const bridge = (window.bridge = new AppBridge(null, { name: "host", version: "1" }, capabilities, {
    hostContext: { theme, displayMode: "inline", availableDisplayModes: ["inline"], styles: { variables } },
  }));
  bridge.oncalltool = async ({ name, arguments: given }) => (log.push(["tools/call", name, given]), results[name]);
  bridge.onopenlink = async ({ url }) => (log.push(["ui/open-link", url]), {});
  bridge.onmessage = async ({ role, content }) => (log.push(["ui/message", role, content]), {});
  bridge.onsizechange = (size) => (frame.style.height = `${height ?? size.height}px`);
  const initialized = new Promise((done) => (bridge.oninitialized = done));
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.src = "/board";
  await initialized;
  log.push(["initialized"]);
  await bridge.sendToolInput({ arguments: {} });
  await bridge.sendToolResult(result);
};
