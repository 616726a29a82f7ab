/**
 * A notebook as VS Code has it: all outputs are in one webview, a sandboxed frame; the line to the
 * kernel ends here, and its messages are passed to the webview as they are.
 */
import { Kernel } from "./kernel.js";

const asked = new URLSearchParams(location.search);
const kernel = new Kernel(asked.get("kernel"));
const frame = document.createElement("iframe");
const { pathname } = new URL("vscode-webview.html", location);
frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms allow-pointer-lock allow-downloads");
frame.setAttribute("allow", "cross-origin-isolated; autoplay; clipboard-read; clipboard-write;");
frame.src = `${asked.get("frames")}${pathname}${asked.get("policy") ? "?policy" : ""}#${asked.get("kernel")}`;
const ready = new Promise((done) => {
	addEventListener("message", ({ data, source }) => {
		if (source !== frame.contentWindow) return;
		if (data.kind === "ready") done();
		if (data.kind === "kernel") kernel.forward(data.data);
	});
});
document.body.append(frame);
const tell = (message) => frame.contentWindow.postMessage(message, "*");

kernel.onmessage = (message, data) => {
	tell({ kind: "kernel", data });
	const view = message.content.data?.["application/vnd.jupyter.widget-view+json"];
	if (message.msg_type.match(/^(execute_result|display_data)$/) && view)
		tell({ kind: "output", id: view.model_id });
};

window.run = async (code) => {
	await kernel.ready;
	await ready;
	return kernel.run(code);
};

window.theme = (name) => tell({ kind: "theme", name });
