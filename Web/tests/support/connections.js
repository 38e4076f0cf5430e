// Peer connections in memory: two who have each other's description are connected, at once and without loss.

/** @type {Map<string, FakeConnection>} */
const offered = new Map();
let last = 0;

export class FakeChannel extends EventTarget {
  readyState = "connecting";
  /** What is under way to the other end: a channel's queue. */
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  /** @type {FakeChannel | null} */
  far = null;

  constructor(label) {
    super();
    this.label = label;
  }

  open(far) {
    this.far = far;
    this.readyState = "open";
    setTimeout(() => this.onopen?.(), 1);
  }

  send(data) {
    if (this.readyState !== "open") throw new Error("this channel is not open");
    const { far } = this;
    const content = typeof data === "string" ? data : data.slice().buffer;
    this.sent?.(content);
    const size = content.byteLength ?? content.length;
    this.bufferedAmount += size;
    setTimeout(() => {
      const wasHigh = this.bufferedAmount > this.bufferedAmountLowThreshold;
      this.bufferedAmount -= size;
      if (far.readyState === "open") far.onmessage?.({ data: content });
      if (wasHigh && this.bufferedAmount <= this.bufferedAmountLowThreshold && this.readyState === "open") this.onbufferedamountlow?.();
    }, 2);
  }

  close() {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    const { far } = this;
    if (far && far.readyState !== "closed") setTimeout(() => (far.close(), far.onclose?.()), 2);
  }
}

export class FakeConnection extends EventTarget {
  signalingState = "stable";
  connectionState = "new";
  iceGatheringState = "complete";
  localDescription = null;
  channels = [];
  #name = `connection ${(last += 1)}`;
  /** @type {FakeConnection | null} */
  #far = null;

  createDataChannel(label) {
    const channel = new FakeChannel(label);
    this.channels.push(channel);
    if (this.#far) this.#bring(channel);
    return channel;
  }

  async createOffer() {
    offered.set(this.#name, this);
    return { type: "offer", sdp: this.#name };
  }

  async createAnswer() {
    return { type: "answer", sdp: this.#name };
  }

  async setLocalDescription(description) {
    this.localDescription = description;
    if (description.type === "answer") offered.set(this.#name, this);
  }

  async setRemoteDescription({ type, sdp }) {
    const far = offered.get(sdp);
    if (type === "offer" || !far || this.#far) return;
    this.#far = far;
    far.#far = this;
    for (const end of [this, far]) {
      end.connectionState = "connected";
      end.onconnectionstatechange?.();
    }
    for (const channel of this.channels) this.#bring(channel);
  }

  #bring(channel) {
    const far = new FakeChannel(channel.label);
    this.#far.channels.push(far);
    far.open(channel);
    channel.open(far);
    setTimeout(() => this.#far?.ondatachannel?.({ channel: far }), 1);
  }

  async addIceCandidate() {}

  async getStats() {
    return new Map();
  }

  close() {
    this.signalingState = "closed";
    this.connectionState = "closed";
    for (const channel of this.channels) channel.close();
  }
}
