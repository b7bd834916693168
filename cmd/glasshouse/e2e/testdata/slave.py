"""A Modbus slave by pymodbus, driven by lines on standard input: TCP on a port, or RTU on a serial device at 9600 8N1.

Unit 1: input registers 1 (temperature, 0.1 degC) and 2 (humidity, 0.1 %). Unit 10: coils 0..7.
  input UNIT ADDRESS VALUE   sets an input register        answers "ok"
  coils UNIT                 answers the eight coils: "10000000"
  force UNIT ADDRESS VALUE   sets a coil from outside      answers "ok"
It prints "ready" once it listens, and ends with its standard input.
"""
import asyncio
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.framer.rtu_framer import ModbusRtuFramer
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer


def unit():
    return ModbusSlaveContext(
        di=ModbusSequentialDataBlock(0, [0] * 100),
        co=ModbusSequentialDataBlock(0, [0] * 100),
        hr=ModbusSequentialDataBlock(0, [0] * 100),
        ir=ModbusSequentialDataBlock(0, [0] * 100),
        zero_mode=True,
    )


async def commands(units):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        word, unit_id, *rest = line.split()
        context = units[int(unit_id)]
        if word == b"input":
            context.setValues(4, int(rest[0]), [int(rest[1])])
            print("ok", flush=True)
        elif word == b"force":
            context.setValues(1, int(rest[0]), [int(rest[1])])
            print("ok", flush=True)
        elif word == b"coils":
            print("".join("1" if c else "0" for c in context.getValues(1, 0, count=8)), flush=True)


async def tcp(context, port):
    server = asyncio.create_task(StartAsyncTcpServer(context, address=("127.0.0.1", port)))
    await asyncio.sleep(0)
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        except OSError:
            await asyncio.sleep(0.1)
    return server


async def rtu(context, device):
    server = await StartAsyncSerialServer(
        context, framer=ModbusRtuFramer, port=device, baudrate=9600, bytesize=8, parity="N", stopbits=1, defer_start=True
    )
    await server.start()
    return asyncio.create_task(server.serve_forever())


async def main():
    units = {1: unit(), 10: unit()}
    context = ModbusServerContext(slaves=units, single=False)
    where = sys.argv[1]
    server = await (rtu(context, where) if where.startswith("/") else tcp(context, int(where)))
    print("ready", flush=True)
    await commands(units)
    server.cancel()


asyncio.run(main())
