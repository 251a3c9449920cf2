"""Tells whether a file is cut short: whether it ends before its own header says that it does.

Reads the packets of an open file, and the first or last bytes of the file itself where libavformat
does not pass on what the header states. Used by frames.py, decord_frames.py and waveform.py.

What states the length, by format:

- MP4, MOV: the index of packets; MP3: the number of packets, if the first is a Xing, Info or VBRI
  frame; AVI: the number of frames or samples of a track (`strh`)
- Matroska, WebM (`Duration`), FLV, FLAC, AIFF, AU: the duration
- WAV, W64: the size of the RIFF chunk; ASF (WMA, WMV): the size of the file
- Ogg, MPEG transport and program streams, fragmented MP4: nothing does, but a last page or packet
  that is incomplete shows that they were cut

Nothing states the length of a live or piped stream that ends with a packet, of raw AAC or AC-3, of
CAF, or of an MP3 without such a frame: if they were cut, it goes unnoticed.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meld_lightning.media.errors import MediaError

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

CUT_SHORT = "cut short; media.keep_cut=true keeps what is left"
SLACK_S = 0.2  # headers are rounded, and count a codec's padding or not; one packet comes on top
SLACK_BYTES = 4096  # some writers count the eight bytes before the size, or padding
SPARE_PACKETS = 8  # of an MP3, about as long: some count frames that hold no sound
HEAD = 1 << 16  # bytes at the start of a file in which its header is looked for
TS_PACKET, TS_PACKET_SIZES, TS_SYNC = 188, (188, 192, 204), b"\x47"
OGG_PAGE = 1 << 16  # the largest page has 65,307 bytes
OGG_HEADER = 27  # bytes, the last of which is the number of segment sizes that follow
# Sizes that a writer leaves in the header if it could not go back: 0, or as many as fit.
UNKNOWN = (0, 0xFFFFFFFF)
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")


class PacketReader:
    """Reads the packets of one track, and keeps count of what the whole file holds."""

    def __init__(
        self, container: InputContainer, track: VideoStream | AudioStream, path: str | Path
    ) -> None:
        self.container, self.track, self.path = container, track, Path(path)
        self._names = container.format.name.split(",")
        self.packets = 0  # those of the track that hold data
        self._listed = 0  # all of them: an MP4 lists empty ones, too
        self._ends: dict[int, int] = {}  # of each track, in its time base
        self._last: dict[int, list[Packet]] = {}  # the last two of each track
        self._stopped: str | None = None  # the error that reading ended with

    def __iter__(self) -> Iterator[Packet]:
        """The packets of the track that hold data. An error of the file ends them, as in ffmpeg."""
        import av

        # an index that is not in fragments tells all about the track itself
        own = "mp4" in self._names and self.track.frames > 0
        packets = self.container.demux(self.track) if own else self.container.demux()
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._stopped = error.strerror
                return
            if packet is None:
                return
            time, index = packet.pts if packet.pts is not None else packet.dts, packet.stream_index
            if time is None and not packet.size:
                continue  # flushes the decoder
            self._last[index] = [*self._last.get(index, ())[-1:], packet]
            if time is not None:
                self._ends[index] = max(self._ends.get(index, 0), time + (packet.duration or 0))
            if index == self.track.index:
                self._listed += 1
                if packet.size:
                    self.packets += 1
                    yield packet

    def check(self, keep_cut: bool) -> str | None:
        """How the file is cut short, if it is and `keep_cut` is true; after all packets were read.

        Raises MediaError if it is and `keep_cut` is false.
        """
        cut = self._cut()
        if cut and not keep_cut:
            raise MediaError(self.path, CUT_SHORT, cut)
        return cut

    def _cut(self) -> str | None:
        if self._stopped:
            return f"it cannot be read to its end ({self._stopped})"
        names = self._names
        stated = _stated_bytes(self.path, names[0])
        size = self.path.stat().st_size
        if stated is not None and size + SLACK_BYTES < stated:
            return f"it has {size:,} of the {stated:,} bytes that its header states"
        if names[0] == "ogg" and _ends_within_page(self.path):
            return "its last page is incomplete"
        if names[0] == "mpegts" and _ends_within_packet(self.path):
            return "its last packet is incomplete"
        listed, spare = (len(self.track.index_entries) if "mp4" in names else 0), 0
        if "mp3" in names:
            listed, spare = _xing_frames(self.path) or 0, SPARE_PACKETS
        if self._listed < listed - spare:
            return f"it holds {self._listed} of the {listed} packets that its header lists"
        return self._too_early() or self._incomplete()

    def _too_early(self) -> str | None:
        stated = self._stated_seconds()
        if stated is None or not self.packets:
            return None
        ends = {
            index: float(end * (self.container.streams[index].time_base or 0))
            for index, end in self._ends.items()
        }
        own = ends.get(self.track.index, 0.0)
        end = max(ends.values(), default=0.0) if _for_the_file(self._names) else own
        if end + SLACK_S + own / self.packets >= stated:
            return None
        return f"it ends after {end:.2f} of the {stated:.2f} s that its header states"

    def _stated_seconds(self) -> float | None:
        track, names = self.track, self._names
        if "avi" in names and track.time_base is not None:
            return float(track.frames * track.time_base)
        if "flv" in names or ("matroska" in names and _has_duration_element(self.path)):
            return None if self.container.duration is None else self.container.duration / 1e6
        if (
            not {"flac", "aiff", "au"} & set(names)
            or track.duration is None
            or track.time_base is None
        ):
            return None
        return float(track.duration * track.time_base)

    def _incomplete(self) -> str | None:
        """Whether the data of a track ends too early for its last packet, which libavformat may
        then have divided into two.

        PCM has no packets: it is read in blocks, the last of which may be incomplete.
        """
        for packet in itertools.chain(*self._last.values()):
            context: Any = packet.stream.codec_context
            if packet.is_corrupt and context and not context.name.startswith("pcm_"):
                return "its last packet is incomplete"
        return None


def _for_the_file(names: list[str]) -> bool:
    """Whether the header states one length for all tracks, some of which may be shorter."""
    return "matroska" in names or "flv" in names


def _stated_bytes(path: Path, name: str) -> int | None:
    if name not in ("wav", "w64", "asf"):
        return None
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head[:4] == b"RIFF":
        [size] = struct.unpack_from("<I", head, 4)
        return None if size in UNKNOWN else size + 8
    if head[:4] == b"RF64" and head[12:16] == b"ds64":
        [size] = struct.unpack_from("<Q", head, 20)
        return None if size in UNKNOWN else size + 8
    if head[:16] == W64_RIFF:
        [size] = struct.unpack_from("<Q", head, 16)
        return None if size in UNKNOWN or size >> 62 else size
    place = head.find(ASF_FILE_PROPERTIES)
    if place < 0 or len(head) < place + 92:
        return None
    [size] = struct.unpack_from("<Q", head, place + 40)
    [flags] = struct.unpack_from("<I", head, place + 88)
    return None if size == 0 or flags & 1 else size  # the flag marks a broadcast


def _has_duration_element(path: Path) -> bool:
    """Whether a Matroska file's Info (1549A966) holds a Duration (4489), a float of 4 or 8 bytes;
    otherwise libavformat may have estimated one from the bit rate."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    info = head.find(b"\x15\x49\xa9\x66")
    return info >= 0 and any(head.find(b"\x44\x89" + n, info) >= 0 for n in (b"\x84", b"\x88"))


def _xing_frames(path: Path) -> int | None:
    """How many frames an MP3's first frame says that there are; None if it does not.

    It starts with "Xing" or "Info", four bytes of flags, the last of which says whether the number
    follows; or with "VBRI", 10 bytes of other fields and the number.
    """
    with path.open("rb") as file:
        head = file.read(10)
        tag = 0
        if head[:3] == b"ID3":
            tag = 10 + sum((byte & 127) << 7 * (3 - n) for n, byte in enumerate(head[6:10]))
        file.seek(tag)
        first = file.read(2048)
    for name, offset in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        place = first.find(name)
        if 0 <= place < len(first) - offset - 4:
            [frames] = struct.unpack_from(">I", first, place + offset)
            return int(frames) if name == b"VBRI" or first[place + 7] & 1 else None
    return None


def _ends_within_page(path: Path) -> bool:
    """Whether an Ogg file ends in the middle of a page (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * OGG_PAGE))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < OGG_HEADER:
        return bool(page)
    segments = page[OGG_HEADER - 1]
    table = page[OGG_HEADER : OGG_HEADER + segments]
    return len(page) < OGG_HEADER + segments + sum(table)


def _ends_within_packet(path: Path) -> bool:
    """Whether an MPEG transport stream ends in the middle of one of its packets, which all have
    one size and start with a sync byte (ISO/IEC 13818-1, section 2.4.3.2).

    In M2TS (192 bytes) a time code precedes each packet, in DVB (204 bytes) a checksum follows.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    for size in TS_PACKET_SIZES:
        for start in range(size):
            syncs = head[start::size]
            if len(syncs) > 1 and syncs == TS_SYNC * len(syncs):
                ends = path.stat().st_size - start
                return ends % size not in (0, TS_PACKET)
    return False
