"""The library, without what its import does to the process.

pysyncobj 0.3.17 replaces `socket.inet_ntop` by a function for Windows, on every system (win_inet_pton.py): whoever
turns an address into text after that gets a TypeError. The interpreter's own function is put back at once.
"""

from __future__ import annotations

import _socket
import socket

import pysyncobj.syncobj as syncobj
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

socket.inet_ntop = _socket.inet_ntop

__all__ = ["Node", "SyncObj", "SyncObjConf", "Transport", "syncobj"]
