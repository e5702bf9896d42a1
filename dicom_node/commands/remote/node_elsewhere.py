"""A node elsewhere: asked by its REST API, over verified TLS, with a token."""

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

import requests

from dicom_node.errors import NodeError, chain_of
from dicom_node.settings.operation.oidc import is_safe_address
from dicom_node.tls import words_for
from dicom_node.web_requests import BoundedAdapter, StreamingAdapter

Files = Sequence[tuple[str, IO[bytes]]]
"""Name of the field of a form, and a file that is open."""

_LONGEST_BYTES: Final = 64 * 2**20
_LONGEST_SECONDS: Final = 900.0
"""A canary study may take minutes."""
_FULL: Final = 507
_LONGEST_LINE: Final = 2**20
_PIECE_BYTES: Final = 2**16
_TOKEN: Final = re.compile(r"[!-~]{1,200}")


class NodeElsewhereError(NodeError):
    """The node elsewhere did not do what was asked for; the message says why."""

    reason = "node-elsewhere"


class FullNodeError(NodeElsewhereError):
    """Its disk is full; the message says what to do."""

    reason = "node-elsewhere-full"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeElsewhere:
    """One node.

    Attributes
    ----------
    url : of its console
    token : of its REST API
    certificate_authorities : PEM file; None: those of the system
    """

    url: str
    token: str
    certificate_authorities: Path | None = None

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return what the node answers.

        Raises
        ------
        NodeElsewhereError
        """
        return _document(self, self._asked("GET", path, params=query))

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Have the node do something, or ask by what belongs into no address."""
        return _document(self, self._asked("POST", path, json=body))

    def delete(self, path: str) -> dict[str, Any]:
        """Have the node remove something."""
        return _document(self, self._asked("DELETE", path))

    def content(self, path: str) -> bytes:
        """Return what the node answers, as it is."""
        return self._asked("GET", path).content

    def form(self, path: str, files: Files = (), **fields: str) -> requests.Response:
        """Send files and fields as a form.

        Parameters
        ----------
        files : name of the field, and each file that is open
        """
        named = [(field, (f"{number}", stream)) for number, (field, stream) in enumerate(files)]
        # Without a file the library would send another kind of form, which the node takes too.
        return self._asked("POST", path, data=fields, files=named or None)

    def sent(self, path: str, files: Files = (), **fields: str) -> dict[str, Any]:
        """Send files and fields as a form; return what the node answers."""
        return _document(self, self.form(path, files, **fields))

    def lines(self, path: str, **query: Any) -> Iterator[str]:
        """Yield the lines of an answer as they come, however many there are.

        Raises
        ------
        NodeElsewhereError
            The answer is cut off, or has a line that is longer than any.
        """
        with self._session(is_whole=False) as session:
            answer = self._tried(session, "GET", path, params=query, stream=True)
            try:
                yield from _lines_of(answer)
            except (requests.RequestException, OSError) as error:
                raise NodeElsewhereError(
                    f"{self.url}: the answer was cut off ({type(error).__name__}): its log says why"
                ) from error
            except ValueError as error:
                raise NodeElsewhereError(f"{self.url} gives no answer of a node") from error

    def _asked(self, method: str, path: str, **options: Any) -> requests.Response:
        with self._session() as session:
            return self._tried(session, method, path, **options)

    def _session(self, *, is_whole: bool = True) -> requests.Session:
        session = requests.Session()
        # The token is shown to this node alone, and none of ~/.netrc takes its place.
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {self.token}"
        adapter = BoundedAdapter if is_whole else StreamingAdapter
        session.mount(
            self.url,
            adapter(
                certificate_authorities=self.certificate_authorities,
                seconds=_LONGEST_SECONDS,
                longest_bytes=_LONGEST_BYTES,
                is_tls=self.url.startswith("https:"),
            ),
        )
        return session

    def _tried(
        self, session: requests.Session, method: str, path: str, **options: Any
    ) -> requests.Response:
        address = f"{self.url}{path}"
        try:
            answer = session.request(method, address, allow_redirects=False, **options)
        except (requests.RequestException, OSError) as error:
            raise NodeElsewhereError(self._unreachable(error)) from error
        if answer.ok and not answer.is_redirect:
            return answer
        kind = FullNodeError if answer.status_code == _FULL else NodeElsewhereError
        raise kind(self._refusal(answer))

    def _unreachable(self, error: Exception) -> str:
        for found in chain_of(error):
            if isinstance(found, ssl.SSLError):
                return (
                    f"{self.url}: TLS failed: {words_for(found)}. Check its certificate, and "
                    "--node-authorities"
                )
        kind = type(error).__name__
        return f"nobody answers at {self.url} ({kind}): check the address, and [console] there"

    def _refusal(self, answer: requests.Response) -> str:
        words, reason = _words_of(answer)
        if answer.status_code == 401:
            return (
                f"{self.url} does not know this token, or it has expired: make one there with "
                "'mammoclip-node tokens add NAME --role ROLE'"
            )
        if answer.status_code == 403:
            return f"{self.url} refuses: {words or 'the role of the token is too low'}"
        if not words:
            return f"{self.url} answers HTTP status {answer.status_code}: is it a node's console?"
        if reason in {"wrong-address", "wrong-request"} and (other := self._other_version()):
            return (
                f"{self.url} is version {other}, and this command {version('mammoclip-dicom')}: "
                f"use one of the same version ({words})"
            )
        return words

    def _other_version(self) -> str:
        """Return the node's version, if it is another one."""
        try:
            theirs = self.get("/api/openapi.json")["info"]["version"]
        except (NodeElsewhereError, KeyError, TypeError):
            return ""
        return "" if theirs == version("mammoclip-dicom") else str(theirs)[:40]


def node_elsewhere(
    url: str, *, token: str, token_file: Path | None, certificate_authorities: Path | None
) -> NodeElsewhere:
    """Return the node at an address, once it is known that the token stays secret.

    Parameters
    ----------
    token : of the environment variable MAMMOCLIP_TOKEN
    token_file : whose first line is the token; it counts before the variable

    Raises
    ------
    NodeElsewhereError
        The address is none or is not safe, or there is no token.
    """
    parts = urlsplit(url)
    if not is_safe_address(url) or parts.query:
        raise NodeElsewhereError(
            f"--node {url}: give the address of its console, https://HOST:PORT (http:// for this "
            "machine alone: anybody on the way could read the token)"
        )
    if token_file is not None:
        token = token_file.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    token = token.strip()
    if not token:
        raise NodeElsewhereError(
            "--node needs a token of that node: in the environment variable MAMMOCLIP_TOKEN, or in "
            "a file that --token-file names"
        )
    if not _TOKEN.fullmatch(token):
        raise NodeElsewhereError("the token is none: it has 1 to 200 letters, digits and signs")
    return NodeElsewhere(
        url=url.rstrip("/"), token=token, certificate_authorities=certificate_authorities
    )


def restored(value: Any) -> Any:
    """Return a JSON value with its instants as such again, by the names of their keys."""
    if isinstance(value, list):
        return [restored(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: one
        if key in {"studies", "summary", "waiting"}
        else _instant(one)
        if key.endswith("_at") or key in {"at", "since"}
        else restored(one)
        for key, one in value.items()
    }


def _instant(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _document(node: NodeElsewhere, answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NodeElsewhereError(f"{node.url} gives no answer of a node: is it a node's console?")
    return found


def _lines_of(answer: requests.Response) -> Iterator[str]:
    """Yield the lines of an answer that is read as it comes.

    Raises
    ------
    ValueError
        A line is too long, or no text.
    """
    rest = b""
    for piece in answer.iter_content(_PIECE_BYTES):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.decode("utf-8") for line in whole)
        if len(rest) > _LONGEST_LINE:
            raise ValueError("a line is too long")
    if rest:
        yield rest.decode("utf-8")


def _words_of(answer: requests.Response) -> tuple[str, str]:
    try:
        found: Mapping[str, Any] = answer.json()
        return str(found["error"])[:2000], str(found["reason"])
    except (ValueError, KeyError, TypeError):
        return "", ""
