// oclif's flags without the rest of oclif: the door imports everything and costs 30 ms.

import * as Flags from '@oclif/core/flags';

export { Flags };
