"""Requests that two readers of HTTP might cut in different places.

Each hides a second webhook, with an INN of its own, in what one of them takes for the body, or for
the next request. In the journal it would be a payment that nobody before the service ever saw.
"""

from support.raw import KIND, chunked, post
from support.webhooks import GOOD, changed

HIDDEN_INN = "7707083893"
HIDDEN = post(body=changed(payer_inn=HIDDEN_INN))
_CHUNKED = b"Transfer-Encoding: chunked"
_LENGTH = b"Content-Length: %d" % len(GOOD)
_ENDS = b"0\r\n\r\n"


def _line(line: bytes, rest: bytes = b"", end: bytes = b"\r\n") -> bytes:
    """Give a webhook whose request line is another."""
    return line + end + b"Host: localhost" + end + KIND + _LENGTH + end + end + GOOD + rest


NOT_HTTP: dict[str, bytes] = {
    # Both lengths: RFC 9112, section 6.3, has it that this ought to be handled as an error.
    "CL and TE": post(b"Content-Length: 5", _CHUNKED, body=_ENDS + HIDDEN),
    "TE and CL": post(_CHUNKED, b"Content-Length: %d" % len(chunked(GOOD)), body=chunked(GOOD)),
    "TE and CL of 0": post(_CHUNKED, b"Content-Length: 0", body=chunked(GOOD) + HIDDEN),
    "TE behind a tab, and CL": post(b"Transfer-Encoding:\tchunked", _LENGTH, body=_ENDS + HIDDEN),
    "TE with a space before its colon": post(
        b"Transfer-Encoding : chunked", _LENGTH, body=_ENDS + HIDDEN
    ),
    "TE folded": post(b"Transfer-Encoding:\r\n chunked", _LENGTH, body=_ENDS + HIDDEN),
    "TE folded in the middle": post(b"X: y\r\n Transfer-Encoding: chunked", _LENGTH),
    "TE of another kind": post(b"Transfer-Encoding: xchunked", _LENGTH, body=GOOD + HIDDEN),
    "TE of another kind alone": post(b"Transfer-Encoding: xchunked", body=chunked(GOOD)),
    "TE quoted": post(b'Transfer-Encoding: "chunked"', body=chunked(GOOD)),
    "TE identity": post(b"Transfer-Encoding: identity", _LENGTH),
    "TE identity, then chunked": post(b"Transfer-Encoding: identity, chunked", body=chunked(GOOD)),
    "TE chunked, then identity": post(b"Transfer-Encoding: chunked, identity", body=chunked(GOOD)),
    "TE chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=chunked(GOOD)),
    "TE in two lines": post(_CHUNKED, _CHUNKED, body=chunked(GOOD)),
    "TE in two lines, of two kinds": post(
        _CHUNKED, b"Transfer-Encoding: identity", body=chunked(GOOD)
    ),
    "TE of gzip and chunked": post(b"Transfer-Encoding: gzip, chunked", body=chunked(GOOD)),
    "TE with NUL": post(b"Transfer-Encoding: chunked\0", body=chunked(GOOD)),
    "TE with a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=chunked(GOOD)),
    "TE and a letter that is not ASCII": post(b"Transfer-Encoding: \xffchunked", body=_ENDS),
    "CL twice, different": post(b"Content-Length: 0", _LENGTH, body=GOOD + HIDDEN),
    "CL twice, the same": post(_LENGTH, _LENGTH),
    "CL as a list": post(b"Content-Length: %d, %d" % (len(GOOD), len(GOOD))),
    "CL as a list of two": post(b"Content-Length: 0, %d" % len(GOOD), body=GOOD + HIDDEN),
    "CL with a plus sign": post(b"Content-Length: +%d" % len(GOOD)),
    "CL with a minus sign": post(b"Content-Length: -%d" % len(GOOD), body=HIDDEN),
    "CL with a space in it": post(b"Content-Length: 1 %d" % len(GOOD), body=GOOD + HIDDEN),
    "CL with a space before its colon": post(b"Content-Length : %d" % len(GOOD)),
    "CL folded": post(b"Content-Length:\r\n %d" % len(GOOD)),
    "CL in hexadecimal": post(b"Content-Length: 0x%x" % len(GOOD)),
    "CL with an underscore": post(b"Content-Length: 1_0"),
    "CL empty": post(b"Content-Length:", body=HIDDEN),
    "CL of 2**64": post(b"Content-Length: %d" % 2**64, body=HIDDEN),
    "CL of 2**64 and the length": post(b"Content-Length: %d" % (2**64 + len(GOOD))),
    "CL in Arabic digits": post("Content-Length: ١٤".encode()),
    "a chunk of 2**64": post(_CHUNKED, body=b"%x\r\n" % 2**64 + HIDDEN),
    "a chunk of 2**64 and one": post(_CHUNKED, body=b"%x\r\n0" % (2**64 + 1) + HIDDEN),
    "a chunk of minus one": post(_CHUNKED, body=b"-1\r\n" + HIDDEN),
    "a chunk with a plus sign": post(_CHUNKED, body=b"+%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)),
    "a chunk with 0x": post(_CHUNKED, body=b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)),
    "a chunk with an underscore": post(_CHUNKED, body=b"1_0\r\n" + HIDDEN),
    "a chunk without size": post(_CHUNKED, body=b"\r\n" + GOOD + b"\r\n0\r\n\r\n"),
    "a chunk longer than its size": post(_CHUNKED, body=b"3\r\n" + GOOD + b"\r\n0\r\n\r\n"),
    "a chunk that LF ends": post(_CHUNKED, body=b"%x\n%b\n0\n\n" % (len(GOOD), GOOD)),
    "a chunk that CR ends": post(_CHUNKED, body=b"%x\r%b\r0\r\r" % (len(GOOD), GOOD)),
    "a chunk's extension with LF": post(
        _CHUNKED, body=b"%x;a\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    ),
    "a length among the trailers": post(
        _CHUNKED, body=chunked(GOOD)[:-2] + b"Content-Length: 5\r\n\r\n" + HIDDEN
    ),
    "a header's LF alone": post(b"X: y\nTransfer-Encoding: chunked", _LENGTH),
    "a header's CR alone": post(b"X: y\rTransfer-Encoding: chunked", _LENGTH),
    "every line ends with LF": post().replace(b"\r\n", b"\n"),
    "every line ends with CR": post().replace(b"\r\n", b"\r"),
    "a header with NUL": post(b"X: y\0z"),
    "a header's name with NUL": post(b"X\0: y"),
    "a header's name with a space": post(b"X Y: z"),
    "a header without a colon": post(b"X"),
    "a header without a name": post(b": y"),
    "the first header folded": post().replace(b"\r\nHost", b"\r\n Host", 1),
    "no host": post().replace(b"Host: localhost\r\n", b""),
    "two hosts": post(b"Host: elsewhere"),
    "HTTP/0.9": b"GET /api/webhook/bank/\r\n\r\n" + HIDDEN,
    "HTTP/9.9": _line(b"POST /api/webhook/bank/ HTTP/9.9"),
    "HTTP/1.11": _line(b"POST /api/webhook/bank/ HTTP/1.11"),
    "HTTP/2 in clear text": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "a method with a space": _line(b" POST /api/webhook/bank/ HTTP/1.1"),
    "a request line with a tab": _line(b"POST\t/api/webhook/bank/\tHTTP/1.1"),
    "a request line with NUL": _line(b"POST /api/webhook/bank/\0 HTTP/1.1"),
    "a request line with a space more": _line(b"POST /api/webhook/bank/ x HTTP/1.1"),
    "a request line that LF ends": _line(b"POST /api/webhook/bank/ HTTP/1.1", end=b"\n"),
}
"""What is refused as a whole: 400, and nothing of the connection is read any more."""

PROXY_READS = {
    "CL and TE",
    "TE and CL",
    "TE and CL of 0",
    "TE behind a tab, and CL",
    "TE folded",
    "TE folded in the middle",
    "CL twice, the same",
    "CL folded",
    "a length among the trailers",
    "every line ends with LF",
    "a request line that LF ends",
}
"""What Go's reader of HTTP, which is the proxy's, takes for HTTP, as RFC 9112 lets it. It writes
the request anew for the service, so the two can't take it for different ones."""

ONE: dict[str, bytes] = {
    "in chunks": post(_CHUNKED, body=chunked(GOOD)),
    "in chunks of a byte": post(_CHUNKED, body=chunked(GOOD, 1)),
    "in capitals": post(b"TRANSFER-ENCODING: CHUNKED", body=chunked(GOOD)),
    "a chunk's size with zeros before it": post(
        _CHUNKED, body=b"000000%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    ),
    "a chunk's extension": post(_CHUNKED, body=b'%x;a="b"\r\n%b\r\n0\r\n\r\n' % (len(GOOD), GOOD)),
    "trailers": post(_CHUNKED, body=chunked(GOOD)[:-2] + b"X-Request-ID: a-trailer\r\n\r\n"),
    "a length with zeros before it": post(b"Content-Length: 000%d" % len(GOOD)),
    "the address as a whole": _line(b"POST http://localhost/api/webhook/bank/ HTTP/1.1"),
    "HTTP/1.0": _line(b"POST /api/webhook/bank/ HTTP/1.0"),
}
"""What every reader of HTTP takes for one webhook."""
