#!/usr/bin/env python3
"""The envelopes of keys, once more: docs/keys-wire.md in Python, with the cryptography of Debian's python3-cryptography.

It shares no code with the package. As a program it reads one JSON object a line and answers each with one:
{"do": "seal" or "open", "wire": "hawser" or "sae-json", ...}, {"ok": ...} or {"error": "..."}.
"""

import base64
import functools
import hashlib
import json
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

TYPES = [
    "key_notification",
    "key_acknowledgment",
    "sync_confirmation",
    "rotation_completed",
    "cleanup_status_request",
    "cleanup_status_response",
    "cleanup_delete_request",
    "cleanup_delete_response",
    "cleanup_acknowledgment",
    "error",
]
TYPE_NAMES = {
    "key_notification": "NOTIFY",
    "key_acknowledgment": "NOTIFY-ACK",
    "sync_confirmation": "SYNC-CONFIRM",
    "error": "ERROR",
}
HEADER = struct.Struct("<4sBBBBQQQQH")


class Refused(Exception):
    """An envelope that is none, or whose signature is not good."""


def pss(salt_length):
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt_length)


# Loading one checks it, which takes longer than signing.
@functools.cache
def load_private(pem):
    return serialization.load_pem_private_key(pem.encode(), password=None)


@functools.cache
def load_public(pem):
    return serialization.load_pem_public_key(pem.encode())


def pem_of(public_key):
    encoding = serialization.Encoding.PEM
    return public_key.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


# ---- The original's envelope -----------------------------------------------------------------------------------------


def seal_original(private_key, sae_id, message):
    """The datagram of a message, a dict: signed is the digest of its JSON, of which the signature takes another digest."""
    payload = json.dumps(message).encode()
    digest = hashlib.sha256(payload).digest()
    signature = private_key.sign(digest, pss(padding.PSS.MAX_LENGTH), hashes.SHA256())
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "signature": base64.b64encode(signature).decode(),
        "sender_sae_id": sae_id,
        "public_key": pem_of(private_key.public_key()),
        "type": TYPE_NAMES.get(message["message_type"], "UNKNOWN"),
    }
    return json.dumps(envelope).encode()


def open_original(datagram):
    """What a datagram holds, by the key that came with it, as the original has it: sender, key, type and message."""
    envelope = json.loads(datagram.decode("utf-8"))
    payload = base64.b64decode(envelope["payload"], validate=True)
    signature = base64.b64decode(envelope["signature"], validate=True)
    digest = hashlib.sha256(payload).digest()
    try:
        key = load_public(envelope["public_key"])
        key.verify(signature, digest, pss(padding.PSS.MAX_LENGTH), hashes.SHA256())
    except InvalidSignature as error:
        raise Refused("signature") from error
    message = json.loads(payload.decode("utf-8"))
    return {
        "sender": envelope["sender_sae_id"],
        "public_key": envelope["public_key"],
        "type": envelope["type"],
        "message": message,
    }


# ---- HAWSER's envelope -----------------------------------------------------------------------------------------------


def signed_bytes(sender, recipient, covered):
    names = b"".join(struct.pack("<H", len(name)) + name for name in (sender.encode(), recipient.encode()))
    return b"HAWSER keys 1\0" + names + covered


def ids_of(direction, message):
    ids = (message["master_sae_id"], message["slave_sae_id"])
    return ids if direction == 0 else ids[::-1]


def seal_hawser(private_key, direction, sequence, times, message):
    payload = json.dumps(message).encode()
    is_rsa = isinstance(private_key, rsa.RSAPrivateKey)
    kind = TYPES.index(message["message_type"])
    header = HEADER.pack(b"HSAE", 1, 2 if is_rsa else 1, kind, direction, sequence, *times, len(payload))
    data = signed_bytes(*ids_of(direction, message), header + payload)
    signature = private_key.sign(data, pss(32), hashes.SHA256()) if is_rsa else private_key.sign(data)
    return header + payload + signature


def open_hawser(public_key, envelope):
    magic, version, algorithm, kind, direction, sequence, *times, length = HEADER.unpack_from(envelope)
    covered = envelope[: HEADER.size + length]
    message = json.loads(covered[HEADER.size :].decode("utf-8"))
    if magic != b"HSAE" or version != 1 or TYPES[kind] != message["message_type"]:
        raise Refused("header")
    data = signed_bytes(*ids_of(direction, message), covered)
    signature = envelope[len(covered) :]
    try:
        if algorithm == 1 and isinstance(public_key, ed25519.Ed25519PublicKey):
            public_key.verify(signature, data)
        elif algorithm == 2 and isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, data, pss(32), hashes.SHA256())
        else:
            raise Refused("algorithm")
    except InvalidSignature as error:
        raise Refused("signature") from error
    return {"direction": direction, "sequence": str(sequence), "times": times, "message": message}


# ---- The program -----------------------------------------------------------------------------------------------------


def answer(request):
    if request["do"] == "seal":
        key = load_private(request["private_key"])
        if request["wire"] == "sae-json":
            return seal_original(key, request["sae_id"], request["message"]).hex()
        fields = (request["direction"], int(request["sequence"]), request["times"])
        return seal_hawser(key, *fields, request["message"]).hex()
    envelope = bytes.fromhex(request["envelope"])
    if request["wire"] == "sae-json":
        return open_original(envelope)
    return open_hawser(load_public(request["public_key"]), envelope)


def main():
    for line in sys.stdin:
        try:
            result = {"ok": answer(json.loads(line))}
        except (Refused, ValueError, KeyError, struct.error) as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
