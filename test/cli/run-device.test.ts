// A user's module on the command line: what loads, what does not, and options as text.

import t from 'tap';
import { chooseDevice, createDevice, parseOptions } from '../../src/cli/run-device.js';
import type { DefinedDevice } from '../../src/index.js';
import { keeper, unopenable } from '../fixtures/defined-devices.js';

type Any = DefinedDevice<Record<string, unknown>>;

t.test('options are name and value', async (t) => {
  t.same(parseOptions(['a=1', 'b=two=2', 'c=']), { a: '1', b: 'two=2', c: '' });
  for (const [words, says] of [
    [['a'], /--option a: not NAME=VALUE/],
    [['=1'], /not NAME=VALUE/],
    [['a=1', 'a=2'], /a is given twice/],
  ] as const) {
    t.throws(() => parseOptions(words), { reason: 'usage', message: says });
  }
});

t.test('the device of a module', async (t) => {
  t.equal(chooseDevice('x', { keeper, other: 1, nothing: null }), keeper);
  t.equal(chooseDevice('x', { keeper, default: unopenable }), unopenable);
  t.throws(() => chooseDevice('x', { other: {} }), { reason: 'input', message: /no device/ });
  t.throws(() => chooseDevice('x', { keeper, unopenable }), {
    reason: 'input',
    message: /x exports keeper, unopenable: make one the default/,
  });
});

t.test('text where text fits, JSON where it does not', async (t) => {
  const device = unopenable as Any;
  const made = createDevice(device, { fine: 'true', level: '7' });
  t.same(made.dataHalf().options, { fine: true, level: 7 });
  for (const [options, says] of [
    [{ level: 'x' }, /--option level: .*number/],
    [{ level: '1.5' }, /--option level: /],
    [{ fine: 'yes', level: '1' }, /^--option fine: [^;]*$/],
    [{ unknown: '1' }, /--option unknown: /],
  ] as const) {
    t.throws(() => createDevice(device, options), { reason: 'usage', message: says });
  }
  const failing = {
    ...device,
    create: () => {
      throw new RangeError('0 queues');
    },
  };
  t.throws(() => createDevice(failing, {}), { reason: 'input', message: '0 queues' });
});
