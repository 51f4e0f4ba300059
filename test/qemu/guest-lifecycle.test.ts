// A real Linux guest resets its disk, loses it and gets it back by hot-plug, and gains and gives up
// memory while the disk works.
import t from 'tap';

import { whyNoQemuGuest } from '../guest/kernels.js';
import { FILL_MIB, NUM_QUEUES, runLifecycle } from '../guest/lifecycle.js';

// Each wait inside has its own, shorter limit; this one only stops a broken harness.
const TEST_LIMIT_MS = 240_000;
t.setTimeout(TEST_LIMIT_MS);

/** Four sets of files; more pages than those cannot be in plugged memory by chance. */
const CACHED_PAGES_MIN = 4 * FILL_MIB * 256;

const NEW_SESSION = { SET_OWNER: 1, ADD_MEM_REG: 1, SET_VRING_KICK: NUM_QUEUES };

/** How often the daemon must have got what. Memory comes and goes under vrings that run on. */
const WANTED: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  rebind: { GET_VRING_BASE: 2 * NUM_QUEUES, SET_VRING_KICK: 2 * NUM_QUEUES, connected: 0 },
  'unplug 1': { GET_VRING_BASE: NUM_QUEUES, REM_MEM_REG: 0 },
  'plug 1': { ...NEW_SESSION, connected: 0 },
  'unplug 2': { GET_VRING_BASE: NUM_QUEUES, REM_MEM_REG: 0 },
  'plug 2': { ...NEW_SESSION, connected: 1 },
  'plug memory': { ADD_MEM_REG: 2, GET_VRING_BASE: 0 },
  'unplug memory': { REM_MEM_REG: 1, GET_VRING_BASE: 0 },
  'plug again': { ADD_MEM_REG: 1, GET_VRING_BASE: 0 },
};

t.test('one boot', { skip: whyNoQemuGuest() ?? false }, async (t) => {
  const { problems, facts, requests, lines, output } = await runLifecycle();
  if (problems.length > 0) {
    t.comment(['guest:', ...lines].join('\n'));
    t.comment(['daemon:', ...output].join('\n'));
  }
  t.same(problems, [], 'nothing went wrong');
  for (const [phase, wanted] of Object.entries(WANTED)) {
    const got = requests.get(phase) ?? [];
    const count = (name: string) => got.filter((word) => word === name).length;
    const found = Object.fromEntries(Object.keys(wanted).map((name) => [name, count(name)]));
    t.same(found, wanted, `${phase}: ${got.join(' ')}`);
  }
  const cachedPages = Number(facts.get('cached-in-plugged-pages'));
  t.ok(cachedPages >= CACHED_PAGES_MIN, `${cachedPages} pages of files in plugged memory`);
});
