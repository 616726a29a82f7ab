/**
 * Run code as a module, in a blob, as notebooks load the widget itself: no page may `import()` what
 * was sent to it. It says nothing about success; what the code leaves behind does.
 */
export async function runModule(code: BlobPart): Promise<void> {
	const script = document.createElement("script");
	script.type = "module";
	script.src = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
	await new Promise((done) => {
		script.onload = script.onerror = done;
		document.head.append(script);
	});
	script.remove();
	URL.revokeObjectURL(script.src);
}
