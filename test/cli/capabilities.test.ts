import t from 'tap';
import { capabilitiesJson } from '../../src/cli/capabilities.js';

// vhost-user, "vhost-user-blk program": the type and the two features it knows.
t.strictSame(JSON.parse(capabilitiesJson('blk')), {
  type: 'block',
  features: ['read-only', 'blk-file'],
});
t.strictSame(JSON.parse(capabilitiesJson('vsock')), { type: 'vsock' });
