import { useView } from "../view-context";
import { Announcer } from "./announcer";
import { ContactNote } from "./contact-note";
import { Controls } from "./controls";
import { DatasetPanel } from "./dataset-panel";
import { ErrorPanel } from "./error-panel";
import { Gallery } from "./gallery";
import { Header } from "./header";
import { Histogram } from "./histogram";
import { Panel } from "./panel";
import { PhotoTabs } from "./photo-tabs";
import { PicturePanel } from "./picture-panel";
import { WhatToLookFor } from "./what-to-look-for";

/** The shape of what comes, so that nothing jumps when the network is there. */
function Skeleton() {
	return (
		<div class="nw-columns nw-skeleton" aria-hidden="true">
			<div class="nw-main">
				<div class="nw-controls" />
				<div class="nw-picture">
					<div class="nw-image-box" />
				</div>
			</div>
			<div class="nw-gallery">
				<div class="nw-tiles">
					{Array.from({ length: 60 }, (_, i) => (
						<div key={i} class="nw-tile" />
					))}
				</div>
			</div>
		</div>
	);
}

export function App() {
	const { state, open, settingsOpen } = useView();
	// Until the large view is there, the page stays as it is.
	const large = open.value !== null;
	const here = state.onDemand.panels.value !== null;
	const network = state.network.value;
	return (
		<div class="nw-frame">
			{/* While a photo is open large, the rest must not take the focus. */}
			<div class="nw-page" inert={large && here}>
				<Header />
				<ContactNote />
				<ErrorPanel where="network" />
				{!network && <ErrorPanel where="select" />}
				{!network && <ErrorPanel where="scan" />}
				{network && <DatasetPanel />}
				{network && (
					<Panel name="SettingsPanel" what="The settings panel" wanted={settingsOpen.value} />
				)}
				{network && (
					<div class="nw-columns">
						<div class="nw-main">
							<Controls />
							<ErrorPanel where="select" />
							<ErrorPanel where="render" />
							<ErrorPanel where="save" />
							<PicturePanel />
							<Panel
								name="Facets"
								what="The facets"
								wanted={Number(state.renderSettings.now.value?.facets) > 1}
							/>
							<Panel
								name="Pinned"
								what="The pinned neuron"
								wanted={state.pins.list.value.length > 0}
							/>
							{!here && <Panel name="PhotoDialog" what="The large view" wanted={large} />}
							<PhotoTabs />
							<Histogram />
						</div>
						<Gallery key={`${network.identity} ${state.selection.layer.value}`} />
					</div>
				)}
				{!network && state.opening.value && <Skeleton />}
				<WhatToLookFor />
			</div>
			{here && <Panel name="PhotoDialog" what="The large view" wanted={large} />}
			<Announcer />
		</div>
	);
}
