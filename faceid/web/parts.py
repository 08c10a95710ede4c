"""A multipart/form-data body, part by part as it arrives. Files go to one temporary file on the disk, texts to memory.

Knows RFC 7578 through python-multipart, and what requests, curl, node's form-data and browsers make of it; no key's
meaning. What is too much is refused at the byte that makes it so.
"""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from faceid.domain import Upload
from faceid.errors import BadBody, BodyTooLarge, InvalidRequest, StorageFull
from faceid.limits import LIMITS
from faceid.validation import clean_file_name
from faceid.web.nesting import parse_key, shorten

IN_MEMORY_BYTES = 2**20

_unheard = logging.getLogger(f"{__name__}.unheard")
_unheard.setLevel(logging.CRITICAL + 1)  # and not `disabled`: uvicorn enables every logger that there is

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")


class FilePart(NamedTuple):
    """A file of the body: the name it has in messages, and where in the temporary file its bytes are."""

    name: str
    start: int
    size: int


class MultipartReader:
    """Takes the body's bytes by `write`; afterwards `pairs` gives its keys and values, `upload` a file's bytes."""

    def __init__(self, boundary: bytes):
        """`boundary` is the Content-Type's; BadBody where there is none."""
        if not _BOUNDARY.fullmatch(boundary):
            raise BadBody("The Content-Type multipart/form-data names no boundary. HTTP libraries add it themselves.")
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._content,
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        self._parser = MultipartParser(boundary, callbacks)  # limits a header to 4 KB, a part to 8 of them
        self._parser.logger = _unheard  # it warns of every broken body: strangers could fill the log
        self._spool = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  see close
        self._pairs: list[tuple[str, str | FilePart | None]] = []
        self._parts, self._text_bytes, self._spooled = 0, 0, 0
        self._finished = False

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. BadBody, BodyTooLarge, StorageFull; InvalidRequest for a file that is too large."""
        try:
            with full_disk_explained():
                self._parser.write(chunk)
        except FormParserError as error:
            raise BadBody("The multipart body cannot be read: its parts do not follow RFC 7578.") from error

    def pairs(self) -> list[tuple[str, str | FilePart | None]]:
        """Keys and values in their order; an empty text or a file field without a file is None."""
        if not self._finished:
            raise BadBody("The multipart body ends before its last boundary. Send it again.")
        return self._pairs

    def upload(self, part: FilePart) -> Upload:
        """The file, read into memory."""
        self._spool.seek(part.start)
        return Upload(part.name, self._spool.read(part.size))

    def close(self) -> None:
        """Remove the temporary file."""
        self._spool.close()

    # The parser's callbacks

    def _begin(self) -> None:
        self._parts += 1
        most = int(LIMITS["body_values"].high)
        if self._parts > most:
            raise BodyTooLarge(f"The body has more than {most} parts, which is the most that is taken.")
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = bytearray(), bytearray()
        self._key = ""
        self._file_name: str | None = None
        self._start, self._text = self._spooled, bytearray()

    def _header_name(self, chunk: bytes, start: int, end: int) -> None:
        self._name += chunk[start:end]

    def _header_value(self, chunk: bytes, start: int, end: int) -> None:
        self._value += chunk[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        kind, options = parse_options_header(disposition)
        if kind != b"form-data" or not options.get(b"name"):
            raise BadBody(f"Part {self._parts} of the body has no Content-Disposition: form-data with a name.")
        self._key = _decode(options[b"name"], f"The key of part {self._parts}")
        parse_key(self._key)
        if b"filename" in options:
            self._file_name = _decode(options[b"filename"], f"{shorten(self._key)}: the file's name")
        elif extended := re.search(rb"filename\*\s*=\s*utf-8''([^;\s]*)", disposition, re.IGNORECASE):
            self._file_name = unquote(extended[1].decode("latin-1"), errors="replace")  # what urllib3 1 sends

    def _content(self, chunk: bytes, start: int, end: int) -> None:
        if self._file_name is None:
            self._text_bytes += end - start
            most = int(LIMITS["body_text_bytes"].high)
            if self._text_bytes > most:
                raise BodyTooLarge(f"The texts of the body have more than {most // 2**20} MB. Send photos as files.")
            self._text += chunk[start:end]
            return
        most = int(LIMITS["photo_bytes"].high)
        self._spooled += self._spool.write(chunk[start:end])
        if self._spooled - self._start > most:
            key = shorten(self._key)
            name = clean_file_name(self._file_name)
            raise InvalidRequest(
                f"{key}: {name!r} has more than {most // 2**20} MB, the most that is taken.", field=key
            )

    def _end(self) -> None:
        key = shorten(self._key)
        if self._file_name is None:
            text = _decode(self._text, f"{key}: the value", "; a file needs a filename in its Content-Disposition")
            self._pairs.append((self._key, text or None))
            return
        size = self._spooled - self._start
        name = clean_file_name(self._file_name)
        if not size and not name:  # a browser's file field that was left empty
            self._pairs.append((self._key, None))
            return
        if not name or self._file_name == self._key:  # requests gives bytes without a name the key's
            field = [part for part in parse_key(self._key) if part][-1]
            name = f"{clean_file_name(field)} {1 + sum(1 for other, _ in self._pairs if other == self._key)}"
        self._pairs.append((self._key, FilePart(name, self._start, size)))

    def _finish(self) -> None:
        self._finished = True


@contextmanager
def full_disk_explained() -> Iterator[None]:
    """StorageFull where files cannot be written because the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in StorageFull.ERRNOS:
            raise
        raise StorageFull("The disk is full, so the files could not be taken. Try again later.") from error


def _decode(text: bytes | bytearray, what: str, advice: str = "") -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadBody(f"{what} is not UTF-8{advice}.") from error
