// CS rows of the memory table and the set-up of vrings.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import t from 'tap';
import {
  encodeFrontendRequest,
  encodeRequest,
  type MemoryRegion,
  payloadCodec,
  VHOST_USER_F_PROTOCOL_FEATURES,
  type VringAddr,
} from '../../src/core/protocol/index.js';
import { check, native } from '../../src/native/index.js';
import type { TestFrontend } from '../../src/testing/index.js';
import {
  type Answer,
  ask,
  checkClean,
  checkHealthy,
  drained,
  outcome,
  pause,
  postWrites,
  type Row,
  restart,
  runRows,
  withDaemon,
} from './support.js';

const ACK = { needReply: true };
const U64_MAX = 2n ** 64n - 1n;
const SET_MEM_TABLE = 5;

const table = (frontend: TestFrontend, regions: readonly Partial<MemoryRegion>[]) =>
  outcome(
    frontend.frontend.setMemTable(
      regions.map((region) => ({ ...frontend.memory.region, ...region })),
      regions.map(() => frontend.memory.fd),
    ),
  );

/** A table whose count is a lie. */
const tableOf = (count: number) => async (frontend: TestFrontend) => {
  const { region, fd } = frontend.memory;
  const message = encodeFrontendRequest('SET_MEM_TABLE', { regions: [region] }, ACK);
  new DataView(message.buffer).setUint32(12, count, true);
  return (await ask(frontend, message, [fd])).answer;
};

const one = (region: Partial<MemoryRegion>) => (frontend: TestFrontend) =>
  table(frontend, [region]);

const MEMORY_ROWS: readonly Row[] = [
  {
    id: 'CS-070: no region',
    expect: 'NACK',
    send: async (frontend) =>
      (await ask(frontend, encodeRequest(SET_MEM_TABLE, new Uint8Array(8), ACK))).answer,
  },
  ...[9, 2 ** 32 - 1].map(
    (count): Row => ({ id: `CS-070: ${count} regions`, expect: 'NACK', send: tableOf(count) }),
  ),
  { id: 'CS-071: fewer descriptors', expect: 'NACK', send: tableOf(2) },
  {
    id: 'CS-071: more descriptors',
    expect: 'CLOSE',
    send: ({ frontend, memory }) =>
      outcome(frontend.setMemTable([memory.region], [memory.fd, memory.fd])),
  },
  { id: 'CS-072: size 0', expect: 'NACK', send: one({ sizeBytes: 0n }) },
  {
    id: 'CS-073: guest address wraps',
    expect: 'NACK',
    send: one({ guestAddress: U64_MAX - 4095n }),
  },
  { id: 'CS-073: user address wraps', expect: 'NACK', send: one({ userAddress: U64_MAX - 4095n }) },
  { id: 'CS-073: offset wraps', expect: 'NACK', send: one({ mmapOffsetBytes: U64_MAX - 4095n }) },
  { id: 'CS-073: round-up wraps', expect: 'NACK', send: one({ sizeBytes: U64_MAX - 10n }) },
  {
    id: 'CS-074: guest addresses overlap',
    expect: 'NACK',
    send: (frontend) => table(frontend, [{}, { userAddress: 0x1000n, guestAddress: 0x4000_1000n }]),
  },
  {
    id: 'CS-074: user addresses overlap',
    expect: 'NACK',
    send: (frontend) => table(frontend, [{}, { guestAddress: 0x1000n }]),
  },
  {
    id: 'CS-074: one file at two addresses',
    expect: 'WORK',
    send: (frontend) => table(frontend, [{}, { guestAddress: 0x1000n, userAddress: 0x1000n }]),
  },
  {
    id: 'CS-075: offset not page-aligned',
    expect: ['WORK', 'NACK'],
    send: one({ mmapOffsetBytes: 0x123n, sizeBytes: 0x1000n }),
  },
  { id: 'CS-076: a byte beyond the file', expect: 'NACK', send: one({ mmapOffsetBytes: 1n }) },
  { id: 'CS-079: 2^40', expect: 'NACK', send: one({ sizeBytes: 2n ** 40n }) },
  { id: 'CS-079: 2^60', expect: 'NACK', send: one({ sizeBytes: 2n ** 60n }) },
  {
    id: 'CS-079: sparse files larger than any address space',
    expect: 'NACK',
    send: async (frontend) => {
      const bytes = 2 ** 45;
      const fd = check('memfd', native.memfdCreate('huge', 4096));
      ftruncateSync(fd, bytes);
      const regions = Array.from({ length: 8 }, (_, i) => ({
        guestAddress: BigInt(i * bytes),
        userAddress: BigInt(i * bytes),
        sizeBytes: BigInt(bytes),
        mmapOffsetBytes: 0n,
      }));
      const answer = await outcome(
        frontend.frontend.setMemTable(
          regions,
          regions.map(() => fd),
        ),
      );
      native.fdClose(fd);
      return answer;
    },
  },
];

t.test('memory tables', async (t) => {
  await withDaemon(t, [], (scene) => runRows(t, scene, MEMORY_ROWS));
});

const INDEX_REQUESTS: Readonly<
  Record<string, (f: TestFrontend, index: number) => Promise<unknown>>
> = {
  SET_VRING_NUM: ({ frontend }, index) => frontend.setVringNum(index, 128),
  SET_VRING_BASE: ({ frontend }, index) => frontend.setVringBase(index, 0),
  SET_VRING_ADDR: (frontend, index) =>
    frontend.frontend.setVringAddr(addresses(frontend, { index })),
  SET_VRING_ENABLE: ({ frontend }, index) => frontend.setVringEnable(index, true),
  GET_VRING_BASE: ({ frontend }, index) => frontend.getVringBase(index),
};

/** Addresses of a ring of 128 at the begin of memory. */
function addresses({ memory }: TestFrontend, change: Partial<VringAddr> = {}): VringAddr {
  return {
    index: 0,
    flags: 0,
    descriptorAddress: memory.userBase,
    availableAddress: memory.userBase + 4096n,
    usedAddress: memory.userBase + 8192n,
    logAddress: 0n,
    ...change,
  };
}

const QUEUES = 2;

function indexRows(): Row[] {
  const rows: Row[] = [];
  for (const index of [QUEUES, 255, 256, 65535, 65536, 65537, 2 ** 32 - 1]) {
    for (const [name, send] of Object.entries(INDEX_REQUESTS)) {
      rows.push({
        id: `CS-100: ${name} ${index}`,
        expect: name === 'GET_VRING_BASE' ? 'CLOSE' : 'NACK',
        send: (frontend) => outcome(send(frontend, index)),
      });
    }
  }
  for (const word of [BigInt(QUEUES), 255n, 1n << 9n, 1n << 16n, 1n << 63n, U64_MAX]) {
    for (const id of [12, 13, 14]) {
      const nofd = (word & 0x100n) !== 0n;
      rows.push({
        id: `CS-100, CS-114, CS-115: request ${id} with word 0x${word.toString(16)}`,
        expect: 'NACK',
        send: async (frontend) => {
          const fd = check('eventfd', native.eventfdCreate(0));
          const message = encodeRequest(id, payloadCodec('u64').encode(word), ACK);
          const { answer } = await ask(frontend, message, nofd ? [] : [fd]);
          native.fdClose(fd);
          return answer;
        },
      });
    }
  }
  return rows;
}

t.test('CS-100: vring indices', async (t) => {
  await withDaemon(t, ['--num-queues', `${QUEUES}`], (scene) => runRows(t, scene, indexRows()));
});

/** Sets vring 0 up with these addresses and starts it. */
const startsWith =
  (change: (frontend: TestFrontend) => Partial<VringAddr>, num = 128) =>
  async (frontend: TestFrontend): Promise<Answer> => {
    const kick = check('eventfd', native.eventfdCreate(0));
    const { frontend: control } = frontend;
    const answer = await outcome(
      (async () => {
        await control.setVringNum(0, num);
        await control.setVringAddr(addresses(frontend, change(frontend)));
        await control.setVringKick(0, kick);
        await control.setVringEnable(0, true);
      })(),
    );
    native.fdClose(kick);
    return answer;
  };

const size =
  (num: number) =>
  ({ frontend }: TestFrontend) =>
    outcome(frontend.setVringNum(0, num));
const last = ({ memory }: TestFrontend) => memory.userBase + BigInt(memory.sizeBytes);

const SETUP_ROWS: readonly Row[] = [
  ...[0, 3, 32769, 65536, 2 ** 31, 2 ** 32 - 1].map(
    (num): Row => ({ id: `CS-101: size ${num}`, expect: 'NACK', send: size(num) }),
  ),
  { id: 'CS-101: size 1', expect: 'WORK', send: size(1) },
  { id: 'CS-102: above the maximum', expect: 'NACK', send: size(2048) },
  { id: 'CS-103: size while started', stage: 'running', expect: 'NACK', send: size(64) },
  {
    id: 'CS-103: addresses while started',
    stage: 'running',
    expect: 'NACK',
    send: (frontend) => outcome(frontend.frontend.setVringAddr(addresses(frontend))),
  },
  { id: 'CS-105: as it should be', expect: 'WORK', send: startsWith(() => ({})) },
  ...(['descriptorAddress', 'availableAddress', 'usedAddress'] as const).flatMap((part): Row[] => [
    { id: `CS-105: ${part} 0`, expect: 'NACK', send: startsWith(() => ({ [part]: 0n })) },
    {
      id: `CS-105: ${part} ends outside`,
      expect: 'NACK',
      send: startsWith((frontend) => ({ [part]: last(frontend) - 16n })),
    },
    {
      id: `CS-105: ${part} wraps`,
      expect: 'NACK',
      send: startsWith(() => ({ [part]: U64_MAX - 15n })),
    },
    {
      id: `CS-105: ${part} is a guest address`,
      expect: 'NACK',
      send: startsWith(({ memory }) => ({ [part]: memory.guestBase })),
    },
  ]),
  ...(
    [
      ['descriptorAddress', 8n],
      ['availableAddress', 1n],
      ['usedAddress', 2n],
    ] as const
  ).map(
    ([part, by]): Row => ({
      id: `CS-106: ${part} misaligned`,
      expect: 'NACK',
      send: startsWith((frontend) => ({ [part]: addresses(frontend)[part] + by })),
    }),
  ),
  {
    id: 'CS-107: all rings at one address',
    expect: 'WORK',
    send: startsWith(({ memory: { userBase } }) => ({
      descriptorAddress: userBase,
      availableAddress: userBase,
      usedAddress: userBase,
    })),
  },
  { id: 'CS-109: flag bit 1', expect: 'NACK', send: startsWith(() => ({ flags: 2 })) },
  { id: 'CS-109: flag bit 31', expect: 'NACK', send: startsWith(() => ({ flags: 2 ** 31 })) },
  {
    id: 'CS-109: log address without a log',
    expect: 'WORK',
    send: startsWith(() => ({ logAddress: U64_MAX })),
  },
  {
    id: 'CS-110: addresses before memory and size',
    stage: 'acked',
    expect: ['WORK', 'NACK'],
    send: (frontend) => outcome(frontend.frontend.setVringAddr(addresses(frontend))),
  },
  {
    id: 'CS-112: base 65536',
    expect: 'NACK',
    send: ({ frontend }) => outcome(frontend.setVringBase(0, 65536)),
  },
  {
    id: 'CS-112: base while started',
    stage: 'running',
    expect: 'NACK',
    send: ({ frontend }) => outcome(frontend.setVringBase(0, 5)),
  },
  {
    id: 'CS-113: never started, twice',
    expect: 'WORK',
    send: async ({ frontend }) => {
      await frontend.getVringBase(0);
      return await outcome(frontend.getVringBase(0));
    },
  },
  {
    id: 'CS-114: kick twice while started',
    stage: 'running',
    expect: 'NACK',
    send: ({ frontend, queues }) => outcome(frontend.setVringKick(0, queues[0]?.kickFd)),
  },
  {
    id: 'CS-114: kick before addresses',
    expect: 'WORK',
    send: ({ frontend }) => outcome(frontend.setVringKick(0, undefined)),
  },
  {
    id: 'CS-116: enable 2',
    expect: 'NACK',
    send: async (frontend) => {
      const message = encodeFrontendRequest('SET_VRING_ENABLE', { index: 0, num: 2 }, ACK);
      return (await ask(frontend, message)).answer;
    },
  },
  {
    id: 'CS-116: enable without F_PROTOCOL_FEATURES',
    expect: 'WORK', // QEMU's net sends it before SET_FEATURES, so that being offered is enough
    options: { withoutFeatures: VHOST_USER_F_PROTOCOL_FEATURES },
    send: ({ frontend }) => outcome(frontend.setVringEnable(0, true)),
  },
  {
    id: 'CS-118: in-band kick',
    stage: 'running',
    expect: 'WORK', // negotiated here; where it is not, session tests see it refused
    send: async (frontend) => {
      const message = encodeFrontendRequest('VRING_KICK', { index: 0, num: 0 }, ACK);
      return (await ask(frontend, message)).answer;
    },
  },
];

t.test('setting a vring up', async (t) => {
  await withDaemon(t, [], (scene) => runRows(t, scene, SETUP_ROWS));
});

t.test('vrings that stop, start and change', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const { frontend: control } = frontend;
    postWrites(frontend, 16);
    const base = await control.getVringBase(0);
    const { ring } = frontend.queue(0);
    t.equal(ring.publishedUsed, base, 'CS-113: what was taken has come back');
    t.equal(await outcome(control.setVringKick(0, frontend.queue(0).kickFd)), 'WORK');
    await pause(20);
    t.equal(ring.publishedUsed, base, 'CS-119: no start on the addresses of the last one');
    await control.getVringBase(0);
    await control.setVringEnable(0, false);
    ring.setAvailIndex(base);
    await restart(frontend, 0);
    frontend.queue(0).kick();
    await pause(20);
    t.equal(ring.publishedUsed, base, 'CS-117: a disabled vring is not processed');
    await control.setVringEnable(0, true);
    t.equal(await outcome(control.getVringBase(0)), 'WORK');
    frontend.close();
    await checkClean(t, scene, 'CS-113..119');

    const toggled = await scene.start();
    const mark = toggled.memory.mark();
    for (let i = 0; i < 2000; i++) {
      await toggled.frontend.setVringEnable(0, i % 2 === 1);
      if (i % 40 === 1) {
        toggled.queue(0).ring.takeUsed();
        toggled.memory.reset(mark);
        postWrites(toggled, 4);
        await drained(toggled);
      }
    }
    t.ok(await drained(toggled), 'CS-116: toggled under load, nothing lost');
    toggled.close();

    const numbers = scene.connect();
    await numbers.negotiate();
    for (let i = 0; i < 2000; i++) {
      await numbers.frontend.setVringNum(0, 64 << (i % 3));
    }
    numbers.close();
    await checkHealthy(t, scene, 'CS-104');
  });
});

const SEALED_BYTES = 64 << 10;
/** Node has no way to seal a file. */
const SEAL = `
import fcntl, os, sys
fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
os.truncate(fd, ${SEALED_BYTES})
fcntl.fcntl(fd, fcntl.F_ADD_SEALS, int(sys.argv[1]))
print(fd, flush=True)
sys.stdin.read()
`;
/** Bits of F_ADD_SEALS: no writes at all, none by mappings to come. */
const SEALS = { F_SEAL_WRITE: 8, F_SEAL_FUTURE_WRITE: 16 };

t.test('CS-108: memory sealed against writing', async (t) => {
  await withDaemon(t, [], async (scene) => {
    for (const [name, seal] of Object.entries(SEALS)) {
      const child = spawn('python3', ['-c', SEAL, `${seal}`], { stdio: 'pipe' });
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      const fd = openSync(`/proc/${child.pid}/fd/${Number(said)}`, 'r+');
      const frontend = scene.connect({ memoryBytes: SEALED_BYTES });
      await frontend.negotiate();
      const answer = await outcome(frontend.frontend.setMemTable([frontend.memory.region], [fd]));
      t.equal(answer, 'NACK', `${name}: a used ring could not be written`);
      await frontend.startQueues();
      postWrites(frontend, 1);
      t.ok(await drained(frontend), `${name}: the former memory still serves`);
      frontend.close();
      closeSync(fd);
      child.stdin.end();
      await checkClean(t, scene, `CS-108: ${name}`);
    }
    await checkHealthy(t, scene, 'CS-108');
  });
});
