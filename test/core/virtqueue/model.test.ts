// The real rings against their models (test/model), by random drivers and devices. Quick by
// default; VHOST_TS_MODEL_RUNS says how many scripts of each kind else. A failure prints the seed and
// the shortest script that shows it.

import fc from 'fast-check';
import t from 'tap';
import { type Face, Scene, SceneMemory } from '../../model/scene.js';
import { type SceneSpec, type Step, sceneSpecs, steps } from '../../model/scripts.js';

const RUNS = Number(process.env.VHOST_TS_MODEL_RUNS ?? 150);
const STEPS_MAX = 80;

function play(memory: SceneMemory, packed: boolean, face: Face, spec: SceneSpec, script: Step[]) {
  const scene = new Scene(memory, packed, face, spec);
  try {
    for (const step of script) {
      scene.step(step);
    }
  } finally {
    scene.close();
  }
}

for (const packed of [false, true]) {
  for (const face of ['plain', 'batch'] as const) {
    for (const hostile of [false, true]) {
      const ring = packed ? 'packed' : 'split';
      t.test(`${ring} ring, ${face} face, ${hostile ? 'hostile' : 'honest'} driver`, async (t) => {
        const memory = new SceneMemory();
        t.teardown(() => memory.close());
        const property = fc.property(
          sceneSpecs(packed),
          steps(hostile, STEPS_MAX),
          (spec, script) => play(memory, packed, face, spec, script),
        );
        const result = fc.check(property, { numRuns: RUNS });
        const { failed, errorInstance, counterexample, seed } = result;
        const what = errorInstance instanceof Error ? errorInstance.message : '';
        t.notOk(failed, failed ? `${what}, seed ${seed}` : `${RUNS} scripts`, {
          counterexample: JSON.stringify(counterexample),
        });
      });
    }
  }
}
