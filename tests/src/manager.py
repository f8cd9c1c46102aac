#!/usr/bin/python3
"""A stand-in for systemd's descriptor store.

  manager.py keep NOTIFY SHOW     listens on NOTIFY (a unix datagram socket) for FDSTORE and FDSTOREREMOVE; whoever connects
                                  to SHOW is told the names and given the descriptors
  manager.py run NOTIFY SHOW COMMAND...   becomes the command, with what is kept passed to it as systemd does it
"""
import array
import fcntl
import os
import select
import socket
import sys

MOST = 64


def receive(sock):
    data, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(4 * MOST))
    fds = array.array("i")
    for _, _, payload in ancillary:
        fds.frombytes(payload[: len(payload) - len(payload) % 4])
    return data.decode(), list(fds)


def note(kept, text, fds):
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    name = fields.get("FDNAME", "stored")
    if fields.get("FDSTORE") == "1":
        for fd in fds:
            if any(os.path.sameopenfile(old, fd) for _, old in kept):
                os.close(fd)
            else:
                kept.append((name, fd))
    elif fields.get("FDSTOREREMOVE") == "1":
        drop(kept, [one for one in kept if one[0] == name])


def is_gone(fd):
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def drop(kept, which):
    for one in which:
        kept.remove(one)
        os.close(one[1])


def keep(notify, show):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(notify)
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked.bind(show)
    asked.listen()
    print("ready", flush=True)
    kept = []
    while True:
        for ready in select.select([told, asked], [], [])[0]:
            if ready is told:
                note(kept, *receive(told))
                continue
            # What was said before comes first.
            while select.select([told], [], [], 0)[0]:
                note(kept, *receive(told))
            drop(kept, [one for one in kept if is_gone(one[1])])
            peer, _ = asked.accept()
            fds = array.array("i", [fd for _, fd in kept])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if kept else []
            peer.sendmsg([b"names=" + ":".join(name for name, _ in kept).encode()], rights)
            peer.close()


def run(notify, show, command):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.connect(show)
    text, fds = receive(peer)
    peer.close()
    # Out of the way first.
    away = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 500) for fd in fds]
    for number, fd in enumerate(away):
        os.dup2(fd, 3 + number, inheritable=True)
    os.environ["NOTIFY_SOCKET"] = notify
    if away:
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = str(len(away))
        os.environ["LISTEN_FDNAMES"] = text.removeprefix("names=")
    os.execvp(command[0], command)


if sys.argv[1] == "keep":
    keep(sys.argv[2], sys.argv[3])
else:
    run(sys.argv[2], sys.argv[3], sys.argv[4:])
