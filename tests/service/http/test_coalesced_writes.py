"""Small responses of one event-loop iteration."""

import asyncio

from service.http.coalesced_writes import MAX_HELD, CoalescedWrites


class Transport(asyncio.Transport):
    """A transport that records what is written, or fails."""

    def __init__(self, *, fails=False, closing=False):
        super().__init__()
        self.written, self._fails, self._closing = [], fails, closing

    def is_closing(self):
        return self._closing

    def write(self, data):
        if self._fails:
            raise RuntimeError("boom")
        self.written.append(data)


def run(write):
    """Call ``write(write_soon, flush)`` on an event loop that runs one more iteration."""

    async def main():
        loop, writes = asyncio.get_running_loop(), CoalescedWrites()
        loop.set_exception_handler(lambda _loop, _context: None)
        write(lambda transport, response: writes.write_soon(loop, transport, response), writes.flush)
        await asyncio.sleep(0)

    asyncio.run(main())


def test_responses_are_written_after_the_iteration():
    one, other, during = Transport(), Transport(), []

    def write(write_soon, _flush):
        write_soon(one, b"1")
        write_soon(other, b"2")
        write_soon(one, b"3")
        during.extend([*one.written, *other.written])

    run(write)
    assert (during, one.written, other.written) == ([], [b"1", b"3"], [b"2"])


def test_flush_writes_the_held_responses_once():
    transport, flushed = Transport(), []

    def write(write_soon, flush):
        write_soon(transport, b"1")
        flush()
        flushed.extend(transport.written)

    run(write)
    assert flushed == transport.written == [b"1"]


def test_many_responses_are_written_at_once():
    transport, during = Transport(), []

    def write(write_soon, _flush):
        for _ in range(MAX_HELD):
            write_soon(transport, b"1")
        during.extend(transport.written)

    run(write)
    assert len(during) == MAX_HELD


def test_closing_transport_gets_no_response():
    transport = Transport(closing=True)
    run(lambda write_soon, _flush: write_soon(transport, b"1"))
    assert transport.written == []


def test_later_response_is_written_after_a_failed_write():
    broken, transport = Transport(fails=True), Transport()

    async def main():
        loop, writes = asyncio.get_running_loop(), CoalescedWrites()
        loop.set_exception_handler(lambda _loop, _context: None)
        for one in (broken, transport):
            writes.write_soon(loop, one, b"response")
            await asyncio.sleep(0)

    asyncio.run(main())
    assert transport.written == [b"response"]
