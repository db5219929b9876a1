"""The guests' whole operating system: a boot sector of 512 bytes.

Every BIOS tick (55 ms) it adds one to a counter and writes sector 1 of its disk:

    bytes 0-7    the magic text WGST and four zeros
    bytes 8-15   the counter, little endian, read once at boot and counted on from there
    bytes 16-23  the boot number: time stamp counter and BIOS ticks since midnight at boot

The counter says that the guest lives; a new boot number is a restart; two boot numbers taking turns
are two running copies of one guest. The sector drives the ATA ports itself: the BIOS would spin while
the storage stalls, here the processor halts between ticks and while it waits for a write.

A slow guest counts at one tick of SLOW_TICKS, and sleeps again at the others.

The code stands here already assembled, one instruction a line, so that nobody needs an assembler.
`@name` defines a label; `>name` is an 8-bit jump distance to it; `=name` is its 16-bit address; `*mask`
is a byte.
"""

from __future__ import annotations

import struct

ORIGIN = 0x7C00
SECTOR = 512
MAGIC = b"WGST\0\0\0\0"
STATE_OFFSET = SECTOR
STATE_FORMAT = "<8sQQ"
STATE_BYTES = struct.calcsize(STATE_FORMAT)
TICK_S = 0.055
SLOW_TICKS = 64

CODE = """
                31 c0                       ; xor ax, ax
                8e d8                       ; mov ds, ax
                8e c0                       ; mov es, ax
                8e d0                       ; mov ss, ax
                bc 00 7c                    ; mov sp, 0x7c00
                fc                          ; cld
@first_read     b8 01 02                    ; mov ax, 0x0201      read one sector
                bb 00 7e                    ; mov bx, buffer      at 0x7e00
                b9 02 00                    ; mov cx, 2           cylinder 0, sector 2: LBA 1
                ba 80 00                    ; mov dx, 0x80        head 0, first disk
                cd 13                       ; int 0x13
                73 >have_state              ; jnc have_state
                f4                          ; hlt                 try again at the next interrupt
                eb >first_read              ; jmp first_read
@have_state     66 c7 06 00 7e 57 47 53 54  ; mov dword [buffer], 'WGST'
                0f 31                       ; rdtsc
                66 a3 10 7e                 ; mov [buffer + 16], eax
                66 a1 6c 04                 ; mov eax, [0x46c]    BIOS ticks since midnight
                66 a3 14 7e                 ; mov [buffer + 20], eax
                ba f6 03                    ; mov dx, 0x3f6       device control:
                31 c0                       ; xor ax, ax          interrupts on
                ee                          ; out dx, al
                48                          ; dec ax
                89 c5                       ; mov bp, ax          the tick seen last
@tick           fa                          ; cli                 no tick between look and sleep
                a1 6c 04                    ; mov ax, [0x46c]
                39 e8                       ; cmp ax, bp
                75 >count                   ; jne count
                fb                          ; sti
                f4                          ; hlt
                eb >tick                    ; jmp tick
@count          fb                          ; sti
                89 c5                       ; mov bp, ax
                a8 *mask                    ; test al, mask       not at this tick
                75 >tick                    ; jnz tick
                ba f7 01                    ; mov dx, 0x1f7       status
@busy           ec                          ; in al, dx
                a8 80                       ; test al, 0x80       the last write is under way
                74 >write                   ; jz write
                f4                          ; hlt
                eb >busy                    ; jmp busy
@write          66 83 06 08 7e 01           ; add dword [buffer + 8], 1
                66 83 16 0c 7e 00           ; adc dword [buffer + 12], 0
                be =parameters              ; mov si, parameters
                ba f2 01                    ; mov dx, 0x1f2
@parameter      ac                          ; lodsb
                ee                          ; out dx, al
                42                          ; inc dx
                81 fa f8 01                 ; cmp dx, 0x1f8
                75 >parameter               ; jne parameter
                4a                          ; dec dx              status again
@data           ec                          ; in al, dx
                a8 21                       ; test al, 0x21       an error: count on at next tick
                75 >tick                    ; jnz tick
                a8 08                       ; test al, 8          the disk wants the data
                74 >data                    ; jz data
                be 00 7e                    ; mov si, buffer
                b9 00 01                    ; mov cx, 256
                ba f0 01                    ; mov dx, 0x1f0
                f3 6f                       ; rep outsw
                eb >tick                    ; jmp tick
@parameters     01 01 00 00 e0 30           ; one sector, LBA 1, master, WRITE SECTORS
"""


def assemble(slow: bool = False) -> bytes:
    """The 512 bytes of the boot sector."""
    labels: dict[str, int] = {}
    fixups: list[tuple[int, str]] = []
    out = bytearray()
    for line in CODE.splitlines():
        for token in line.partition(";")[0].split():
            if token.startswith("@"):
                labels[token[1:]] = len(out)
            elif token.startswith(">"):
                fixups.append((len(out), token))
                out += b"\0"
            elif token.startswith("="):
                fixups.append((len(out), token))
                out += b"\0\0"
            elif token == "*mask":
                out.append(SLOW_TICKS - 1 if slow else 0)
            else:
                out += bytes.fromhex(token)
    for at, token in fixups:
        target = labels[token[1:]]
        if token.startswith(">"):
            struct.pack_into("<b", out, at, target - (at + 1))
        else:
            struct.pack_into("<H", out, at, ORIGIN + target)
    assert len(out) <= SECTOR - 2
    return bytes(out.ljust(SECTOR - 2, b"\0") + b"\x55\xaa")
