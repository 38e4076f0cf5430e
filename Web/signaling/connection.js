// One peer connection, offered or answered: an RTCPeerConnection with the channel that carries a session, and the one that
// carries the graph.

const CHANNEL_LABEL = "swarm-space";
const GRAPH_LABEL = "gun";
/** Above how many waiting bytes a member is given nothing more of the graph, and at how many again. */
const GRAPH_QUEUE = { high: 256 * 1024, low: 64 * 1024 };
/** How much the channel's queue takes before packets wait in the session, in bytes. */
export const CHANNEL_QUEUE = 256 * 1024;
/** How long a description waits for candidates, in milliseconds: those of this host are there at once. */
const GATHERING_PATIENCE = 150;
/** How long candidates wait for company. */
const TRICKLE_DELAY = 30;
const MOST_CANDIDATES = 32;

/** What tells one candidate line from another: the words up to the port. @param {string} line */
const candidateKey = (line) => line.replace(/^a=/, "").split(" ").slice(0, 6).join(" ");

/** The channel that carries the graph: a link of {@link import("../gun/client.js").GunClient}. */
class GraphChannel {
  #channel;
  /** What waits while the path is blocked, as frames lost on the way would: SCTP repeats them. @type {(() => void)[] | null} */
  #held = null;

  constructor(channel) {
    this.#channel = channel;
  }

  get hasRoom() {
    return this.#channel.readyState === "open" && this.#channel.bufferedAmount <= GRAPH_QUEUE.high;
  }

  send(text) {
    this.orLater(() => {
      // What a channel that is closing does not take is lost with it.
      if (this.#channel.readyState === "open") this.#channel.send(text);
    });
  }

  /** Does something now, or when the path is no longer blocked. */
  orLater(body) {
    if (this.#held) this.#held.push(body);
    else body();
  }

  hold() {
    this.#held ??= [];
  }

  release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const body of held) body();
  }
}

export class Connection {
  #rtc;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** @type {RTCDataChannel | null} */
  #graphChannel = null;
  #isOfferer = false;
  #isOpened = false;
  #handlers;
  #operations = Promise.resolve();
  #isClosed = false;
  /** Candidates that no description of ours has told of. @type {{ufrag: string, line: string}[]} */
  #unsaid = [];
  #said = new Set();
  #hasDescription = false;
  #trickle = 0;

  /**
   * @param {bigint} id
   * @param {string | null} peer `null` while the offer waits at a tracker for whoever answers it
   * @param {RTCConfiguration} configuration
   * @param {object} handlers each is given the connection first
   * @param {(c: Connection) => void} handlers.opened
   * @param {(c: Connection, packet: Uint8Array) => void} handlers.packet
   * @param {(c: Connection) => void} handlers.ended the far end closed it, or it cannot go on
   * @param {(c: Connection) => void} handlers.writable the queue has room again
   * @param {(c: Connection) => void} handlers.healed
   * @param {(c: Connection) => void} handlers.graphOpened
   * @param {(c: Connection, text: string) => void} handlers.graphFrame
   * @param {(c: Connection) => void} handlers.graphWritable
   * @param {(c: Connection) => void} handlers.graphClosed
   * @param {(c: Connection, ufrag: string, lines: string[]) => void} handlers.candidates
   */
  constructor(id, peer, configuration, handlers) {
    this.id = id;
    this.peer = peer;
    this.isOpen = false;
    /** An unanswered offer at a tracker is given up then. */
    this.expiresAt = Infinity;
    /** Since when ICE says that the path is silent. @type {number | null} */
    this.brokenSince = null;
    /** The graph's channel, while it is open. @type {GraphChannel | null} */
    this.graph = null;
    this.#handlers = handlers;
    const rtc = (this.#rtc = new RTCPeerConnection(configuration));
    rtc.ondatachannel = ({ channel }) => {
      if (channel.label === CHANNEL_LABEL) this.#take(channel);
      else if (channel.label === GRAPH_LABEL) this.#takeGraph(channel);
    };
    rtc.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate || this.#isClosed) return;
      this.#unsaid.push({ ufrag: candidate.usernameFragment ?? "", line: candidate.candidate });
      this.#trickleSoon();
    };
    rtc.onconnectionstatechange = () => this.#stateChanged();
  }

  #stateChanged() {
    if (this.#isClosed) return;
    switch (this.#rtc.connectionState) {
      case "connected":
        this.brokenSince = null;
        this.#handlers.healed(this);
        break;
      case "disconnected":
      case "failed":
        this.brokenSince ??= performance.now();
        this.#handlers.writable(this);
        break;
      case "closed":
        this.#handlers.ended(this);
        break;
    }
  }

  #take(channel) {
    this.#channel = channel;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = CHANNEL_QUEUE / 4;
    channel.onopen = () => this.#opened();
    channel.onmessage = ({ data }) => {
      if (!this.#isClosed && data instanceof ArrayBuffer) this.#handlers.packet(this, new Uint8Array(data));
    };
    channel.onclose = () => this.#isClosed || this.#handlers.ended(this);
    channel.onbufferedamountlow = () => this.#isClosed || this.#handlers.writable(this);
    if (channel.readyState === "open") this.#opened();
  }

  #opened() {
    if (this.#isClosed || this.#isOpened) return;
    this.#isOpened = true;
    this.#handlers.opened(this);
    // Whoever made the offer opens the graph's channel beside it.
    if (this.#isOfferer && !this.#isClosed) this.#takeGraph(this.#rtc.createDataChannel(GRAPH_LABEL));
  }

  #takeGraph(channel) {
    if (this.#graphChannel || this.#isClosed) return channel.close();
    this.#graphChannel = channel;
    channel.bufferedAmountLowThreshold = GRAPH_QUEUE.low;
    const opened = () => {
      if (this.#isClosed || this.graph) return;
      this.graph = new GraphChannel(channel);
      this.#handlers.graphOpened(this);
    };
    channel.onopen = opened;
    channel.onmessage = ({ data }) => {
      opened(); // it may speak before it says that it is open
      if (typeof data === "string") this.graph?.orLater(() => this.#isClosed || this.#handlers.graphFrame(this, data));
    };
    channel.onbufferedamountlow = () => this.#isClosed || this.#handlers.graphWritable(this);
    channel.onclose = () => {
      this.#handlers.graphClosed(this);
      this.graph = null;
    };
    if (channel.readyState === "open") opened();
  }

  /** One after the other: descriptions of one connection must not overtake each other. */
  #inTurn(operation) {
    const result = this.#operations.then(operation);
    this.#operations = result.catch(() => {});
    return result;
  }

  /** @param {{isRestart?: boolean}} [options] @returns {Promise<string>} the SDP */
  offer({ isRestart = false } = {}) {
    if (!this.#channel) {
      this.#isOfferer = true;
      this.#take(this.#rtc.createDataChannel(CHANNEL_LABEL));
    }
    return this.#inTurn(async () => this.#describe(await this.#rtc.createOffer({ iceRestart: isRestart })));
  }

  /** @param {string} sdp an offer @returns {Promise<string>} the answer's SDP */
  answer(sdp) {
    return this.#inTurn(async () => {
      await this.#rtc.setRemoteDescription({ type: "offer", sdp });
      return this.#describe(await this.#rtc.createAnswer());
    });
  }

  /** @param {string} sdp the answer to our offer */
  accept(sdp) {
    return this.#inTurn(() => this.#rtc.setRemoteDescription({ type: "answer", sdp }));
  }

  /** @param {string} ufrag @param {string[]} lines */
  addCandidates(ufrag, lines) {
    return this.#inTurn(async () => {
      for (const candidate of lines) {
        // What this browser cannot use is no error of the others.
        await this.#rtc.addIceCandidate({ candidate, sdpMLineIndex: 0, usernameFragment: ufrag }).catch(() => {});
      }
    });
  }

  async #describe(description) {
    this.#hasDescription = false;
    // A restart gathers the same addresses again, under another ufrag.
    this.#said.clear();
    await this.#rtc.setLocalDescription(description);
    await this.#gathered();
    const { sdp } = this.#rtc.localDescription;
    for (const line of sdp.match(/^a=candidate:.*$/gm) ?? []) this.#said.add(candidateKey(line));
    this.#hasDescription = true;
    this.#trickleSoon();
    return sdp;
  }

  #gathered() {
    const rtc = this.#rtc;
    return new Promise((done) => {
      const finish = () => {
        clearTimeout(timer);
        rtc.removeEventListener("icegatheringstatechange", look);
        done();
      };
      const look = () => rtc.iceGatheringState === "complete" && finish();
      const timer = setTimeout(finish, GATHERING_PATIENCE);
      rtc.addEventListener("icegatheringstatechange", look);
      look();
    });
  }

  #trickleSoon() {
    clearTimeout(this.#trickle);
    this.#trickle = setTimeout(() => this.trickle(), TRICKLE_DELAY);
  }

  /** Tells of candidates found since the description was made, once it is known to whom. */
  trickle() {
    if (!this.peer || !this.#hasDescription || this.#isClosed) return;
    const unsaid = this.#unsaid.splice(0).filter(({ line }) => !this.#said.has(candidateKey(line)));
    for (const { line } of unsaid) this.#said.add(candidateKey(line));
    const byUfrag = groupByUfrag(unsaid);
    for (const [ufrag, group] of byUfrag) {
      this.#handlers.candidates(this, ufrag, group.slice(0, MOST_CANDIDATES).map(({ line }) => line));
    }
  }

  /** How many more bytes the channel's queue takes. */
  get room() {
    return CHANNEL_QUEUE - (this.#channel?.bufferedAmount ?? 0);
  }

  /** @param {Uint8Array} packet @returns {boolean} whether it was taken: else the connection is gone */
  send(packet) {
    if (this.#channel?.readyState !== "open") return false;
    try {
      this.#channel.send(packet);
      return true;
    } catch {
      return false;
    }
  }

  /** Whether the channel is closed, by whomever: closing a connection from outside fires no event. */
  get isDead() {
    return this.#rtc.signalingState === "closed" || ["closing", "closed"].includes(this.#channel?.readyState);
  }

  /** The selected pair. @returns {Promise<{path: "direct" | "turn", rtt: number | null} | null>} milliseconds */
  async selectedPath() {
    if (this.#isClosed) return null;
    const stats = await this.#rtc.getStats();
    let transport = null;
    for (const stat of stats.values()) if (stat.type === "transport") transport = stat;
    let pair = transport?.selectedCandidatePairId ? stats.get(transport.selectedCandidatePairId) : null;
    for (const stat of stats.values()) if (!pair && stat.type === "candidate-pair" && stat.selected) pair = stat;
    if (!pair) return null;
    const kinds = [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)].map((c) => c?.candidateType);
    const rtt = pair.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1_000;
    return { path: kinds.includes("relay") ? "turn" : "direct", rtt };
  }

  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#trickle);
    this.#handlers.graphClosed(this);
    this.graph = null;
    this.#rtc.close();
  }
}

function groupByUfrag(candidates) {
  const groups = new Map();
  for (const candidate of candidates) groups.set(candidate.ufrag, [...(groups.get(candidate.ufrag) ?? []), candidate]);
  return groups;
}
