/** The webview: VS Code's own widget manager, on a kernel whose socket is the page around it. */
import { ServerConnection } from "@jupyterlab/services";
import { KernelConnection } from "@jupyterlab/services/lib/kernel/default";
import { activate } from "@vscode/jupyter-ipywidgets8";

const page = parent;
const open = new Set();

/** A socket whose other end is in the page around the webview. */
class PageSocket {
	static CONNECTING = 0;
	static OPEN = 1;
	static CLOSING = 2;
	static CLOSED = 3;
	readyState = PageSocket.OPEN;
	protocol = "";
	binaryType = "arraybuffer";
	onopen = null;
	onmessage = null;
	onclose = null;
	onerror = null;

	constructor() {
		open.add(this);
		setTimeout(() => this.onopen?.(new Event("open")));
	}

	send(data) {
		page.postMessage({ kind: "kernel", data }, "*");
	}

	close() {
		this.readyState = PageSocket.CLOSED;
		open.delete(this);
	}
}

const kernel = new KernelConnection({
	model: { id: location.hash.split("/").at(-1), name: "python3" },
	serverSettings: ServerConnection.makeSettings({
		baseUrl: location.origin,
		wsUrl: location.origin.replace("http", "ws"),
		WebSocket: PageSocket,
	}),
});

activate();
window.vscIPyWidgets8.load();
const area = document.getElementById("container");
const manager = new window.vscIPyWidgets.WidgetManager(
	kernel,
	area,
	{
		widgetsRegisteredInRequireJs: new Set(["anywidget"]),
		errorHandler: (name, module, _version, error) => console.error(`${module} ${name}: ${error}`),
		// The extension copies the script from the environment's folder of notebook extensions.
		loadWidgetScript: async (name) =>
			window.requirejs.config({ paths: { [name]: `/${name}/index` } }),
		successHandler: () => {},
	},
	() => {},
);
window.requirejs.config({ paths: { anywidget: "/anywidget/index" } });

async function show(id) {
	while (!manager.has_model(id)) await new Promise((done) => setTimeout(done, 50));
	const model = await manager.get_model(id);
	const output = document.createElement("div");
	output.className = "output cell-output-ipywidget-background";
	area.append(output);
	const view = await manager.create_view(model, { el: output });
	await manager.display_view({}, view, { node: output });
}

addEventListener("message", ({ data, source }) => {
	if (source !== page) return;
	if (data.kind === "kernel")
		for (const socket of open) socket.onmessage?.({ data: data.data, target: socket });
	if (data.kind === "output") void show(data.id);
	if (data.kind === "theme") {
		document.body.className = `vscode-${data.name}`;
		document.body.dataset.vscodeThemeKind = `vscode-${data.name}`;
	}
});
page.postMessage({ kind: "ready" }, "*");
