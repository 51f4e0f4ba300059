import t from 'tap';
import { allCases, DEPTHS, groupBySetting, settingKey } from '../../../bench/blk/cases.js';

const cases = allCases();
const find = (name: string) => cases.find((one) => one.name === name);

t.test('every name is unique and says what runs', async (t) => {
  t.equal(new Set(cases.map(({ name }) => name)).size, cases.length);
  for (const one of cases) {
    t.match(one.name, `${one.cache}/${one.rw}/${one.blockBytes / 1024}k/qd${one.depth}/`);
    t.equal(one.name.endsWith(`/spin${one.pollUs}`), one.pollUs !== undefined);
  }
});

t.test('random reads cover every depth, queue count, mode and cache', async (t) => {
  for (const depth of DEPTHS) {
    for (const rest of ['q1/event', 'q1/poll', 'q4/event', 'q4/poll']) {
      t.ok(find(`page/randread/4k/qd${depth}/${rest}`), `page qd${depth} ${rest}`);
    }
    t.ok(find(`direct/randread/4k/qd${depth}/q1/event`));
    t.ok(find(`page/randwrite/4k/qd${depth}/q1/event`));
  }
});

t.test('the promised ratios', async (t) => {
  const table: [string, string[]][] = [
    ['page/randread/4k/qd1/q1/event', []],
    ['page/randread/4k/qd1/q1/event/spin0', ['p50Us <= 1']],
    ['page/randread/4k/qd8/q1/event/spin0', []],
    ['page/randread/4k/qd1/q1/event/spin50', ['p50Us <= 0.6']],
    ['page/randread/4k/qd8/q1/event', ['iops >= 1.4']],
    ['page/randread/4k/qd32/q1/event', ['iops >= 2.2', 'cpuUsPerRequest <= 0.5']],
    ['page/randread/4k/qd128/q1/event', ['iops >= 3']],
    ['page/randread/4k/qd1/q1/poll', []],
    ['page/randread/4k/qd8/q1/poll', ['iops >= 1.3']],
    ['direct/randread/4k/qd8/q1/event', ['iops >= 0.97']],
    ['direct/randread/4k/qd32/q1/event', ['iops >= 0.97', 'cpuUsPerRequest <= 0.7']],
    ['direct/randread/4k/qd1/q1/event/spin200', ['iops >= 1.2']],
    ['page/read/128k/qd8/q1/event', ['iops >= 1']],
  ];
  for (const [name, expected] of table) {
    const targets = find(name)?.targets.map((one) => `${one.metric} ${one.relation} ${one.ratio}`);
    t.same(targets, expected, name);
  }
});

t.test('groups share one daemon setting and write last', async (t) => {
  const groups = groupBySetting(cases);
  t.equal([...groups.values()].flat().length, cases.length);
  for (const [key, group] of groups) {
    t.ok(group.every((one) => settingKey(one) === key));
    const firstWrite = group.findIndex((one) => one.rw.endsWith('write'));
    const after = firstWrite < 0 ? [] : group.slice(firstWrite);
    t.ok(
      after.every((one) => one.rw.endsWith('write')),
      `${key}: no read after a write`,
    );
  }
});
