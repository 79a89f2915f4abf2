from support.raw import *
async def test_x(target, journal):
    """x."""
    a = await target.send(post(), b"GET /nix HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", seconds=3)
    print(target.name, a, journal.records[0][2] if journal.records else None)
    assert 0
