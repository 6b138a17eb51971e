// The socket: greets, hands messages on, and comes back when the server does.

import { VERSION, checked } from "./messages.js";

const FINAL = { 4000: "", 4002: "This walk goes on in another tab. Load the page to take it back." };
const text = new TextDecoder();

export class Link {
  constructor(onMessage, onState) {
    this.onMessage = onMessage;
    this.onState = onState;
    this.wait = 300;
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => this.send("hello", { version: VERSION, session: sessionStorage.getItem("walk") });
    socket.onmessage = (event) => this.take(event.data);
    socket.onclose = (event) => this.closed(event);
  }

  take(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.kind === "welcome") {
        sessionStorage.setItem("walk", message.session);
        this.wait = 300;
      }
      this.onMessage(message, null);
    } else {
      const length = new DataView(data).getUint32(0);
      const header = JSON.parse(text.decode(new Uint8Array(data, 4, length)));
      this.onMessage(header, new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
    }
  }

  send(kind, fields = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(checked(kind, fields));
  }

  closed(event) {
    if (event.code in FINAL) {
      this.onState(FINAL[event.code] || event.reason, true);
      return;
    }
    this.onState("The server is not there; trying again …", false);
    setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(this.wait * 1.6, 5000);
  }
}
