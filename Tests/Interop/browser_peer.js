// A peer in a browser page; it reports the same events as `swarm-space pair --json`, with each message's content.
"use strict";
globalThis.peer = (echo) => {
  const connection = new RTCPeerConnection();
  const channels = {};
  const say = (event) => report(JSON.stringify(event));

  const base64 = (bytes) => {
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(text);
  };
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

  const take = (channel) => {
    channels[channel.label] = channel;
    channel.binaryType = "arraybuffer";
    const { label } = channel;
    const opened = () =>
      say({
        event: "open", label, id: channel.id, protocol: channel.protocol, ordered: channel.ordered,
        maxRetransmits: channel.maxRetransmits, maxPacketLifeTime: channel.maxPacketLifeTime,
      });
    channel.onopen = opened;
    channel.onmessage = ({ data }) => {
      if (typeof data === "string") say({ event: "message", label, id: channel.id, text: data });
      else say({ event: "message", label, id: channel.id, base64: base64(new Uint8Array(data)) });
      if (echo) channel.send(data);
    };
    channel.onclose = () => say({ event: "closed", label, id: channel.id });
    channel.onerror = ({ error }) => say({ event: "error", message: `${label}: ${error?.message}` });
  };

  connection.ondatachannel = ({ channel }) => take(channel);
  connection.onconnectionstatechange = () => say({ event: "state", state: connection.connectionState });

  // A description with all candidates in it. After a restart gathering may still be called complete, of what was before.
  const described = async (description) => {
    const isComplete = () => connection.iceGatheringState === "complete" && /^a=candidate:/m.test(connection.localDescription.sdp);
    const events = ["icegatheringstatechange", "icecandidate"];
    await connection.setLocalDescription(description);
    await new Promise((done) => {
      const look = () => {
        if (!isComplete()) return;
        for (const event of events) connection.removeEventListener(event, look);
        done();
      };
      for (const event of events) connection.addEventListener(event, look);
      look();
    });
    const { type, sdp } = connection.localDescription;
    return { type, sdp };
  };

  return {
    async offer() {
      take(connection.createDataChannel("main"));
      return described(await connection.createOffer());
    },
    async answer(offer) {
      await connection.setRemoteDescription(offer);
      return described(await connection.createAnswer());
    },
    accept: (answer) => connection.setRemoteDescription(answer),
    restart: async () => described(await connection.createOffer({ iceRestart: true })),
    open: (label, options) => take(connection.createDataChannel(label, options)),
    async send(label, payloads) {
      for (const payload of payloads) {
        while (channels[label].bufferedAmount > 4 << 20) await new Promise((done) => setTimeout(done, 5));
        channels[label].send("text" in payload ? payload.text : bytes(payload.base64));
      }
    },
    close: (label) => channels[label].close(),
    disconnect: () => connection.close(),
    pair: async () => {
      const stats = [...(await connection.getStats()).values()];
      const transport = stats.find(({ type }) => type === "transport");
      const pair = stats.find(({ id }) => id === transport?.selectedCandidatePairId);
      return pair && { local: stats.find(({ id }) => id === pair.localCandidateId), remote: stats.find(({ id }) => id === pair.remoteCandidateId) };
    },
  };
};
