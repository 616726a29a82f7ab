import { useState } from "preact/hooks";
import { sendOnEnter } from "../enter";
import { SETTINGS, type Setting, type Settings } from "../protocol";
import { differ, remade } from "../render-settings";
import { useView } from "../view-context";

type Value = Settings[string];

/** How images are made, and what each setting changes. */
export function SettingsPanel() {
	const { state, settingsOpen, name } = useView();
	const now = state.renderSettings.now.value;
	const [draft, setDraft] = useState<{ from: Settings; settings: Settings } | null>(null);
	if (!now || !settingsOpen.value) return null;
	// What another view or Python sets takes the place of what was typed here.
	const { defaults, usual, limits } = state.renderSettings;
	const wanted = { ...defaults, ...(draft?.from === now ? draft.settings : now) };
	const set = (change: Settings): void =>
		setDraft({ from: now, settings: { ...wanted, ...change } });
	const changed = differ(wanted, now, usual.value);
	const unusual = differ(wanted, defaults, usual.value);
	return (
		<>
			<form
				class="nw-panel"
				id={`${name}-settings`}
				aria-label="Settings"
				onKeyDown={sendOnEnter}
				onSubmit={(e) => {
					e.preventDefault();
					if (changed) state.renderSettings.change(wanted);
				}}
			>
				<h3 class="nw-heading">Settings</h3>
				<div class="nw-settings-grid">
					{SETTINGS.map((setting) => [
						<Control
							key={setting.name}
							setting={setting}
							value={wanted[setting.name] as Value}
							limits={limits.value[setting.name]}
							onSet={(value) => set({ [setting.name]: value })}
						/>,
						setting.name === "param" && wanted.param === "maco" && <Faded key="faded" />,
					])}
				</div>
				<div class="nw-row">
					<button type="submit" class="nw-button nw-primary" aria-disabled={!changed}>
						Apply
					</button>
					<button
						type="button"
						class="nw-button"
						aria-disabled={!unusual}
						onClick={() => {
							if (unusual) set(defaults);
						}}
					>
						Defaults
					</button>
					<span class="nw-muted" role="status">
						{remade(wanted, now, usual.value) &&
							"Images are made anew; those made before are kept, and come back with their settings."}
					</span>
				</div>
			</form>
			{/* Classes have names of their own, and are no features to be read in another way. */}
			{!state.layerInfo.value?.names && <DictionaryForm />}
		</>
	);
}

/** How MACO images are looked at: it makes none anew, and so it is done at once. */
function Faded() {
	const { faded, name } = useView();
	return (
		<div class="nw-setting">
			<label class="nw-check">
				<input
					id={`${name}-faded`}
					type="checkbox"
					aria-describedby={`${name}-says-faded`}
					checked={faded.value}
					onChange={(e) => {
						faded.value = e.currentTarget.checked;
					}}
				/>
				Transparency
			</label>
			<p id={`${name}-says-faded`} class="nw-muted">
				The image fades out where the gradient did not care. Of images that form here; the store has
				no transparency. Shown at once.
			</p>
		</div>
	);
}

/** Other features than the layer's channels: learnt from the photos, or out of a file. */
function DictionaryForm() {
	const { state, name } = useView();
	const [wish, setWish] = useState("");
	return (
		<form
			class="nw-panel"
			onKeyDown={sendOnEnter}
			onSubmit={(e) => {
				e.preventDefault();
				state.looking.ask({ kind: "dictionary", wish });
			}}
		>
			<div class="nw-row">
				<label class="nw-label" for={`${name}-dictionary`}>
					Dictionary
				</label>
				<input
					id={`${name}-dictionary`}
					class="nw-input nw-path"
					value={wish}
					placeholder="nmf 64, pca 64, sae 64, or a file"
					onInput={(e) => setWish(e.currentTarget.value)}
				/>
				<button type="submit" class="nw-button">
					Add
				</button>
			</div>
			<p class="nw-muted">
				Reads the layer by other features than its channels: learnt from these photos, or opened.
			</p>
		</form>
	);
}

interface ControlProps {
	setting: Setting;
	value: Value;
	/** Lowest and highest value, where the network's range is narrower. */
	limits: number[] | undefined;
	onSet: (value: Value) => void;
}

/** One setting: its label, its field, and what it changes. */
function Control({ setting, value, limits, onSet }: ControlProps) {
	const { name } = useView();
	const [low, high] = limits ?? [setting.low, setting.high];
	const field = `${name}-set-${setting.name}`;
	const says = `${name}-says-${setting.name}`;
	const choice = setting.choices?.find((c) => c.name === value);
	const common = { id: field, "aria-describedby": says };
	return (
		<div class="nw-setting">
			{setting.type === "boolean" ? (
				<label class="nw-check">
					<input
						{...common}
						type="checkbox"
						checked={value === true}
						onChange={(e) => onSet(e.currentTarget.checked)}
					/>
					{setting.label}
				</label>
			) : (
				<label for={field}>{setting.label}</label>
			)}
			{setting.type === "choice" && (
				<select
					{...common}
					class="nw-input"
					value={String(value)}
					onChange={(e) => onSet(e.currentTarget.value)}
				>
					{setting.choices?.map((c) => (
						<option key={c.name} value={c.name}>
							{c.label || c.name}
						</option>
					))}
				</select>
			)}
			{(setting.type === "integer" || setting.type === "number") && (
				<input
					{...common}
					class="nw-input nw-number"
					type="number"
					required
					{...(typeof low === "number" ? { min: low } : {})}
					{...(typeof high === "number" ? { max: high } : {})}
					step={setting.step ?? "any"}
					value={Number.isFinite(value) ? Number(value) : ""}
					onInput={(e) => onSet(e.currentTarget.valueAsNumber)}
				/>
			)}
			<p id={says} class="nw-muted">
				{choice?.help || setting.help}
			</p>
		</div>
	);
}
