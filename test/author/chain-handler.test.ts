import t from 'tap';
import { chainHandlerFactory } from '../../src/author/chain-handler.js';
import type { DeviceDefinition, WorkerDevice } from '../../src/author/definition.js';
import { Batch } from '../../src/core/virtqueue/batch.js';
import { CommandWriter } from '../../src/core/virtqueue/command-writer.js';
import type { DescriptorChain } from '../../src/core/virtqueue/descriptor-chain.js';
import { exchange } from '../../src/native/index.js';

type Device = WorkerDevice<unknown, { seen: number }>;
type Definition = DeviceDefinition<never, { seen: number }>;

/** A handler between tables, with 8 bytes in each part of every chain. */
class Rig {
  readonly tables = new exchange.Exchange();
  readonly #commands = new CommandWriter(this.tables);
  readonly #batch = new Batch(this.tables);
  readonly watched: (readonly number[])[] = [];
  readonly handler;
  readonly devices: Device[] = [];

  constructor(process: (chain: DescriptorChain, device: Device) => void) {
    const definition: Definition = {
      module: import.meta.url,
      name: 'test',
      virtioId: 42,
      queues: 4,
      open: (options) => ({ seen: (options as { start: number }).start }),
      process: (queue, chain, device) => {
        t.equal(queue, chain.queue);
        this.devices[0] = device;
        device.state.seen++;
        process(chain, device);
      },
      event: (token, hungUp, { state }) => {
        this.watched.push([token, Number(hungUp), state.seen]);
      },
      close: ({ state }) => {
        this.watched.push([state.seen]);
      },
    };
    this.handler = chainHandlerFactory(definition).create({
      options: { start: 10 },
      commands: this.#commands,
      move: () => 0,
      askKicks: () => {},
      paceCalls: () => {},
      receiveScattered: () => 0,
      callAgain: () => {},
      addFile: () => {},
      copyOut: (_, offset, to, bytes) => {
        to.fill(offset, 0, bytes);
        return bytes;
      },
      copyIn: (_chain, _offset, _from, bytes) => bytes,
      watch: (...words) => this.watched.push(words as number[]),
      useArena: () => {},
      useCapture: () => {},
      capture: () => {},
      keepChains: () => {},
      forwardFrames: () => {},
      limitTurn: () => {},
      unwatch: (token) => this.watched.push([token]),
    });
  }

  /** Chains by their numbers. */
  requests(...chains: number[]): void {
    chains.forEach((chain, i) => {
      this.tables.requests.set([chain, 8, 8], i * exchange.RECORD_WORDS);
    });
    this.#batch.count = chains.length;
    this.handler.requests(this.#batch);
  }

  /** Chain and used length of each completion so far. */
  completions(): [number, number][] {
    const count = this.#commands.take();
    const words = this.tables.commands;
    return Array.from({ length: count }, (_, i) => {
      const at = i * exchange.RECORD_WORDS;
      t.equal(words[at + exchange.COMMAND_CODE], exchange.OP_COMPLETE);
      return [
        words[at + exchange.COMMAND_CHAIN] as number,
        words[at + exchange.COMMAND_USED_LENGTH] as number,
      ];
    });
  }
}

const at = (queue: number, head: number) => (queue << 16) | head;

t.test('what process leaves is completed with what it wrote', async (t) => {
  const rig = new Rig((chain) => {
    chain.writer.write(new Uint8Array(chain.head));
    if (chain.head === 2) {
      chain.complete();
    }
  });
  rig.requests(at(0, 0), at(1, 2), at(3, 8));
  t.same(rig.completions(), [
    [at(0, 0), 0],
    [at(1, 2), 2],
    [at(3, 8), 8],
  ]);
  t.equal(rig.devices[0]?.state.seen, 13, 'one state for all');
});

t.test('a chain too short goes back, the next is served', async (t) => {
  const rig = new Rig((chain) => {
    chain.writer.u8(1);
    if (chain.head === 1) {
      chain.reader.bytes(9);
    }
    if (chain.head === 2) {
      chain.complete();
      chain.writer.u8(1);
    }
  });
  rig.requests(at(0, 1), at(0, 2), at(0, 3));
  t.same(rig.completions(), [
    [1, 1],
    [2, 1],
    [3, 1],
  ]);
});

t.test('any other error is the device’s own', async (t) => {
  const rig = new Rig(() => {
    throw new TypeError('a bug');
  });
  t.throws(() => rig.requests(at(0, 1)), TypeError);
});

t.test('kept chains: oldest first, until completed', async (t) => {
  const rig = new Rig((chain) => chain.keep());
  rig.requests(at(0, 1), at(1, 2), at(0, 3), at(0, 4));
  t.same(rig.completions(), []);
  const device = rig.devices[0] as Device;
  t.equal(device.kept(0)?.head, 1);
  device.kept(0)?.complete();
  t.equal(device.kept(0)?.head, 3);
  t.equal(device.kept(1)?.head, 2);
  t.equal(device.kept(2), undefined);
  device.kept(0)?.writer.u16(7);
  t.same(rig.completions(), [[1, 0]]);
  rig.handler.drain?.(0);
  rig.handler.drain?.(2);
  t.same(rig.completions(), [
    [3, 2],
    [4, 0],
  ]);
  t.equal(device.kept(0), undefined);
  t.equal(device.kept(1)?.head, 2, 'another queue keeps its own');
});

t.test('events, messages of no interest, the end', async (t) => {
  const rig = new Rig((_, device) => {
    device.watch(5, 6);
    device.unwatch(6);
  });
  rig.requests(at(0, 1));
  rig.handler.event?.(6, true);
  rig.handler.completion(1, 2, 3);
  rig.handler.close?.();
  t.same(rig.watched, [[5, 6], [6], [6, 1, 11], [11]]);
});

t.test('RG-046: a request changes what its followers in the same batch may do', async (t) => {
  const wrote: [number, number][] = [];
  let readOnly = false;
  const rig = new Rig((chain) => {
    if (chain.head === 2) {
      readOnly = true;
    }
    if (!readOnly) {
      chain.writer.u8(1);
    }
    wrote.push([chain.head, chain.usedBytes]);
  });
  rig.requests(1, 2, 3);
  t.same(wrote, [
    [1, 1],
    [2, 0],
    [3, 0],
  ]);
  t.same(rig.completions(), [
    [1, 1],
    [2, 0],
    [3, 0],
  ]);
});
