// oclif's arguments without the rest of oclif, as flags.ts has its flags.

import * as Args from '@oclif/core/args';

export { Args };
