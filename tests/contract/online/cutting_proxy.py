"""A proxy before a Redis server that cuts, or holds back, a connection behind so many commands."""

import socket
from contextlib import suppress
from threading import Event, Thread

import hiredis


class CuttingProxy:
    """Forward connections to a server on this machine; what is set holds for connections made from then on.

    Attributes
    ----------
    cut_after
        Commands that a connection may send; the next one ends it, when the server has done those before.
    hold_after
        Commands that a connection may send; the others reach the server only after `release`, even when the client is
        gone.
    holding
        Whether a connection is held back, or was.
    """

    def __init__(self, port):
        self.port = port
        self.cut_after = None
        self.hold_after = None
        self.holding = False
        self.release = Event()
        self.released = Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.release.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(client, self.cut_after, self.hold_after), daemon=True).start()

    def _serve(self, client, cut_after, hold_after):
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            answers = Thread(target=_pump, args=(server, client), daemon=True)
            answers.start()
            for sent, command in enumerate(_commands(client) if cut_after or hold_after else _received(client)):
                if sent == cut_after:
                    break
                if sent == hold_after:
                    self.holding = True
                    self.release.wait()
                server.sendall(command)
            server.shutdown(socket.SHUT_WR)
            answers.join()
            self.released.set()


def _pump(server, client):
    """Hand answers on; when nobody hears them any more, still let the server say them."""
    with suppress(OSError):
        while answer := server.recv(65536):
            with suppress(OSError):
                client.sendall(answer)


def _received(client):
    with suppress(OSError):
        while received := client.recv(65536):
            yield received


def _commands(client):
    reader = hiredis.Reader()
    for received in _received(client):
        reader.feed(received)
        while (command := reader.gets()) is not False:
            yield hiredis.pack_command(tuple(command))
