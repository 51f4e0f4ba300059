// The control half of a switch.

import { join } from 'node:path';
import t from 'tap';
import { HostEndError } from '../../../../src/devices/net/host-end-error.js';
import type { SwitchHandlerOptions } from '../../../../src/devices/net/switch/handler.js';
import { NetSwitch } from '../../../../src/devices/net/switch/net-switch.js';
import { switchOptionsSchema } from '../../../../src/devices/net/switch/options.js';
import { temporaryDirectory } from '../../../support/resources.js';

const ports = [{ label: 'a' }, { label: 'b', isolated: true }];

t.test('one data half for all cards, and it crosses a thread', async (t) => {
  const made = new NetSwitch(switchOptionsSchema.parse({ name: 's', ports, queueSize: 64 }));
  const [first, second] = made.cards.map((card) => card.dataHalf());
  t.same(first, second);
  const options = structuredClone(first?.options) as SwitchHandlerOptions;
  t.same(
    options.ports.map(({ isolated, queueSize }) => [isolated, queueSize]),
    [
      [false, 64],
      [true, 64],
    ],
  );
  await made.close();
});

t.test('a capture that can not be written', (t) => {
  const pcap = join(temporaryDirectory(t), 'none', 'c');
  t.throws(
    () => new NetSwitch(switchOptionsSchema.parse({ name: 's', ports, pcap })),
    HostEndError,
  );
  t.end();
});
