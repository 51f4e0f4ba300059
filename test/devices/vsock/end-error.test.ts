import t from 'tap';
import { EndError } from '../../../src/devices/vsock/end-error.js';

const error = new EndError('EADDRINUSE', 'taken');
t.match(error, { name: 'EndError', code: 'EADDRINUSE', message: 'taken' });
t.ok(error instanceof Error);
