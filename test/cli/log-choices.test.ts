import { pino } from 'pino';
import t from 'tap';
import { LOG_FORMATS, LOG_LEVELS } from '../../src/cli/log-choices.js';

for (const level of LOG_LEVELS) {
  t.equal(pino({ level }).level, level, 'pino knows it');
}
t.strictSame([...LOG_FORMATS].sort(), ['auto', 'journal', 'json', 'text']);
