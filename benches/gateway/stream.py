"""An upstream that streams the lines of a file. Arguments: port, file. A question with the word HOLD gets one line, and
then silence until the client goes."""

import asyncio
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
OWN = {"/api/version": b'{"version":"0.33.0"}', "/api/tags": b'{"models":[]}', "/api/ps": b'{"models":[]}'}


def chunk(line):
    return b"%x\r\n%s\r\n" % (len(line), line)


async def serve(reader, writer, lines):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            fields = dict(field.lower().split(": ", 1) for field in head.split("\r\n")[1:] if field)
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            if path in OWN:
                answer = OWN[path]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
                await writer.drain()
                continue
            writer.write(HEAD)
            writer.write(chunk(lines[0]))
            if b"HOLD" in body:
                await reader.read()
                return
            for line in lines[1:]:
                writer.write(chunk(line))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # The client went.
    finally:
        writer.close()


async def main(port, path):
    with open(path, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    server = await asyncio.start_server(lambda *ends: serve(*ends, lines), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
