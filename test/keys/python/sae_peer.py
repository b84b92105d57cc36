#!/usr/bin/env python3
"""A small SAE that behaves as the original does, as master and as slave, in its envelope over plain UDP.

The first line of stdin is its configuration, a JSON object:
  sae_id, private_key (RSA, PEM), host, port (0: any), peers: {sae_id: [host, port]}, grace_period (seconds, 0),
  now (unix seconds: its clock stands there until it is told another time; that of the machine by default).
Further lines are commands; at the end of stdin it ends:
  {"do": "peer", "sae_id": id, "address": [host, port]}
  {"do": "time", "now": unix seconds}  sets the clock that stands
  {"do": "notify", "slave": id, "key_ids": [...], "rotation_timestamp": unix seconds}
  {"do": "status", "session": notification id}  starts the cleanup, which the original has, but does not come to
  {"do": "delete", "session": notification id, "key_ids": [...]}
Each line of stdout is an event: ready (port), received and sent (message), refused (why), state, keys.
Like the original it believes the key that comes with a message, and asks no key management entity in a test.
"""

import heapq
import json
import os
import selectors
import socket
import sys
import time
import uuid

import envelope

HOUR = 3600
AFTER_CONFIRMATION = ("CONFIRMED", "ROTATING", "PENDING_DONE")
# What each role takes in which states; a session that there is none of is IDLE.
ACCEPTED = {
    "master": {
        "key_acknowledgment": ("NOTIFIED",),
        "rotation_completed": AFTER_CONFIRMATION,
        "cleanup_status_response": AFTER_CONFIRMATION,
        "cleanup_delete_response": AFTER_CONFIRMATION,
    },
    "slave": {
        "key_notification": ("IDLE", "NOTIFIED", "ACKNOWLEDGED", *AFTER_CONFIRMATION),
        "sync_confirmation": ("ACKNOWLEDGED",),
        "cleanup_status_request": AFTER_CONFIRMATION,
        "cleanup_delete_request": AFTER_CONFIRMATION,
        "cleanup_acknowledgment": AFTER_CONFIRMATION,
    },
}
FUTURE_TIMES = {
    "key_notification": "rotation_timestamp",
    "key_acknowledgment": "suggested_rotation_timestamp",
    "sync_confirmation": "final_rotation_timestamp",
}


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def check(message, now):
    """The rules of the original's models. Raises ValueError."""
    uuid.UUID(message["message_id"])
    if message["message_type"] not in ("key_notification", "error"):
        uuid.UUID(message["original_message_id"])
    if abs(message["timestamp"] - now) > HOUR:
        raise ValueError("timestamp")
    moment = message.get(FUTURE_TIMES.get(message["message_type"], ""))
    if moment is not None and not now < moment <= now + HOUR:
        raise ValueError("time of rotation")
    for name in ("key_ids", "old_key_ids"):
        if name in message and not (message[name] and all(key.strip() for key in message[name])):
            raise ValueError(name)


class Sae:
    def __init__(self, config):
        self.sae_id = config["sae_id"]
        self.key = envelope.load_private(config["private_key"])
        self.peers = dict(config.get("peers", {}))
        self.grace_period = config.get("grace_period", 0)
        self.standing = config.get("now")
        self.sessions = {}
        self.keys = {}
        self.seen = set()
        self.timers = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((config.get("host", "127.0.0.1"), config.get("port", 0)))
        tell("ready", port=self.socket.getsockname()[1])

    def now(self):
        return time.time() if self.standing is None else self.standing

    def wait(self):
        """How many seconds until a timer is due; None when none will be by itself."""
        if not self.timers:
            return None
        seconds = max(0, self.timers[0][0] - self.now())
        return None if self.standing is not None and seconds > 0 else seconds

    # ---- Sending

    def send(self, kind, session, **fields):
        notification, master, slave = session["id"], session["master"], session["slave"]
        ids = {"master_sae_id": master, "slave_sae_id": slave}
        message_id = notification if kind == "key_notification" else str(uuid.uuid4())
        message = {"message_type": kind, "message_id": message_id, "timestamp": int(self.now()), **ids}
        if kind != "key_notification":
            message["original_message_id"] = notification
        message.update(fields)
        peer = slave if master == self.sae_id else master
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fresh:
            fresh.sendto(envelope.seal_original(self.key, self.sae_id, message), tuple(self.peers[peer]))
        tell("sent", message=message)

    def move(self, session, state):
        session["state"] = state
        tell("state", session=session["id"], state=state)

    # ---- What it does by itself

    def notify(self, slave, key_ids, rotation_timestamp):
        ids = {"id": str(uuid.uuid4()), "master": self.sae_id, "slave": slave}
        session = {**ids, "key_ids": key_ids, "at": rotation_timestamp}
        self.sessions[session["id"]] = session
        self.keys.update({key: "assigned" for key in key_ids})
        self.move(session, "NOTIFIED")
        self.send("key_notification", session, key_ids=key_ids, rotation_timestamp=rotation_timestamp)

    def rotate(self, session):
        """The first key goes into production, and all others that were there are rolled, whoever they are for."""
        self.move(session, "ROTATING")
        new = session["key_ids"][0]
        for key, status in self.keys.items():
            if status == "in_production" and key != new:
                self.keys[key] = "rolled"
        self.keys[new] = "in_production"
        tell("keys", keys=self.keys)
        if session["slave"] == self.sae_id:
            self.send("rotation_completed", session, new_key_id=new, rotation_timestamp=int(self.now()))
        self.move(session, "PENDING_DONE")

    def schedule(self, session, moment):
        heapq.heappush(self.timers, (moment, session["id"]))

    def run_timers(self):
        while self.timers and self.timers[0][0] <= self.now():
            session = self.sessions.get(heapq.heappop(self.timers)[1])
            if session is not None:
                self.rotate(session)

    # ---- Receiving

    def receive(self, datagram):
        try:
            opened = envelope.open_original(datagram)
            if opened["message"]["message_type"] not in envelope.TYPES:
                raise ValueError("type")
            payload = json.loads(datagram)["payload"]
            if payload in self.seen:
                raise ValueError("duplicate")
            self.seen.add(payload)
            if len(self.seen) > 1000:
                self.seen.clear()
            message = opened["message"]
            check(message, int(self.now()))
            self.take(message)
        except (envelope.Refused, ValueError, KeyError, TypeError) as error:
            tell("refused", why=f"{type(error).__name__}: {error}")

    def take(self, message):
        kind = message["message_type"]
        role = "master" if message["master_sae_id"] == self.sae_id else "slave"
        session_id = message["message_id"] if kind == "key_notification" else message["original_message_id"]
        session = self.sessions.get(session_id, {"state": "IDLE"})
        if session["state"] not in ACCEPTED[role].get(kind, ()):
            raise ValueError(f"{kind} in {session['state']}")
        tell("received", message=message)
        getattr(self, f"on_{kind}")(message, session)

    def on_key_notification(self, message, _):
        ids = {"id": message["message_id"], "master": message["master_sae_id"], "slave": message["slave_sae_id"]}
        session = {**ids, "key_ids": message["key_ids"], "at": message["rotation_timestamp"]}
        self.sessions[session["id"]] = session
        self.keys.update({key: "assigned" for key in session["key_ids"]})
        self.move(session, "NOTIFIED")
        late = session["at"] - int(self.now()) < self.grace_period
        self.send(
            "key_acknowledgment",
            session,
            selected_key_id=session["key_ids"][0],
            status="need_more_time" if late else "ready",
            suggested_rotation_timestamp=session["at"] + self.grace_period if late else None,
        )
        self.move(session, "ACKNOWLEDGED")

    def on_key_acknowledgment(self, _, session):
        # It confirms the time that it proposed, whatever the slave suggested.
        self.send("sync_confirmation", session, final_rotation_timestamp=session["at"])
        self.move(session, "CONFIRMED")
        self.schedule(session, session["at"])

    def on_sync_confirmation(self, message, session):
        self.move(session, "CONFIRMED")
        self.schedule(session, message["final_rotation_timestamp"])

    def on_rotation_completed(self, _, session):
        """Here the original looks for the session in another table, does not find it, and never cleans up."""

    def on_cleanup_status_request(self, _, session):
        facts = {"status": "success", "service_status": "Service operational", "error_message": None}
        self.send("cleanup_status_response", session, **facts)

    def on_cleanup_status_response(self, message, session):
        status = "completed" if message["status"] == "success" else "failed"
        self.send("cleanup_acknowledgment", session, status=status)

    def on_cleanup_delete_request(self, message, session):
        for key in message["old_key_ids"]:
            self.keys.pop(key, None)
        facts = {"deleted_key_ids": message["old_key_ids"], "failed_key_ids": [], "error_message": None}
        self.send("cleanup_delete_response", session, status="success", **facts)

    def on_cleanup_delete_response(self, message, session):
        status = "completed" if message["status"] == "success" else "failed"
        self.send("cleanup_acknowledgment", session, status=status)

    def on_cleanup_acknowledgment(self, message, session):
        if message["status"] == "completed":
            self.keys = {key: status for key, status in self.keys.items() if status != "rolled"}
        tell("keys", keys=self.keys)
        del self.sessions[session["id"]]
        tell("state", session=session["id"], state="IDLE")

    # ---- Commands

    def command(self, request):
        if request["do"] == "peer":
            self.peers[request["sae_id"]] = request["address"]
        elif request["do"] == "time":
            self.standing = request["now"]
        elif request["do"] == "notify":
            self.notify(request["slave"], request["key_ids"], request["rotation_timestamp"])
        elif request["do"] == "status":
            session = self.sessions[request["session"]]
            self.send("cleanup_status_request", session, new_key_id=session["key_ids"][0])
        elif request["do"] == "delete":
            session = self.sessions[request["session"]]
            self.send("cleanup_delete_request", session, old_key_ids=request["key_ids"])


class Lines:
    """The lines of stdin, of which several may come at once."""

    def __init__(self):
        self.rest = b""

    def read(self):
        """The lines that are there now; None at the end."""
        data = os.read(sys.stdin.fileno(), 65536)
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [json.loads(line) for line in lines] if data else None


def main():
    stdin = Lines()
    requests = []
    while not requests:
        more = stdin.read()
        if more is None:
            return
        requests += more
    sae = Sae(requests.pop(0))
    selector = selectors.DefaultSelector()
    selector.register(sae.socket, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while requests is not None:
        for request in requests:
            sae.command(request)
        requests = []
        for ready, _ in selector.select(sae.wait()):
            if ready.fileobj is sae.socket:
                sae.receive(sae.socket.recv(8192))
            else:
                requests = stdin.read()
        sae.run_timers()


if __name__ == "__main__":
    main()
