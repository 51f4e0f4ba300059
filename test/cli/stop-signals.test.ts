import t from 'tap';
import { STOP_SIGNALS, setStop, stopOnSignals } from '../../src/cli/stop-signals.js';

t.test('a signal leads to the latest stop, once', async (t) => {
  const heard: string[] = [];
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {}); // or the test runner's own handler ends this process
  }
  stopOnSignals();
  setStop(() => heard.push('first'));
  setStop((signal) => heard.push(signal));
  for (const signal of STOP_SIGNALS) {
    process.emit(signal);
    process.emit(signal);
  }
  t.strictSame(heard, ['SIGTERM', 'SIGINT']);
});
