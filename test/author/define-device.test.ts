import t from 'tap';
import * as z from 'zod';
import { defineDevice } from '../../src/author/define-device.js';
import { contractFaults } from '../../src/testing/index.js';

const module = import.meta.url;
const base = { module, name: 'test', virtioId: 42, queues: 1, process: () => {} };
const IN_ORDER = 1n << 35n;
const RING = (1n << 40n) | IN_ORDER | (1n << 34n) | (1n << 32n) | (1n << 29n) | (1n << 28n);

t.test('a device of the least there is', async (t) => {
  const device = defineDevice(base).create();
  t.same(contractFaults(device), []);
  t.match(device, { name: 'test', virtioId: 42 });
  t.same([device.numQueues(), device.maxQueueSize()], [1, 256]);
  t.same([device.features(), device.protocolFeatures()], [RING, 0n]);
  t.equal(device.getConfig?.(0, 8).byteLength, 0);
  t.same(device.dataHalf(), { moduleUrl: module, device: 'test', options: undefined });
});

t.test('what depends on the options', async (t) => {
  const defined = defineDevice({
    ...base,
    queueSizeMax: 1024,
    options: z.strictObject({ pairs: z.int().max(4).default(1), extra: z.boolean().optional() }),
    queues: ({ pairs }) => 2 * pairs,
    features: ({ extra }) => (extra ? 3n : 1n),
    config: ({ pairs }) => Uint8Array.of(pairs, 7, 8, 9),
  });
  const device = defined.create({ pairs: 3, extra: true });
  t.same(contractFaults(device), []);
  t.same([device.numQueues(), device.maxQueueSize()], [6, 1024]);
  t.equal(device.features(), RING | 3n);
  t.same([...(device.getConfig?.(0, 3) ?? [])], [3, 7, 8]);
  t.same([...(device.getConfig?.(3, 9) ?? [])], [9]);
  t.same(device.dataHalf().options, { pairs: 3, extra: true });
  t.same(defined.create().dataHalf().options, { pairs: 1 }, 'defaults');
});

t.test(
  'the order is promised by devices that answer at once, and by those that say so',
  async (t) => {
    const rows = [
      [{}, true],
      [{ event: () => {} }, false],
      [{ event: () => {}, inOrder: true }, true],
      [{ inOrder: false }, false],
    ] as const;
    for (const [values, promised] of rows) {
      const features = defineDevice({ ...base, ...values })
        .create()
        .features();
      t.equal((features & IN_ORDER) !== 0n, promised, Object.keys(values).join());
    }
  },
);

t.test('options a schema refuses', async (t) => {
  const plain = defineDevice(base);
  const strict = defineDevice({ ...base, options: z.strictObject({ a: z.int(), b: z.int() }) });
  const rows = [
    [() => plain.create({ x: 1 }), [{ option: 'x' }]],
    [() => strict.create({ a: 1.5, b: 1 }), [{ option: 'a' }]],
    [() => strict.create({ a: 1, b: 1, c: 1 } as never), [{ option: 'c' }]],
    [() => strict.create(), [{ option: 'a' }, { option: 'b' }]],
    [() => strict.create(7 as never), [{ option: 'options' }]],
  ] as const;
  for (const [create, issues] of rows) {
    t.throws(create, { name: 'OptionsError', issues });
  }
});

t.test('definitions no driver could use', async (t) => {
  for (const queueSizeMax of [0, 3, 65536, -2]) {
    t.throws(() => defineDevice({ ...base, queueSizeMax }), RangeError, `size ${queueSizeMax}`);
  }
  for (const queues of [0, 257, 1.5]) {
    t.throws(() => defineDevice({ ...base, queues }).create(), RangeError, `${queues} queues`);
  }
  for (const features of [1n << 24n, 1n << 49n, 1n << 64n, -1n]) {
    t.throws(() => defineDevice({ ...base, features }).create(), RangeError, `${features}`);
  }
  t.ok(defineDevice({ ...base, features: (1n << 23n) | (1n << 50n) }).create());
});
