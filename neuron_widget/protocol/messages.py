"""The messages the kernel and the page speak. Every message is JSON plus binary buffers.

Two channels, two purposes:

* **Traits** (``layer``, ``neuron``, ``steps``, ``status``, ``progress``) are for Python and for
  ipywidgets' ``link``. The page reads them but never relies on them: a trait written by the page
  can stick while a cell runs, and trait writes from the worker are coalesced.
* **Custom messages** (this module) carry everything else. The page's commands hold all their
  parameters, so that one message is enough and a lost one harms nothing.

Handshake: a page sends ``ready`` when it has a view; the kernel answers with a ``snapshot`` that
holds everything the view shows. Messages sent before that are lost, and a reload is the same
handshake again. Applying a message twice must do no harm (two browser tabs each ask).

Frames follow jupyter_rfb: each has an ``index``; the page sends ``ack`` when it has drawn one,
which answers for those before it too. At most ``MAX_FRAMES_IN_FLIGHT`` are unacknowledged and at
most ``MAX_FRAMES_PER_SECOND`` are sent. Only the frame that leaves no room for another one asks for
an ``ack``: each is a message that the notebook draws its signs of a busy kernel for. An
unacknowledged frame counts as lost after ``ACK_TIMEOUT_S`` (while a cell runs, acks wait for it to
end, and the picture should still move). No frame is sent while no view is visible. Moving frames
are JPEG, the final ``image`` is PNG.

Some notebooks (Colab) show nothing that a background thread sends. A page that hears nothing of a
running task for two seconds sends ``poll`` every 250 ms, see there.

Buffers, in either direction: a message's ``buffers`` are listed in its docstring, in order. An
activation map is sent as ``h * w`` bytes, row by row, ``255 = scale`` (the neuron's largest value
in the data set, so that a weak map looks weak; maps are never stretched one by one).

* To the page: hosts hand them over as DataView, Uint8Array or ArrayBuffer; the page makes DataViews
  of them, with the offset, in one place (``js/src/buffers.ts``).
* To the kernel, so far the bytes of a photo only (``bring``): the page sends them with
  ``Connection.ask(message, buffers)`` (``model.send(content, callbacks, buffers)``); they come to
  ``handle_message(session, message, buffers)`` as memoryviews (bytes in some hosts). Notebook
  servers close the connection at about 10 MB a message: what may be larger comes in pieces.

Never use the key ``id``: ipykernel 7.4 keeps one entry for every message that has it.

``python -m neuron_widget.protocol.typescript`` makes ``js/src/protocol.ts`` from this file.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

MAX_PINS = 4
MAX_FRAMES_PER_SECOND = 8
MAX_FRAMES_IN_FLIGHT = 2
ACK_TIMEOUT_S = 1.0
# A photo's file: its pieces, and all of it. Notebook servers take about 10 MB a message.
PIECE_BYTES = 4_000_000
PHOTO_BYTES = 50_000_000

# ------------------------------------------------------------------ parts of messages


class Layer(TypedDict):
    """One layer of the network: its name, the shape of its activation, its place in the menu.

    ``word``: what its neurons are, where that is another word (``class``, ``feature``). ``names``:
    theirs, in order, where they have some; ``""`` for one that has none. ``signed``: values below 0
    are answers too; a byte of a map is 128 for 0 then, 255 for ``scale`` and 1 for ``-scale``.
    ``kind``, where it is not maps of a convolution: ``tokens`` (a transformer's patches), ``token``
    (one of its prefix tokens) or ``vector``. ``group``: stem, a stage or list of blocks, head.
    """

    name: str
    channels: int
    height: int
    width: int
    word: NotRequired[str]
    names: NotRequired[list[str]]
    signed: NotRequired[bool]
    kind: NotRequired[str]
    group: NotRequired[str]


class Network(TypedDict):
    """The network in use. ``note`` says why it was chosen where the user did not name it."""

    name: str
    title: str
    identity: str
    device: str
    note: str
    layers: list[Layer]


class Dataset(TypedDict):
    """The data set in use. ``skipped`` lists files that could not be read (at most 100 names)."""

    name: str
    photos: int
    skipped: list[str]
    skipped_count: int
    note: str


class Photo(TypedDict):
    """One photo that fires the neuron most or least.

    ``score`` is the spatial mean of the activation, ``peak`` its largest value at row, column
    ``position`` of a ``map_height`` x ``map_width`` map. ``receptive_field`` is the part of the
    photo (left, top, right, bottom, as fractions 0..1 of the square shown) that the peak can see.
    """

    index: int
    rank: int
    label: str
    path: str
    score: float
    peak: float
    position: list[int]
    map_height: int
    map_width: int
    receptive_field: list[float]


class PhotoName(TypedDict):
    """A photo: of the data set by its ``index``, or the one that was brought by its ``look``."""

    of: Literal["dataset", "brought"]
    number: int


class Histogram(TypedDict):
    """Scores of one neuron over the data set: ``counts[i]`` in ``edges[i]..edges[i+1]``."""

    counts: list[int]
    edges: list[float]


class ChannelTarget(TypedDict):
    """A neuron: one channel of a layer's map."""

    kind: Literal["channel"]
    layer: str
    neuron: int


class UnitTarget(TypedDict):
    """One unit of a neuron: a position of its map, counted at the network's own input size."""

    kind: Literal["unit"]
    layer: str
    neuron: int
    row: int
    column: int


class ExpressionTarget(TypedDict):
    """Several targets added up, a direction, or what else is composed: its text.

    ``layer`` and ``neuron``: the first neuron that it speaks of, whose tile and photos are shown.
    """

    kind: Literal["expression"]
    layer: str
    neuron: int
    text: str


Target = ChannelTarget | UnitTarget | ExpressionTarget

Task = Literal["render", "scan", "preview", "measure", "facets", "between", "accentuation"]

Settings = dict[str, str | float | bool]


class ClassChange(TypedDict):
    """One class of the network's answer: its probability before and after, and the difference.

    Written out, in percent. ``name`` is the output's number where the outputs have no names.
    """

    name: str
    before: str
    after: str
    change: str


class Appearance(TypedDict):
    """Colour and contrast of the rendered image on 0..255, with the pattern labels."""

    mean_rgb: list[float]
    std_rgb: list[float]
    patterns: list[str]


# ------------------------------------------------------------------ page -> kernel


class Ready(TypedDict):
    """A view is there. The kernel answers with ``snapshot``."""

    kind: Literal["ready"]
    view: str


class Visible(TypedDict):
    """A view came into sight, left it, or (``gone``) was removed from the page."""

    kind: Literal["visible"]
    view: str
    visible: bool
    gone: bool


class AskPanels(TypedDict):
    """The page has drawn itself, and wants what is seldom opened: the kernel sends ``panels``."""

    kind: Literal["panels"]


class Select(TypedDict):
    """The person chose a layer, a neuron or steps.

    While a slider is dragged ``settled`` is false (at most ten of these a second); on release it
    is true, and the kernel starts rendering by itself if ``auto`` is on and nothing is known.
    ``seq`` counts up; the kernel repeats it in ``selected`` so that the page can ignore old echoes.
    """

    kind: Literal["select"]
    seq: int
    target: Target
    steps: int
    settled: bool


class Start(TypedDict):
    """The person pressed Render."""

    kind: Literal["start"]
    target: Target
    steps: int


class More(TypedDict):
    """The person pressed More steps: go on from the present image, up to ``steps`` in all.

    Unlike ``start`` it leaves the number of steps that other neurons get alone.
    """

    kind: Literal["more"]
    target: Target
    steps: int


class Configure(TypedDict):
    """The person changed how images are made: every setting in ``SETTINGS``, by name."""

    kind: Literal["configure"]
    settings: Settings


class Pin(TypedDict):
    """The person pinned or unpinned a neuron: all that are pinned now, at most ``MAX_PINS``."""

    kind: Literal["pin"]
    pins: list[Target]


class AskFigure(TypedDict):
    """The person wants the figure of a neuron as a file: the kernel answers with ``file``.

    ``asker`` names the page, so that no other tab saves it too.
    """

    kind: Literal["figure"]
    asker: str
    target: Target


class AskLine(TypedDict):
    """The person wants the Python line that makes this view: the kernel answers with ``line``."""

    kind: Literal["line"]
    asker: str


class Measure(TypedDict):
    """The person wants to know how far pictures predict the layer: see ``Predicted``."""

    kind: Literal["measure"]


class Stop(TypedDict):
    """The person pressed the Stop of a task: it ends within one step and keeps what is there.

    ``scan`` is the data set that is being opened, too.
    """

    kind: Literal["stop"]
    task: Task


class Resume(TypedDict):
    """The person pressed the Resume of a task: what was stopped or left goes on where it was."""

    kind: Literal["resume"]
    task: Task


class StartScan(TypedDict):
    """Scan a data set: a folder path or a name (``samples``, ``imagenette``).

    ``download`` must be true for a data set that has to be fetched first (the person confirmed).
    """

    kind: Literal["scan"]
    dataset: str
    download: bool


class MakeDictionary(TypedDict):
    """Learn a dictionary of the layer from the data set, or open one: its layer is selected then.

    ``wish`` is a method and a number of features (``nmf 64``, ``pca``, ``sae 128``), or a path.
    How far it is comes as ``progress`` of ``scan``, which stops it, too.
    """

    kind: Literal["dictionary"]
    wish: str


class OpenEmbedded(TypedDict):
    """The person chose to open the embedded network instead of the one that failed."""

    kind: Literal["open_embedded"]


class Dismiss(TypedDict):
    """The person put an error, or a question, away: no later view is told of it."""

    kind: Literal["dismiss"]
    where: Literal["render", "scan", "select", "save", "photo"]


class Ack(TypedDict):
    """Frame ``index`` was drawn; so were, or never will be, those before it."""

    kind: Literal["ack"]
    index: int


class Poll(TypedDict):
    """Nothing is heard of a running task: the page asks for what background threads had to say.

    With ``more`` the kernel holds their messages from now on, for the page to ask for, and says
    ``pulse`` from a background thread. A page that hears it needs no asking, and says so with
    ``more: false``. The answer to each is ``polled``; the first is preceded by a ``snapshot``.
    """

    kind: Literal["poll"]
    more: bool


class InView(TypedDict):
    """The gallery's visible neurons, in order: their previews are rendered first."""

    kind: Literal["in_view"]
    neurons: list[int]


class Between(TypedDict):
    """The person wants the pictures that lie between two pinned neurons: see ``Strip``."""

    kind: Literal["between"]
    first: Target
    last: Target


class Accentuate(TypedDict):
    """The person wants to see what a photo would need to fire a target more: see ``Strip``."""

    kind: Literal["accentuate"]
    target: Target
    photo: PhotoName


class Enlarge(TypedDict):
    """The person opened a photo: the kernel answers with ``photo``."""

    kind: Literal["enlarge"]
    target: Target
    group: Literal["most", "least"]
    rank: int


class Bring(TypedDict):
    """The person brought a photo: one piece of its file. Buffers: the piece's bytes.

    A file is cut into ``pieces`` of ``PIECE_BYTES``, numbered from 0. ``upload`` tells it from
    others that the page brings; a newer one takes its place. When all pieces are there the kernel
    looks at it and answers with ``looked``, or with an ``error`` at ``photo``.
    """

    kind: Literal["bring"]
    upload: str
    name: str
    piece: int
    pieces: int


class BringShown(TypedDict):
    """The person wants to look at a photo that is shown: one of the data set's."""

    kind: Literal["bring_shown"]
    target: Target
    group: Literal["most", "least"]
    rank: int


class PutAway(TypedDict):
    """The person put the photo away: the kernel forgets it and answers with ``put_away``."""

    kind: Literal["put_away"]


class AskMap(TypedDict):
    """Show where on the photo a neuron fires: the kernel answers with ``map``."""

    kind: Literal["map"]
    target: Target


class AskPlace(TypedDict):
    """The person points at a position of the photo: the kernel answers with ``place``."""

    kind: Literal["place"]
    row: int
    column: int


class AskAnswer(TypedDict):
    """What would the network answer with these neurons changed? The kernel says it: ``answer``.

    They fire ``times`` as strongly (0: off), or everywhere with their ``mean`` over the data set.
    ``question`` names all of this, and comes back with the answer.
    """

    kind: Literal["answer"]
    question: str
    targets: list[Target]
    mean: bool
    times: float


# ------------------------------------------------------------------ kernel -> page


class Panels(TypedDict):
    """What is seldom opened: ``static/panels.js``. Buffers: its text.

    It belongs to the ``widget.js`` of the same version, and is kept for all widgets of the page.
    """

    kind: Literal["panels"]


class Selected(TypedDict):
    """What is selected now (``seq`` of the ``select`` that caused it, -1 if Python did)."""

    kind: Literal["selected"]
    seq: int
    target: Target
    steps: int


class Opening(TypedDict):
    """The network is being loaded; ``text`` says what is going on."""

    kind: Literal["opening"]
    text: str


class Opened(TypedDict):
    """The network is ready."""

    kind: Literal["opened"]
    network: Network


class Configured(TypedDict):
    """How images are made now: every setting in ``SETTINGS``, by name.

    Once a network is open: ``usual``, what it makes of settings that are left to it, and
    ``limits``, the lowest and the highest value of those whose range is narrower for it.

    Where one that ``remakes`` differs from what the page knew, it forgets its pictures and
    previews; those that belong follow.
    """

    kind: Literal["configured"]
    settings: Settings
    usual: NotRequired[Settings]
    limits: NotRequired[dict[str, list[float]]]


class Pins(TypedDict):
    """The neurons that are pinned; their pictures and photos come as for the selected one."""

    kind: Literal["pins"]
    pins: list[Target]


class File(TypedDict):
    """A file for the page ``asker`` to save. Buffers: its bytes."""

    kind: Literal["file"]
    asker: str
    name: str
    mime: str


class Line(TypedDict):
    """The Python line that makes this view; ``note`` says what in it has to be filled in."""

    kind: Literal["line"]
    asker: str
    line: str
    note: str


class DatasetChanged(TypedDict):
    """The data set that photos are taken from (null: none yet)."""

    kind: Literal["dataset"]
    dataset: Dataset | None


class Progress(TypedDict):
    """How far a task is. ``rate`` in steps or photos a second, ``left`` in seconds; 0 = unknown.

    ``state`` is ``running``, ``waiting`` (another task goes first), ``elsewhere`` (another process
    that uses the store makes it just now, and is as far), ``done``, ``stopped`` or ``failed``.
    ``total`` 0 means unknown. ``note`` is what there is to say besides.
    """

    kind: Literal["progress"]
    task: Task
    layer: str
    target: Target | None
    done: int
    total: int
    rate: float
    left: float
    state: Literal["running", "waiting", "elsewhere", "done", "stopped", "failed"]
    note: NotRequired[str]


class Frame(TypedDict):
    """A moving picture of the neuron being rendered. Buffers: JPEG.

    ``value`` is the objective at this step (on augmented images, as in ``Image.history``); with it
    the page draws the curve while the picture forms, without it when the picture is finished.
    With ``ack: false`` no acknowledgement is waited for.
    """

    kind: Literal["frame"]
    index: int
    target: Target
    step: int
    steps: int
    value: NotRequired[float]
    ack: NotRequired[bool]


class Image(TypedDict):
    """A finished (or stopped: ``step < steps``) picture. Buffers: PNG.

    Of a MACO image that was rendered here a second PNG follows, of the same size: it is as
    transparent as the gradient cared little for that place.

    ``activation`` is the objective on the clean image, without augmentation; ``comparable`` where
    that is in the units of a photo's score, the mean of the neuron's map. ``history`` holds
    ``[step, value]`` pairs of the objective during the optimisation (on augmented images).
    ``packaged``: it came with the package, nothing was rendered here. ``note``, where it is there,
    is what to know before trusting the picture.
    """

    kind: Literal["image"]
    target: Target
    step: int
    steps: int
    settings: Settings
    seconds: float
    activation: float
    comparable: bool
    history: list[list[float]]
    packaged: bool
    look: Appearance
    note: NotRequired[str]


class Strip(TypedDict):
    """Pictures that form together. Buffers: a JPEG of each.

    ``task`` is ``facets`` (of the target ``of[0]``), ``between`` (from ``of[0]`` to ``of[1]``), or
    ``accentuation`` (one picture as it forms, from ``photo`` on, to fire ``of[0]`` more). While
    they form there is an ``index``, acknowledged as a frame's, and no ``activation``: for each of
    ``of`` what each picture activates, and ``shares`` of what its own picture does (empty where
    that is not above 0). ``at``: the steps that each has had. ``expression`` is what they maximise.
    """

    kind: Literal["strip"]
    task: Literal["facets", "between", "accentuation"]
    of: list[Target]
    step: int
    steps: int
    index: NotRequired[int]
    ack: NotRequired[bool]
    activation: list[list[float]]
    shares: list[list[float]]
    at: list[int]
    expression: str
    photo: NotRequired[PhotoName]


class Thumbs(TypedDict):
    """Previews for the gallery. Buffers: one JPEG for each of ``neurons``, in order.

    ``finished[i]`` is true where the tile shows a full rendering rather than a quick preview.
    """

    kind: Literal["thumbs"]
    layer: str
    neurons: list[int]
    finished: list[bool]


class Strengths(TypedDict):
    """After a scan, of every neuron: the best photo's score, and whether it never fired.

    ``top[neuron]`` are the classes of its best photos as places in ``labels``, without repeats.
    """

    kind: Literal["strengths"]
    layer: str
    best: list[float]
    dead: list[int]
    labels: list[str]
    top: list[list[int]]


class Predicted(TypedDict):
    """How often a machine is right about new photos, having seen pictures of a neuron.

    ``photos[neuron]`` is the share of right answers in 0..1 from its most and least activating
    photos, ``image[neuron]`` from its rendered image alone; null where there is no number, and
    ``reasons[i]`` says why of ``unknown[i]``, ``reason`` of all. ``near`` are the neurons whose
    image tells little more than chance. ``chart`` draws the numbers of neurons below 50 %, then in
    steps of 5 %, as eleven block characters; ``summary`` says the layer in a line, ``note`` what
    has to be known of who was asked.
    """

    kind: Literal["predicted"]
    layer: str
    summary: str
    note: str
    reason: str
    chart: str
    photos: list[float | None]
    image: list[float | None]
    near: list[int]
    unknown: list[int]
    reasons: list[str]


class Photos(TypedDict):
    """The photos of one neuron; while its layer is scanned, the best of the ``scanned`` so far.

    Buffers: for each of ``most`` then ``least``: a JPEG of the square the network saw, then the
    activation map bytes (255 = ``scale``). ``quantile`` is the 99 % quantile of the neuron's
    positions over the data set: what lies above it is rare.
    """

    kind: Literal["photos"]
    target: Target
    dataset: str
    scanned: int
    scale: float
    quantile: float
    mean: float
    std: float
    dead: bool
    most: list[Photo]
    least: list[Photo]
    histogram: Histogram


class LargePhoto(TypedDict):
    """One photo, large. Buffers: JPEG of the square, map bytes, JPEG of the crop it can see."""

    kind: Literal["photo"]
    target: Target
    group: Literal["most", "least"]
    scale: float
    quantile: float
    photo: Photo


class Looked(TypedDict):
    """A photo that was brought, as the selected layer sees it. Buffers: JPEG of the square.

    ``look`` counts up with each: what speaks of an older one is out of date. ``order`` is every
    neuron, those first whose score is most unusual for them. ``worth`` says for each neuron how
    unusual, in ``unit``: the percentile among the data set's photos, or without a scan the score.
    The five best classes follow as an ``answer`` to no question,
    the neurons that fire most as a ``place`` that is nowhere.
    """

    kind: Literal["looked"]
    look: int
    name: str
    layer: str
    unit: str
    order: list[int]
    worth: list[str]
    map_height: int
    map_width: int


class PhotoGone(TypedDict):
    """There is no photo that was brought any more."""

    kind: Literal["put_away"]


class PhotoMap(TypedDict):
    """Where on the photo a neuron fires. Buffers: the map bytes."""

    kind: Literal["map"]
    look: int
    target: Target


class Place(TypedDict):
    """The neurons that fire most at a position, or (``whole``) on all of the photo.

    ``worth`` says how much, in units of what 99 % of a neuron's positions over the data set lie
    below; without a scan it is the activation. ``title`` says what is listed, ``note`` by what.
    Buffers: the map bytes of each neuron.
    """

    kind: Literal["place"]
    look: int
    whole: bool
    title: str
    note: str
    neurons: list[int]
    worth: list[str]


class Answer(TypedDict):
    """What the network answers for the photo, before and after neurons were changed.

    The five best classes before, then those that are among the five best only after. ``note``: why
    there are none.
    """

    kind: Literal["answer"]
    look: int
    question: str
    classes: list[ClassChange]
    note: str


class Polled(TypedDict):
    """All that was held was sent."""

    kind: Literal["polled"]


class Pulse(TypedDict):
    """Sent by a background thread: where it arrives, all that such threads send does."""

    kind: Literal["pulse"]


class Error(TypedDict):
    """Something went wrong. ``where`` says what it belongs to; an empty ``message`` clears it.

    ``action`` names a button that helps: ``embedded`` opens the embedded network, ``download``
    repeats the scan with ``download: true``.
    """

    kind: Literal["error"]
    where: Literal["network", "render", "scan", "select", "save", "photo"]
    title: str
    message: str
    traceback: str
    action: Literal["", "embedded", "download"]
    dataset: str


class Snapshot(TypedDict):
    """Everything a new view needs: the messages that built the present state, in order.

    ``messages[i]`` is followed by ``counts[i]`` of this message's buffers. The page forgets what
    it knew and applies them one after the other.
    """

    kind: Literal["snapshot"]
    messages: list[dict[str, object]]
    counts: list[int]


FromPage = (
    Ready
    | Visible
    | AskPanels
    | Select
    | Start
    | More
    | Configure
    | Pin
    | AskFigure
    | AskLine
    | Measure
    | Stop
    | Resume
    | StartScan
    | MakeDictionary
    | OpenEmbedded
    | Dismiss
    | Ack
    | Poll
    | InView
    | Between
    | Accentuate
    | Enlarge
    | Bring
    | BringShown
    | PutAway
    | AskMap
    | AskPlace
    | AskAnswer
)
ToPage = (
    Panels
    | Selected
    | Opening
    | Opened
    | Configured
    | Pins
    | File
    | Line
    | DatasetChanged
    | Progress
    | Frame
    | Image
    | Strip
    | Thumbs
    | Strengths
    | Predicted
    | Photos
    | LargePhoto
    | Looked
    | PhotoGone
    | PhotoMap
    | Place
    | Answer
    | Polled
    | Pulse
    | Error
    | Snapshot
)
