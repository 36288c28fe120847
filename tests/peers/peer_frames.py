"""A web socket by hand. `send HEX` sends a message; of each that comes it says `came HEX`, and `closed` at the end."""
import argparse
import asyncio

import peer
import websockets


async def tell(socket):
    async for message in socket:
        peer.say("came " + message.hex())
    peer.say("closed")


async def run(url):
    async with websockets.connect(url, max_size=None, compression=None) as socket:
        telling = asyncio.create_task(tell(socket))
        peer.ready("port=0")
        stdin = await peer.lines()
        while line := (await stdin.readline()).decode().split():
            if line[0] == "quit":
                break
            await socket.send(bytes.fromhex(line[1]))
    await telling


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("url")
asyncio.run(run(parser.parse_args().url))
