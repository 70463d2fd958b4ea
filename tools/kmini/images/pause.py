"""`kmini.local/pause:1`: the process that holds a pod's namespaces, as an ELF file of some 200 bytes written here.

It blocks SIGINT, SIGTERM and SIGCHLD and waits for one of them: blocked signals reach even process 1 of a pid
namespace, which ignores what it has no handler for. It reaps every child that ended (those of a pod with a shared pid
namespace become its own) and ends with 0 when asked to. Nothing else: no libc, no memory, no file.
"""

from __future__ import annotations

import struct

from .archive import Entry, Variant, image_archive

PAUSE = "kmini.local/pause:1"
NOBODY = "65535:65535"

_SIGINT, _SIGTERM, _SIGCHLD = 2, 15, 17
_MASK = struct.pack("<Q", sum(1 << (number - 1) for number in (_SIGINT, _SIGTERM, _SIGCHLD)))
_LOAD_ADDRESS = 0x400000
_PAGE = 0x10000  # the largest there is (arm64); a multiple of all others
_MACHINES = {"amd64": 62, "arm64": 183}  # EM_X86_64, EM_AARCH64
_HEADERS = 64 + 56

#: Each line is one instruction; numbers of system calls are the kernel's. The mask follows the code.
_AMD64 = bytes.fromhex(
    "b8 0e000000"  # 00 mov eax, rt_sigprocmask
    "31 ff"  # 05 xor edi, edi: SIG_BLOCK
    "48 8d35 50000000"  # 07 lea rsi, [mask]
    "31 d2"  # 0e xor edx, edx
    "41 ba08000000"  # 10 mov r10d, 8: bytes of a mask
    "0f 05"  # 16 syscall
    "b8 3d000000"  # 18 reap: mov eax, wait4
    "48 c7c7ffffffff"  # 1d mov rdi, -1: any child
    "31 f6"  # 24 xor esi, esi
    "ba 01000000"  # 26 mov edx, WNOHANG
    "45 31d2"  # 2b xor r10d, r10d
    "0f 05"  # 2e syscall
    "85 c0"  # 30 test eax, eax
    "7f e4"  # 32 jg reap
    "b8 80000000"  # 34 mov eax, rt_sigtimedwait
    "48 8d3d1e000000"  # 39 lea rdi, [mask]
    "31 f6"  # 40 xor esi, esi
    "31 d2"  # 42 xor edx, edx: without end
    "41 ba08000000"  # 44 mov r10d, 8
    "0f 05"  # 4a syscall
    "83 f811"  # 4c cmp eax, SIGCHLD
    "74 c7"  # 4f je reap
    "85 c0"  # 51 test eax, eax
    "78 c3"  # 53 js reap: interrupted
    "b8 e7000000"  # 55 mov eax, exit_group
    "31 ff"  # 5a xor edi, edi
    "0f 05"  # 5c syscall
)


def _arm64() -> bytes:
    def move(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def copy(register: int, source: int) -> int:
        return 0xAA0003E0 | source << 16 | register

    def compare(value: int) -> int:  # cmp w0, #value
        return 0x7100001F | value << 10

    def back(condition: int, instructions: int) -> int:  # b.condition
        return 0x54000000 | (-instructions & 0x7FFFF) << 5 | condition

    call = 0xD4000001  # svc #0
    any_child = 0x92800000  # mov x0, #-1
    if_negative = 0x37000000 | 31 << 19 | (-16 & 0x3FFF) << 5  # tbnz w0, #31, reap: interrupted
    equal, greater = 0, 12
    begin = [move(0, 0), copy(1, 19), move(2, 0), move(3, 8), move(8, 135), call]  # rt_sigprocmask
    reap = [any_child, move(1, 0), move(2, 1), move(3, 0), move(8, 260), call, compare(0), back(greater, 7)]  # wait4
    wait = [copy(0, 19), move(1, 0), move(2, 0), move(3, 8), move(8, 137), call]  # rt_sigtimedwait
    wait += [compare(_SIGCHLD), back(equal, 15), if_negative]
    end = [move(0, 0), move(8, 94), call]  # exit_group
    code = [*begin, *reap, *wait, *end]
    address_of_mask = 0x10000000 | (len(code) + 1) << 5 | 19  # adr x19, mask
    return struct.pack(f"<{len(code) + 1}I", address_of_mask, *code)


def pause_program(architecture: str) -> bytes:
    """The ELF file. Raises KeyError for an architecture other than amd64 and arm64."""
    machine = _MACHINES[architecture]
    body = (_AMD64 if architecture == "amd64" else _arm64()) + _MASK
    size = _HEADERS + len(body)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little-endian
    entry = _LOAD_ADDRESS + _HEADERS
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    read_and_execute = 5
    segment = struct.pack("<IIQQQQQQ", 1, read_and_execute, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, _PAGE)
    return identity + header + segment + body


def pause_archive() -> bytes:
    config = {"Entrypoint": ["/pause"], "User": NOBODY}
    variants = [
        Variant(architecture=name, entries=[Entry(path="pause", content=pause_program(name))], config=config)
        for name in sorted(_MACHINES)
    ]
    return image_archive(PAUSE, variants)
