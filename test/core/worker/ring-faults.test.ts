import t from 'tap';
import {
  codeOfFault,
  RING_FAULT_MEMORY_LOST,
  RING_FAULTS,
} from '../../../src/core/worker/ring-faults.js';

t.test('the fault that ends a session is the one of lost memory', async (t) => {
  t.equal(RING_FAULTS[RING_FAULT_MEMORY_LOST], 'guest memory was taken away');
});

t.test('faults have words of their own', async (t) => {
  t.equal(new Set(RING_FAULTS).size, RING_FAULTS.length);
  t.equal(RING_FAULTS[0], 'none');
  t.same(
    RING_FAULTS.map((_, fault) => codeOfFault(fault)).flatMap((code, i) => (code ? [] : [i])),
    [0],
    'and a code each, but none',
  );
});
